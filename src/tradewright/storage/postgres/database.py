"""A PostgreSQL database: how connections are lent, how long is waited, and what is tried again."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import asyncpg

from tradewright.domain.errors import ConfigError, StorageUnavailable, TradewrightError
from tradewright.runtime.clock import Clock, SystemClock
from tradewright.runtime.ids import SYSTEM_RANDOM
from tradewright.runtime.retry import Backoff
from tradewright.storage.postgres.address import Address
from tradewright.storage.postgres.aggregates import AggregateRefresher, refuse_policies_that_delete
from tradewright.storage.postgres.errors import (
    DRIVER_ERRORS,
    Trouble,
    as_unavailable,
    described,
    is_setting_wrong,
    trouble_of,
)
from tradewright.storage.postgres.lending import Lender, connect
from tradewright.storage.postgres.migrations import (
    Kind,
    Step,
    check_schema_name,
    found_version,
    migrate,
    shipped_steps,
)
from tradewright.storage.postgres.session import Patience, Session

T = TypeVar("T")

_log = logging.getLogger(__name__)

_OUTAGE_WAITED_OUT_S: Final = 2.0
"""For so long after the server went away, calls try again and again; after that, once more."""
_COLLISIONS_WAITED_OUT_S: Final = 10.0
"""For so long a call that others are in the way of tries again: among busy writers it may lose often."""
_DUPLICATES_MAX: Final = 3
"""So often a row may have been there after all; then it is a defect of ours."""
_AGAIN: Final = Backoff(first_s=0.02, max_s=0.3)
_START_POLL_S: Final = 0.25
_BEAT: Final = "UPDATE pulse SET beats = beats + 1"
_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
"""Whatever is the server's default: who waited for a lock has to see what the one before it wrote."""
_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresDatabase:
    """One schema of a PostgreSQL database, with connections for reading and others for writing.

    Calls raise ``StorageUnavailable`` when the server is away, frozen, full or locked; the text is a
    sentence for people without secrets, the details are logged. Whatever the server does, a call ends
    at most ``step_timeout_s`` after its last sign of life. Reads that fail because a connection is gone
    are done again on another; writes too, where they may be.
    """

    def __init__(
        self,
        url: str,
        *,
        schema: str = "tradewright",
        readers: int = 10,
        writers: int = 4,
        read_timeout_s: float = 10.0,
        write_timeout_s: float = 30.0,
        step_timeout_s: float = 4.0,
        pending_max: int = 1_000,
        steps: Sequence[Step] | None = None,
        clock: Clock | None = None,
        rng: random.Random = SYSTEM_RANDOM,
    ) -> None:
        self.address = Address.of(url)
        self.schema = check_schema_name(schema)
        self._sizes = (readers, writers)
        self._read_timeout_s, self._write_timeout_s = read_timeout_s, write_timeout_s
        self._step_timeout_s = step_timeout_s
        self._pending_max = pending_max
        self._steps = shipped_steps() if steps is None else tuple(steps)
        self._clock = clock or SystemClock()
        self._rng = rng
        self.schema_found: int | None = None
        """The schema's number as ``open`` found it; 0 where there was none."""
        self._kind: Kind | None = None
        self._readers: Lender | None = None
        self._writers: Lender | None = None
        # Bulk loads may hold half of the writing connections, so that a live bar never waits for them.
        self._bulk = asyncio.Semaphore(max(1, writers // 2))
        self._outage_began_s: float | None = None

    @property
    def known(self) -> int:
        """The schema's number as ``open`` leaves it."""
        return len(self._steps)

    @property
    def kind(self) -> Kind:
        """What the schema was made for; known once the database was opened."""
        if self._kind is None:
            raise StorageUnavailable("The database is not open.")
        return self._kind

    async def open(self, timeout_s: float = 60.0) -> None:
        """Wait for the server, make the schema where there is none, and bring it up to date.

        May be called again. ``ConfigError`` where a setting is wrong or the schema newer than this
        program or not ours; ``StorageUnavailable`` names the server, for whoever starts the program.
        """
        if self._readers is not None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                self._kind = await self._bring_up()
        except TimeoutError:
            raise StorageUnavailable(f"{self.address.place}: the database did not answer in time.") from None
        readers, writers = self._sizes
        self._readers = await Lender.of(
            self.address, self.schema, readers, self._step_timeout_s, self._pending_max
        )
        self._writers = await Lender.of(
            self.address, self.schema, writers, self._step_timeout_s, self._pending_max
        )

    async def _bring_up(self) -> Kind:
        told = ""
        while True:
            try:
                connection = await connect(self.address, self.schema, self._step_timeout_s)
                try:
                    self.schema_found = (await found_version(connection, self.schema, self.known)).number
                    kind = await migrate(connection, self.schema, self._steps, self._clock)
                    if kind == "timescaledb":
                        await refuse_policies_that_delete(connection)
                    return kind
                finally:
                    connection.terminate()
            except (*DRIVER_ERRORS, TimeoutError, ValueError) as error:
                self._refuse_wrong_setting(error)
                if not isinstance(error, TimeoutError) and trouble_of(error) is Trouble.OTHER:
                    raise
                if described(error) != told:
                    told = described(error)
                    _log.warning("%s: %s; trying again", self.address.place, told)
            await self._clock.sleep(_START_POLL_S)

    def _refuse_wrong_setting(self, error: BaseException) -> None:
        if isinstance(error, ValueError) or is_setting_wrong(error):
            why = as_unavailable(error)
            reason = why.message if why else "The database URL can't be used: check its parts."
            raise ConfigError([f"{self.address.place}: {reason}"]) from None

    async def close(self) -> None:
        """End all connections; a call that is at work may finish first. May be called twice."""
        for lender in (self._readers, self._writers):
            if lender is not None:
                await lender.close()
        self._readers = self._writers = None

    async def read(self, work: Callable[[Session], Awaitable[T]], *, snapshot: bool = False) -> T:
        """What ``work`` returns; with ``snapshot`` all its statements see one moment of the database.

        It may be called again from the beginning, so it does nothing but read.
        """

        async def attempt(session: Session) -> T:
            if not snapshot:
                return await work(session)
            await session.run(_SNAPSHOT)
            result = await work(session)
            await session.commit()
            return result

        patience = self._patience(self._read_timeout_s)
        return await self._persistently(lambda: self._readers, patience, attempt, repeatable=True)

    async def write(
        self,
        work: Callable[[Session], Awaitable[T]],
        timeout_s: float | None = None,
        *,
        repeatable: bool,
        bulk: bool = False,
    ) -> T:
        """What ``work`` returns; all it did is committed before, or nothing is.

        It may be called again from the beginning where nothing was committed, and with ``repeatable``
        also where that is uncertain. After ``StorageUnavailable`` either may be the case.
        """

        async def attempt(session: Session) -> T:
            await session.run(_BEGIN)
            result = await work(session)
            await session.commit()
            return result

        patience = self._patience(self._write_timeout_s if timeout_s is None else timeout_s)
        async with self._room_for(bulk, patience):
            return await self._persistently(lambda: self._writers, patience, attempt, repeatable=repeatable)

    @asynccontextmanager
    async def _room_for(self, bulk: bool, patience: Patience) -> AsyncIterator[None]:
        if not bulk:
            yield
            return
        try:
            async with patience.step(of_server=False):
                await self._bulk.acquire()
        except StorageUnavailable:
            raise StorageUnavailable("The database has other bulk loads at work; try again.") from None
        try:
            yield
        finally:
            self._bulk.release()

    def refresher(self) -> AggregateRefresher | None:
        """What keeps the aggregates of an opened database fresh; None where it has none."""
        if self.kind != "timescaledb":
            return None
        return AggregateRefresher(
            lambda: connect(self.address, self.schema, self._step_timeout_s), self._clock
        )

    async def check(self, timeout_s: float = 5.0) -> None:
        """Return where a row can be changed and committed; ``StorageUnavailable`` says what is wrong."""

        async def beat(session: Session) -> None:
            await session.run(_BEAT)

        await self.write(beat, timeout_s, repeatable=True)

    def _patience(self, total_s: float) -> Patience:
        return Patience(total_s, min(total_s, self._step_timeout_s))

    async def _persistently(
        self,
        lender: Callable[[], Lender | None],
        patience: Patience,
        attempt: Callable[[Session], Awaitable[T]],
        *,
        repeatable: bool,
    ) -> T:
        """The outcome of ``attempt``, tried again for as long as that may help and the patience lasts."""
        lost = duplicates = 0
        pauses = _AGAIN.delays(self._rng)
        while True:
            session: Session | None = None
            pause_s = next(pauses)
            try:
                async with _present(lender()).session(patience) as session:
                    result = await attempt(session)
            except DRIVER_ERRORS as error:
                trouble = trouble_of(error)
                duplicates += isinstance(error, asyncpg.UniqueViolationError)
                if trouble is Trouble.LOST:
                    lost += 1
                    patience.went_away()
                uncertain = trouble is Trouble.LOST and session is not None and session.commit_sent
                if (
                    not self._may_help(trouble, lost, duplicates, patience)
                    or (uncertain and not repeatable)
                    or patience.left_s <= pause_s
                ):
                    raise self._told(error) from error
            else:
                self._outage_began_s = None
                return result
            await self._clock.sleep(pause_s)

    def _may_help(self, trouble: Trouble, lost: int, duplicates: int, patience: Patience) -> bool:
        if trouble is Trouble.COLLISION:
            return duplicates <= _DUPLICATES_MAX and patience.taken_s < _COLLISIONS_WAITED_OUT_S
        if trouble is not Trouble.LOST:
            return trouble is Trouble.LOCKED
        now_s = self._clock.monotonic()
        if self._outage_began_s is None:
            self._outage_began_s = now_s
        return lost <= 1 or now_s - self._outage_began_s < _OUTAGE_WAITED_OUT_S

    def _told(self, error: BaseException) -> BaseException:
        """What our caller is told: the error itself where it shows a defect of ours."""
        if isinstance(error, TradewrightError):
            return error
        unavailable = as_unavailable(error)
        if unavailable is None:
            return error
        _log.warning("%s: %s", self.address.place, described(error))
        return unavailable


def _present(lender: Lender | None) -> Lender:
    if lender is None:
        raise StorageUnavailable("The database is closed.")
    return lender
