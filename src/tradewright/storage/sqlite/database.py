"""The embedded database file: who may use it at once, and what a transaction promises."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final, Literal, TypeVar

from tradewright.domain.errors import StorageUnavailable
from tradewright.storage.sqlite.errors import is_busy
from tradewright.storage.sqlite.lanes import Lane, Ticket
from tradewright.storage.sqlite.migrations import Step, migrate, shipped_steps

T = TypeVar("T")

_BUSY_TIMEOUT_S: Final = 0.1
"""How long SQLite waits for a lock before we look whether the caller still does."""
_WAL_KEPT_BYTES: Final = 64 * 2**20
_OPEN_PATIENCE_S: Final = 60.0
_MIGRATED_BYTES_PER_S: Final = 4e6
"""A small fraction of what was measured, for a slow disk."""
_CLOSE_PATIENCE_S: Final = 5.0
_FREE_BYTES_MIN: Final = 16 * 2**20
_READ_SOMETHING: Final = "SELECT count(*) FROM sqlite_master"


class SQLiteDatabase:
    """One SQLite file in WAL mode: one writer thread and a few readers, each on its own connection.

    Another process may read and write the same file at any time. Calls raise ``StorageUnavailable``
    when the file is locked, damaged or unwritable, the disk full, or the deadline past; the text is
    a sentence for people, the details are logged.
    """

    def __init__(
        self,
        path: Path,
        *,
        readers: int = 3,
        read_timeout_s: float = 10.0,
        write_timeout_s: float = 30.0,
        pending_max: int = 1_000,
        free_bytes_min: int = _FREE_BYTES_MIN,
        steps: Sequence[Step] | None = None,
    ) -> None:
        self.path = path.absolute()
        self._read_timeout_s = read_timeout_s
        self._write_timeout_s = write_timeout_s
        self._free_bytes_min = free_bytes_min
        self._steps = shipped_steps() if steps is None else tuple(steps)
        self.schema_found: int | None = None
        """The schema's number as the last ``open`` found it; 0 where there was none."""
        self._writer = Lane("sqlite-writer", self._connect_writer, threads=1, pending_max=pending_max)
        self._readers = Lane("sqlite-reader", self._connect_reader, threads=readers, pending_max=pending_max)

    @property
    def known(self) -> int:
        """The schema's number as ``open`` leaves it."""
        return len(self._steps)

    @property
    def open_timeout_s(self) -> float:
        """How long opening may take: a step of the schema may read the whole file and write it anew."""
        size = self.path.stat().st_size if self.path.exists() else 0
        return _OPEN_PATIENCE_S + size / _MIGRATED_BYTES_PER_S

    async def open(self, timeout_s: float | None = None) -> None:
        """Make the file where there is none and bring its schema up to date.

        May be called again; has ``open_timeout_s`` unless another time is given. ``ConfigError`` where the
        file is newer than this program, or another program's; ``StorageUnavailable`` names the file, for
        whoever starts the program.
        """

        def bring_up(connection: sqlite3.Connection, ticket: Ticket) -> None:
            (self.schema_found,) = ticket.wait_for_lock(
                lambda: connection.execute("PRAGMA user_version").fetchone()
            )
            ticket.wait_for_lock(
                lambda: migrate(connection, self._steps, lambda connection: _begin(connection, ticket))
            )

        try:
            await self._writer.run(bring_up, self.open_timeout_s if timeout_s is None else timeout_s)
        except StorageUnavailable as error:
            raise StorageUnavailable(f"{self.path}: {error.message}") from error

    async def close(self) -> None:
        """End the threads and connections; a call that is at work may finish first."""
        await self._readers.close(_CLOSE_PATIENCE_S)
        await self._writer.close(_CLOSE_PATIENCE_S)

    async def read(self, work: Callable[[sqlite3.Connection], T], timeout_s: float | None = None) -> T:
        """What ``work`` returns; all its statements see one moment of the database.

        It may be called again from the beginning, so it does nothing but read.
        """

        def within_snapshot(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

        return await self._readers.run(
            lambda connection, ticket: ticket.wait_for_lock(lambda: within_snapshot(connection)),
            self._read_timeout_s if timeout_s is None else timeout_s,
        )

    async def write(
        self,
        work: Callable[[sqlite3.Connection], T],
        timeout_s: float | None = None,
        *,
        outlives_power_cut: bool = False,
    ) -> T:
        """What ``work`` returns; all it did is committed before, or nothing is.

        A commit outlives the program; with ``outlives_power_cut`` it is on the disk as well.

        After ``StorageUnavailable`` because of the deadline, or after a cancellation, either may be
        the case; what is half done is undone. Before ``work`` runs, other writers are waited for.
        """

        def within_transaction(connection: sqlite3.Connection, ticket: Ticket) -> T:
            _synchronise(connection, "FULL" if outlives_power_cut else "NORMAL")
            _begin(connection, ticket)
            result = work(connection)
            ticket.check()
            connection.execute("COMMIT")
            return result

        return await self._writer.run(
            within_transaction, self._write_timeout_s if timeout_s is None else timeout_s
        )

    async def check(self, timeout_s: float = 5.0) -> None:
        """Return where the file can be read and a commit reaches it, and the disk has room for more.

        ``StorageUnavailable`` says what is wrong. A writer of another program is not waited for: where
        it writes, so can we.
        """

        def commit_nothing_new(connection: sqlite3.Connection, _ticket: Ticket) -> None:
            self._refuse_full_disk()
            _synchronise(connection, "NORMAL")
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if is_busy(error):
                    return
                raise
            # The version is in the first page, which is written though the number stays what it is.
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            connection.execute(f"PRAGMA user_version = {version:d}")
            connection.execute("COMMIT")

        await self.read(lambda connection: connection.execute(_READ_SOMETHING).fetchone(), timeout_s)
        await self._writer.run(commit_nothing_new, timeout_s)

    def _refuse_full_disk(self) -> None:
        # What was once written to the WAL is overwritten in place, so commits go on for a while on a
        # disk that is full already: only its free space tells.
        try:
            disk = os.statvfs(self.path.parent)
        except OSError as error:
            raise StorageUnavailable("The directory of the database is not there any more.") from error
        if disk.f_bavail * disk.f_frsize < self._free_bytes_min:
            raise StorageUnavailable("The disk that holds the database is full.")

    def _connect_writer(self) -> sqlite3.Connection:
        with ExitStack() as on_failure:
            connection = on_failure.enter_context(closing(_connect(self.path, "rwc")))
            _use_wal(connection)
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES:d}")
            on_failure.pop_all()
        return connection

    def _connect_reader(self) -> sqlite3.Connection:
        connection = _connect(self.path, "ro")
        connection.execute("PRAGMA query_only = ON")
        return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # Only the lane's thread uses the connection, but close() may come from another.
    return sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )


def _use_wal(connection: sqlite3.Connection) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StorageUnavailable(
            "The database needs a local disk: this file system gives SQLite no shared memory."
        )


def _synchronise(connection: sqlite3.Connection, level: Literal["NORMAL", "FULL"]) -> None:
    # With NORMAL a power cut may cost the last commits, never the file's soundness. Bars and the
    # coverage that vouches for them go in one transaction, so what is lost is fetched again.
    connection.execute(f"PRAGMA synchronous = {level}")


def _begin(connection: sqlite3.Connection, ticket: Ticket) -> None:
    """Start a write transaction as soon as no other connection has one."""
    ticket.wait_for_lock(lambda: connection.execute("BEGIN IMMEDIATE"))
