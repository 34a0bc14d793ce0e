"""Threads that own SQLite connections, and how a coroutine waits for them."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from tradewright.domain.errors import StorageUnavailable
from tradewright.storage.sqlite.errors import as_unavailable, breaks_connection, is_busy

T = TypeVar("T")

_log = logging.getLogger(__name__)

_LOOK_UP_EACH_INSTRUCTIONS: Final = 10_000
"""How often a running statement asks whether somebody still waits for it: about each millisecond."""


class Ticket:
    """One call on its way through a thread; abandoned, it ends at the next chance and changes nothing."""

    def __init__(self) -> None:
        self.abandoned = False

    def abandon(self) -> None:
        """Say that nobody waits for the outcome any more."""
        self.abandoned = True

    def check(self) -> None:
        """Raise ``StorageUnavailable`` once the ticket is abandoned."""
        if self.abandoned:
            raise StorageUnavailable("The database did not answer in time.")

    def wait_for_lock(self, attempt: Callable[[], T]) -> T:
        """The outcome of ``attempt``, tried again for as long as another connection's lock is in
        its way and somebody waits. SQLite itself waits within each attempt."""
        while True:
            try:
                return attempt()
            except sqlite3.OperationalError as error:
                if not is_busy(error) or self.abandoned:
                    raise


class Lane:
    """A bounded number of threads, each with a connection of its own, that work off calls in order.

    At most ``pending_max`` calls wait or run at a time; one more is refused with ``StorageUnavailable``.
    """

    def __init__(
        self, name: str, connect: Callable[[], sqlite3.Connection], *, threads: int, pending_max: int
    ) -> None:
        self._name = name
        self._connect = connect
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._room = threading.BoundedSemaphore(pending_max)
        self._own = threading.local()
        self._lock = threading.Lock()
        self._connections: set[sqlite3.Connection] = set()
        self._tickets: set[Ticket] = set()
        self._closed = False

    async def run(self, work: Callable[[sqlite3.Connection, Ticket], T], timeout_s: float) -> T:
        """What ``work`` returns, called in one of the threads.

        ``StorageUnavailable`` after ``timeout_s``, whatever the thread is doing; it, or a cancelled
        caller, leaves the call abandoned: SQLite interrupts the statement, and the transaction is undone.
        """
        if self._closed:
            raise StorageUnavailable("The database is closed.")
        if not self._room.acquire(blocking=False):
            raise StorageUnavailable("The database has more to do than it can keep up with; try again.")
        ticket = Ticket()
        self._tickets.add(ticket)
        future = self._executor.submit(self._call, work, ticket)
        future.add_done_callback(lambda _future: self._room.release())
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise StorageUnavailable("The database did not answer in time.") from None
        finally:
            ticket.abandon()
            self._tickets.discard(ticket)

    def _call(self, work: Callable[[sqlite3.Connection, Ticket], T], ticket: Ticket) -> T:
        ticket.check()
        try:
            connection = self._own_connection(ticket)
            connection.set_progress_handler(lambda: ticket.abandoned, _LOOK_UP_EACH_INSTRUCTIONS)
            try:
                return work(connection, ticket)
            finally:
                connection.set_progress_handler(None, 0)
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            if breaks_connection(error):
                self._drop_own_connection()
            unavailable = as_unavailable(error)
            if unavailable is None:
                raise
            if not ticket.abandoned:
                _log.warning("%s: %s: %s", self._name, error.sqlite_errorname, error)
            raise unavailable from error

    def _own_connection(self, ticket: Ticket) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = ticket.wait_for_lock(self._connect)
            self._own.connection = connection
            with self._lock:
                self._connections.add(connection)
        return connection

    def _drop_own_connection(self) -> None:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        self._own.connection = None
        if connection is not None:
            with self._lock:
                self._connections.discard(connection)
            connection.close()

    async def close(self, patience_s: float) -> None:
        """Take no more calls, let those at work end or abandon them after ``patience_s``, and disconnect."""
        self._closed = True
        ended = asyncio.create_task(
            asyncio.to_thread(self._executor.shutdown), name=f"sqlite/{self._name}/shutdown"
        )
        await asyncio.wait({ended}, timeout=patience_s)
        for ticket in tuple(self._tickets):
            ticket.abandon()
        await asyncio.wait({ended}, timeout=patience_s)
        if not ended.done():
            _log.error("%s: a thread hangs in the database and is left behind", self._name)
            return
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
