"""Backfill managers over a venue whose every minute is known, on stores that can be cut off as by a kill."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar

from tests.support.houses import INSTRUMENT
from tests.support.ledger import START_MS, LedgerPlugin
from tests.support.loaders import loader_of
from tradewright.domain.backfills import BackfillJob, BackfillState, JobLease, JobReport
from tradewright.domain.bars import Bars
from tradewright.domain.errors import MalformedAnswerPluginError, StorageUnavailable
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.domain.timeframes import ONE_MINUTE, Timeframe
from tradewright.runtime.rate_limit import RateLimiter
from tradewright.services.backfill_manager import BackfillManager, BackfillSettings
from tradewright.services.data_sources.plugin import PluginSource
from tradewright.services.market_service import MarketService
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.storage.memory_jobs import MemoryBackfillJobStore
from tradewright.testing.clock import DrivenClock

MINUTES_KEY: SeriesKey = INSTRUMENT.series(ONE_MINUTE)


class TimedLedger(LedgerPlugin):
    """A ledger whose calls take time, that knows how many are under way, and that notes every attempt."""

    call_s: ClassVar[float]
    limiter: ClassVar[RateLimiter | None]
    attempts: ClassVar[list[float]]
    """When calls came in, in monotonic seconds."""
    busy: ClassVar[list[int]]
    hidden: ClassVar[IntervalSet]
    """Stretches of which the venue says nothing, though it has bars."""
    tells_time: ClassVar[bool] = True
    """Whether its time is told by our clock; else it is asked for, and can't be had while it fails."""
    refused: ClassVar[frozenset[int]] = frozenset()
    """The numbers of the pages, counted from 0, in whose place nonsense comes, at once."""
    pages: ClassVar[list[tuple[int, int]]]
    """From where to where each page was asked for."""

    async def venue_time_ms(self) -> int:
        if not self.tells_time and self.failure is not None:
            self.attempts.append(self.clock.monotonic())
            raise self.failure
        return await super().venue_time_ms()

    async def fetch_ohlcv(
        self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
    ) -> Bars:
        if limit is not None:
            self.attempts.append(self.clock.monotonic())
            return await super().fetch_ohlcv(symbol, timeframe, start_ms=start_ms, end_ms=end_ms, limit=limit)
        if self.limiter is not None:
            await self.limiter.acquire()
        self.attempts.append(self.clock.monotonic())
        self.pages.append((start_ms, end_ms))
        if len(self.pages) - 1 in self.refused:
            raise MalformedAnswerPluginError("Nothing that can be read.")
        self.busy[0] += 1
        self.busy[1] = max(self.busy)
        try:
            await self.clock.sleep(self.call_s)
            return await super().fetch_ohlcv(symbol, timeframe, start_ms=start_ms, end_ms=end_ms)
        finally:
            self.busy[0] -= 1


def timed_ledger(
    minutes: Bars, *, page_limit: int, call_s: float, native: tuple[str, ...] = ("1m", "1h", "1d")
) -> type[TimedLedger]:
    """A plugin class of its own over these minutes."""
    return type(
        "OwnTimedLedger",
        (TimedLedger,),
        {
            "minutes": minutes,
            "others": {},
            "page_limit": page_limit,
            "native": native,
            "failure": None,
            "requests": [],
            "served": [],
            "made": [],
            "beside": [],
            "call_s": call_s,
            "limiter": None,
            "attempts": [],
            "pages": [],
            "busy": [0, 0],
        },
    )


class Line:
    """The connection of one process to its stores, which can be cut, or breaks at its nth use."""

    def __init__(self) -> None:
        self.uses = 0
        self.breaks_at: float = float("inf")

    def cut(self) -> None:
        self.breaks_at = self.uses

    def use(self) -> None:
        self.uses += 1
        if self.uses > self.breaks_at:
            raise StorageUnavailable("The process is dead.")


class LinedBars(MemoryBarStore):
    """A shared bar store as one process reaches it."""

    def __init__(self, shared: MemoryBarStore, line: Line) -> None:
        super().__init__()
        self.__dict__.update(shared.__dict__)
        self._line = line

    async def write(self, data: SeriesBars, *, outage: IntervalSet = NO_INTERVALS) -> None:
        self._line.use()
        await super().write(data, outage=outage)


class LinedJobs(MemoryBackfillJobStore):
    """A shared job store as one process reaches it."""

    def __init__(self, shared: MemoryBackfillJobStore, line: Line) -> None:
        super().__init__()
        self.__dict__.update(shared.__dict__)
        self._line = line

    async def claim(
        self, owner: str, *, now_ms: int, lease_ms: int, job_id: str | None = None
    ) -> tuple[BackfillJob, JobLease] | None:
        self._line.use()
        return await super().claim(owner, now_ms=now_ms, lease_ms=lease_ms, job_id=job_id)

    async def report(self, lease: JobLease, report: JobReport, *, now_ms: int, lease_ms: int) -> bool:
        self._line.use()
        return await super().report(lease, report, now_ms=now_ms, lease_ms=lease_ms)

    async def attend(self, server: str, *, now_ms: int, lease_ms: int) -> None:
        self._line.use()
        await super().attend(server, now_ms=now_ms, lease_ms=lease_ms)

    async def leave(self, server: str) -> None:
        self._line.use()
        await super().leave(server)

    async def settle(
        self, lease: JobLease, report: JobReport, state: BackfillState, *, now_ms: int
    ) -> BackfillJob | None:
        self._line.use()
        return await super().settle(lease, report, state, now_ms=now_ms)


@dataclass
class Process:
    """One server: its services over the shared stores."""

    manager: BackfillManager
    source: PluginSource
    markets: MarketService
    bars: MemoryBarStore
    line: Line

    async def kill(self) -> None:
        """End it without a word to the stores, as a kill would."""
        self.line.cut()
        await self.manager.close()
        await self.markets.close()

    async def close(self) -> None:
        """End it in order."""
        await self.manager.close()
        await self.markets.close()


@dataclass
class Site:
    """A venue, the stores that outlive processes, and a clock."""

    plugin: type[TimedLedger]
    clock: DrivenClock
    settings: BackfillSettings = field(default_factory=BackfillSettings)
    seed: int = 0
    bars: MemoryBarStore = field(default_factory=MemoryBarStore)
    jobs: MemoryBackfillJobStore = field(default_factory=MemoryBackfillJobStore)

    def process(self, *, start: bool = True) -> Process:
        """Another server."""
        line = Line()
        bars = LinedBars(self.bars, line)
        markets = MarketService(
            loader_of(self.plugin), MemoryInstrumentStore(bars), self.clock, provider_options={}
        )
        source = PluginSource(markets, bars, self.clock)
        manager = BackfillManager(
            markets,
            source,
            bars,
            LinedJobs(self.jobs, line),
            self.clock,
            self.settings,
            rng=random.Random(self.seed),
        )
        if start:
            manager.start()
        return Process(manager, source, markets, bars, line)

    async def until(
        self, reached: Callable[[], bool], *, within_s: float = 600.0, step_s: float = 0.1
    ) -> None:
        """Let time pass until it is so."""
        end_s = self.clock.monotonic() + within_s
        while not reached():
            assert self.clock.monotonic() < end_s, "it did not happen in time"
            await self.clock.advance(step_s)
            await asyncio.sleep(0)

    async def job(self, job_id: str) -> BackfillJob:
        found = await self.jobs.get(job_id)
        assert found is not None
        return found

    async def finished(self, job_id: str, *, within_s: float = 600.0) -> BackfillJob:
        """The job once it has ended."""
        await self.until(lambda: not self.jobs._rows[job_id].job.open, within_s=within_s)
        return await self.job(job_id)

    def served(self) -> list[tuple[str, int]]:
        """Every final bar that the venue gave, as often as it gave it."""
        return [bar for page in self.plugin.served for bar in page]


@asynccontextmanager
async def site(
    minutes: Bars,
    now_ms: int,
    *,
    page_limit: int = 100,
    call_s: float = 0.05,
    settings: BackfillSettings | None = None,
    seed: int = 0,
    native: tuple[str, ...] = ("1m", "1h", "1d"),
) -> AsyncIterator[Site]:
    """A site whose venue is quick and honest until told otherwise."""
    kind = timed_ledger(minutes, page_limit=page_limit, call_s=call_s, native=native)
    yield Site(kind, DrivenClock(now_ms), settings or BackfillSettings(), seed)


__all__ = ["INSTRUMENT", "MINUTES_KEY", "START_MS", "Process", "Site", "TimedLedger", "site", "timed_ledger"]
