"""What the server's and the driver's errors mean to whoever asked."""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeAlias

import asyncpg

from tradewright.domain.errors import StorageUnavailable

DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""Everything that the driver raises because of the server, the way to it, or a statement of ours."""
DriverError: TypeAlias = (
    "asyncpg.PostgresError | asyncpg.InterfaceError | asyncpg.InternalClientError | OSError"
)

NO_ANSWER: Final = "The database did not answer in time."
_UNREACHABLE: Final = "The database can't be reached."

_SENTENCES: Final = {
    "25006": "The database takes no writes at the moment.",
    "28": "The database does not accept the user or the password any more.",
    "3D": "The database is not there any more.",
    "3F": "The schema of the database is not there any more.",
    "40": "The database had too many writers in each other's way; try again.",
    "42501": "The database does not let its user do this.",
    "42P01": "A table of the database is not there any more.",
    "53100": "The disk that holds the database is full.",
    "53": "The database is out of resources; try again.",
    "55P03": "The database is locked by another writer; try again.",
    "57014": NO_ANSWER,
    "58": "The machine of the database reports an error.",
    "XX": "The database reports an error of its own; its log says more.",
}


class Trouble(Enum):
    """What can be done about an error."""

    LOST = "the connection is gone, or there was none: try on another"
    COLLISION = "another transaction was in the way: try again"
    LOCKED = "another transaction holds a lock: wait"
    OTHER = "trying again does not help"


_LOST_STATES: Final = ("08", "57P01", "57P02", "57P03", "57P05", "25P03")
_COLLISION_STATES: Final = ("40001", "40P01", "23505")
"""A unique violation is one as well: we insert only what was not there a moment ago."""


def trouble_of(error: BaseException) -> Trouble:
    """What can be done about it."""
    if isinstance(error, asyncpg.DataError):
        return Trouble.OTHER
    if isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError):
        return Trouble.LOST
    state = state_of(error)
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return Trouble.COLLISION
    if state.startswith(_LOST_STATES) or state == "53300":
        return Trouble.LOST
    if state in _COLLISION_STATES:
        return Trouble.COLLISION
    return Trouble.LOCKED if state == "55P03" else Trouble.OTHER


def state_of(error: BaseException) -> str:
    """The server's five characters for it; empty where the error is not the server's."""
    return str(getattr(error, "sqlstate", None) or "")


def as_unavailable(error: BaseException) -> StorageUnavailable | None:
    """The error as our callers know it, or None for one that shows a defect of ours (SQL, constraint)."""
    state = state_of(error)
    for length in (5, 2):
        if (sentence := _SENTENCES.get(state[:length])) is not None:
            return StorageUnavailable(sentence)
    if trouble_of(error) is Trouble.LOST:
        return StorageUnavailable(_UNREACHABLE)
    return None


def is_setting_wrong(error: BaseException) -> bool:
    """Whether only the operator can do something about it: a refused user, a database that is not there."""
    state = state_of(error)
    return state.startswith(("28", "3D", "42501")) or isinstance(error, asyncpg.ClientConfigurationError)


def described(error: BaseException) -> str:
    """The error for a log: its kind and state, since what the driver writes may not be fit for it."""
    return f"{type(error).__name__} {state_of(error)}".strip()
