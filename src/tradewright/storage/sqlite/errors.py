"""What SQLite's errors mean to whoever asked."""

from __future__ import annotations

import sqlite3
from typing import Final

from tradewright.domain.errors import StorageUnavailable

_SENTENCES: Final = {
    sqlite3.SQLITE_BUSY: "The database is locked by another program; try again.",
    sqlite3.SQLITE_LOCKED: "The database is locked by another program; try again.",
    sqlite3.SQLITE_PROTOCOL: "The database is locked by another program; try again.",
    sqlite3.SQLITE_INTERRUPT: "The database did not answer in time.",
    sqlite3.SQLITE_FULL: "The disk that holds the database is full.",
    sqlite3.SQLITE_CORRUPT: "The database file is damaged; restore it from a backup.",
    sqlite3.SQLITE_NOTADB: "The database file is not a database, or is damaged; restore it from a backup.",
    sqlite3.SQLITE_PERM: "The database file may not be read.",
    sqlite3.SQLITE_READONLY: "The database file may not be written to.",
    sqlite3.SQLITE_CANTOPEN: "The database file can't be opened.",
    sqlite3.SQLITE_IOERR: "The disk that holds the database reports an error.",
}

_BROKEN_CONNECTION: Final = frozenset(
    {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR}
)


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's error code without its extension; 0 where the error is not SQLite's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection holds a lock, so that waiting may help."""
    return primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def breaks_connection(error: sqlite3.Error) -> bool:
    """Whether the connection had better be opened anew before it is used again."""
    return primary_code(error) in _BROKEN_CONNECTION


def as_unavailable(error: sqlite3.Error) -> StorageUnavailable | None:
    """The error as our callers know it, or None for one that shows a defect of ours (SQL, constraint)."""
    sentence = _SENTENCES.get(primary_code(error))
    return None if sentence is None else StorageUnavailable(sentence)
