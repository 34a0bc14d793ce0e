"""What SQLAlchemy and the drivers beneath it raise, and what it means to whoever asked."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from tradewright.domain.errors import StorageUnavailable
from tradewright.storage.postgres import errors as postgres_errors
from tradewright.storage.postgres.errors import Trouble
from tradewright.storage.sqlite import errors as sqlite_errors

DRIVER_ERRORS: Final = (SQLAlchemyError, sqlite3.Error, *postgres_errors.DRIVER_ERRORS, TimeoutError)
"""Everything that may come out of a statement, a connection or a pool."""

_OUR_FAULT: Final = "The database refused what the program asked of it; the log says more."


@dataclass(frozen=True, slots=True)
class Fault:
    """One error: what can be done about it, what people are told, and what the log is."""

    trouble: Trouble
    sentence: str
    described: str
    ours: bool = False
    """Whether it shows a defect of the program rather than a state of the database."""


def fault_of(error: BaseException) -> Fault:
    """What the error is. Its own text is not used: it may hold what was to be stored."""
    found: BaseException | None = error
    while isinstance(found, SQLAlchemyError) and (getattr(found, "orig", None) or found.__cause__):
        found = getattr(found, "orig", None) or found.__cause__
    assert found is not None
    for cause in (found, found.__cause__):
        if isinstance(cause, sqlite3.Error):
            return _of_sqlite(cause)
        if isinstance(cause, asyncpg.PostgresError | asyncpg.InterfaceError | OSError):
            return _of_postgres(cause)
    return Fault(Trouble.OTHER, _OUR_FAULT, type(found).__name__, ours=True)


def _of_sqlite(error: sqlite3.Error) -> Fault:
    described = f"{type(error).__name__} {getattr(error, 'sqlite_errorname', '')}".strip()
    told = sqlite_errors.as_unavailable(error)
    if told is None:
        return Fault(Trouble.OTHER, _OUR_FAULT, described, ours=True)
    return Fault(Trouble.LOCKED if sqlite_errors.is_busy(error) else Trouble.OTHER, told.message, described)


def _of_postgres(error: BaseException) -> Fault:
    told, described = postgres_errors.as_unavailable(error), postgres_errors.described(error)
    if told is None:
        return Fault(postgres_errors.trouble_of(error), _OUR_FAULT, described, ours=True)
    return Fault(postgres_errors.trouble_of(error), told.message, described)


def is_setting_wrong(error: BaseException) -> bool:
    """Whether only the operator can do something about it."""
    causes = (error, getattr(error, "orig", None), error.__cause__)
    return isinstance(error, ValueError) or any(
        cause is not None and postgres_errors.is_setting_wrong(cause) for cause in causes
    )


def unavailable(fault: Fault) -> StorageUnavailable:
    """The fault as our callers know it."""
    return StorageUnavailable(fault.sentence)
