"""One of the two databases of people: how long a call may take, what is tried again, what is told."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql import column, table

from tradewright.domain.errors import ConfigError, StorageUnavailable
from tradewright.runtime.clock import Clock, SystemClock
from tradewright.runtime.ids import SYSTEM_RANDOM
from tradewright.runtime.retry import Backoff
from tradewright.storage.people.engines import Place, PostgresSchema, reading, writing
from tradewright.storage.people.errors import DRIVER_ERRORS, Fault, fault_of, is_setting_wrong, unavailable
from tradewright.storage.people.layouts import Layout
from tradewright.storage.people.migrating import Migrated, bring_up
from tradewright.storage.postgres.errors import NO_ANSWER, Trouble

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]

_log = logging.getLogger(__name__)

CALL_TIMEOUT_S: Final = 4.0
"""Whoever asks over HTTP is answered within five seconds, whatever the database does."""
_CALLS_MAX: Final = 1_000
_COLLISIONS_MAX: Final = 3
_OUTAGE_WAITED_OUT_S: Final = 2.0
"""For so long after the server went away, calls try again and again; after that, once more."""
_AGAIN: Final = Backoff(first_s=0.02, max_s=0.3)
_START_POLL_S: Final = 0.25
_CLOSE_PATIENCE_S: Final = 5.0


class _Call:
    """What one call holds while it is at work."""

    def __init__(self) -> None:
        self.driver: Any = None
        self.commit_sent = False

    async def abandon(self) -> None:
        """Make the driver let go at once: it would wait for a server that says nothing."""
        if hasattr(self.driver, "terminate"):
            self.driver.terminate()
        elif self.driver is not None:
            try:
                await self.driver.interrupt()
            except ValueError:  # it is closed already
                return


class PeopleDatabase:
    """One database in a file or on a server, through SQLAlchemy.

    Calls raise ``StorageUnavailable`` whatever the driver says, at most ``timeout_s`` after they began; the
    text is a sentence for people, the log has the kind of the error and never a value. What fails because a
    connection is gone is done again where nothing can have been committed.
    """

    def __init__(
        self,
        place: Place,
        layout: Layout,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        clock: Clock | None = None,
        rng: random.Random = SYSTEM_RANDOM,
    ) -> None:
        self.place, self.layout = place, layout
        self._timeout_s = timeout_s
        self._clock = clock or SystemClock()
        self._rng = rng
        self._engine: AsyncEngine | None = None
        self._calls: set[asyncio.Task[Any]] = set()
        # SQLite lets writers wait in no order; within the process they take turns.
        self._turn = asyncio.Lock()
        self._takes_turns = not isinstance(place, PostgresSchema)
        self._outage_began_s: float | None = None
        self.migrated: Migrated | None = None
        """What the last ``open`` found and left."""

    async def open(self, timeout_s: float = 60.0) -> None:
        """Wait for the database and bring its schema up to date; may be called again.

        ``ConfigError`` where a setting is wrong, or the schema newer than this program or not ours;
        ``StorageUnavailable`` names the place, for whoever starts the program.
        """
        if self._engine is not None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                self.migrated = await self._bring_up()
        except TimeoutError:
            raise StorageUnavailable(f"{self.place.name}: {NO_ANSWER}") from None
        self._engine = self.place.engine(self._timeout_s)

    async def _bring_up(self) -> Migrated:
        told = ""
        while True:
            try:
                await asyncio.to_thread(self.place.prepare)
                engine = self.place.migrating_engine(self._timeout_s)
                try:
                    await self._use_wal(engine)
                    return await bring_up(engine, self.place, self.layout, self._clock)
                finally:
                    await engine.dispose()
            except (*DRIVER_ERRORS, ValueError) as error:
                fault = fault_of(error)
                if is_setting_wrong(error):
                    raise ConfigError([f"{self.place.name}: {fault.sentence}"]) from None
                if fault.trouble is Trouble.OTHER:
                    _log.error("%s: %s", self.place.name, fault.described)
                    raise StorageUnavailable(f"{self.place.name}: {fault.sentence}") from None
                if fault.described != told:
                    told = fault.described
                    _log.warning("%s: %s; trying again", self.place.name, told)
            await self._clock.sleep(_START_POLL_S)

    async def _use_wal(self, engine: AsyncEngine) -> None:
        if engine.dialect.name != "sqlite":
            return
        async with engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            cursor = await driver.execute("PRAGMA journal_mode = WAL")
            (mode,) = await cursor.fetchone()
            await cursor.close()
        if mode != "wal":
            raise StorageUnavailable(
                f"{self.place.name}: the database needs a local disk: "
                "this file system gives SQLite no shared memory."
            )

    async def close(self) -> None:
        """End all connections; calls at work may finish first. May be called twice."""
        engine, self._engine = self._engine, None
        if self._calls:
            _, left = await asyncio.wait(set(self._calls), timeout=_CLOSE_PATIENCE_S)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left, timeout=_CLOSE_PATIENCE_S)
        if engine is not None:
            await engine.dispose()

    async def read(self, work: Work[T]) -> T:
        """What ``work`` returns. It may be called again from the beginning, so it does nothing but read."""

        async def attempt(engine: AsyncEngine, call: _Call) -> T:
            async with reading(engine).connect() as connection:
                call.driver = (await connection.get_raw_connection()).driver_connection
                return await work(connection)

        return await self._bounded(attempt, repeatable=True)

    async def write(self, work: Work[T]) -> T:
        """What ``work`` returns; all it did is committed before, or nothing is, as where it raises.

        It may be called again from the beginning where nothing was committed. After ``StorageUnavailable``
        either may be the case.
        """

        async def attempt(engine: AsyncEngine, call: _Call) -> T:
            async with self._writers_turn(), writing(engine).connect() as connection:
                call.driver = (await connection.get_raw_connection()).driver_connection
                result = await work(connection)
                call.commit_sent = True
                await connection.commit()
                return result

        return await self._bounded(attempt, repeatable=False)

    async def check(self) -> None:
        """Return where a row can be changed and committed; ``StorageUnavailable`` says what is wrong."""
        versions = table(self.layout.version_table, column("version_num"))

        async def beat(connection: AsyncConnection) -> None:
            await connection.execute(update(versions).values(version_num=versions.c.version_num))

        await self.write(beat)

    @asynccontextmanager
    async def _writers_turn(self) -> AsyncIterator[None]:
        if not self._takes_turns:
            yield
            return
        async with self._turn:
            yield

    async def _bounded(self, attempt: Callable[[AsyncEngine, _Call], Awaitable[T]], *, repeatable: bool) -> T:
        """The outcome of ``attempt`` within the deadline. Past it, the call is left to end by itself: the
        driver may wait longer for a server that says nothing, and whoever asked must not."""
        if len(self._calls) >= _CALLS_MAX:
            raise StorageUnavailable("The database has more to do than it can keep up with; try again.")
        call = _Call()
        task = asyncio.create_task(
            self._persistently(attempt, call, repeatable=repeatable), name=f"{self.layout.name}/call"
        )
        self._calls.add(task)
        task.add_done_callback(self._ended)
        try:
            await asyncio.wait({task}, timeout=self._timeout_s)
        finally:
            if not task.done():
                task.cancel()
                await call.abandon()
        if not task.done():
            raise StorageUnavailable(NO_ANSWER)
        return task.result()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()  # who left the call is not told any more

    async def _persistently(
        self, attempt: Callable[[AsyncEngine, _Call], Awaitable[T]], call: _Call, *, repeatable: bool
    ) -> T:
        tries = 0
        pauses = _AGAIN.delays(self._rng)
        while True:
            engine = self._engine
            if engine is None:
                raise StorageUnavailable("The database is closed.")
            call.driver, call.commit_sent = None, False
            try:
                result = await attempt(engine, call)
            except DRIVER_ERRORS as error:
                tries += 1
                fault = fault_of(error)
                uncertain = call.commit_sent and fault.trouble is Trouble.LOST and not repeatable
                if uncertain or not self._may_help(fault, tries):
                    level = logging.ERROR if fault.ours else logging.WARNING
                    _log.log(level, "%s: %s", self.place.name, fault.described)
                    raise unavailable(fault) from None
            else:
                self._outage_began_s = None
                return result
            await self._clock.sleep(next(pauses))

    def _may_help(self, fault: Fault, tries: int) -> bool:
        if fault.trouble is not Trouble.LOST:
            return fault.trouble is Trouble.LOCKED or (
                fault.trouble is Trouble.COLLISION and tries <= _COLLISIONS_MAX
            )
        now_s = self._clock.monotonic()
        if self._outage_began_s is None:
            self._outage_began_s = now_s
        return tries <= 1 or now_s - self._outage_began_s < _OUTAGE_WAITED_OUT_S


async def hold(connection: AsyncConnection, name: str) -> None:
    """Be the only one with this name until the transaction ends, among all processes.

    On SQLite a transaction that writes is the only one already.
    """
    if connection.dialect.name == "postgresql":
        key = func.hashtextextended(func.concat(func.current_schema(), ":", name), 0)
        await connection.execute(select(func.pg_advisory_xact_lock(key)))
