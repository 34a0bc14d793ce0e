"""The plugin and the stores as the engine meets them, with a watch on both sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import ClassVar

from tests.support.engine_walk.watch import Calls, Watch
from tradewright.domain.backfills import BackfillJob, BackfillState, JobLease, JobPosition, JobReport
from tradewright.domain.bars import Bars, unknown_in
from tradewright.domain.errors import (
    MalformedAnswerPluginError,
    NetworkPluginError,
    PluginError,
    StorageUnavailable,
)
from tradewright.domain.instruments import Instrument, InstrumentKey, SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import (
    BackfillJobStore,
    BarStore,
    Coverage,
    EmptyAnswer,
    ImportCounts,
    NotedSilence,
    SeriesBars,
    StoreDescription,
)
from tradewright.domain.timeframes import MINUTE_MS, Timeframe, Times
from tradewright.plugins.base import MarketPlugin
from tradewright.services.data_sources.plugin import CLOCK_DOUBT_MS

_moment: ContextVar[int] = ContextVar("moment")
"""Until when bars are final for the reader that asks: it looked at the venue's clock before."""


class WatchedPlugin(MarketPlugin):
    """Tells a watch of each page and of what came of it."""

    watch: ClassVar[Watch]

    async def venue_time_ms(self) -> int:
        with self.watch.calls:
            try:
                now_ms = await super().venue_time_ms()
            except PluginError:
                _moment.set(self.clock.now_ms() - self.settling_ms - CLOCK_DOUBT_MS)
                raise
        _moment.set(now_ms - self.settling_ms)
        return now_ms

    async def fetch_ohlcv(
        self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
    ) -> Bars:
        key = InstrumentKey(self.watch.world.main.market, self.provider, symbol).series(timeframe)
        # Who wants to know when something was listed asks for one bar, and first for all months.
        probe = limit is not None or (timeframe.unit == "month" and start_ms == 0)
        self.watch.asked(key, start_ms, end_ms, probe=probe)
        began_s = self.clock.monotonic()
        with self.watch.calls:
            try:
                page = await super().fetch_ohlcv(
                    symbol, timeframe, start_ms=start_ms, end_ms=end_ms, limit=limit
                )
            except NetworkPluginError:
                self.watch.failed(began_s)
                raise
            except MalformedAnswerPluginError as error:
                self.watch.untold(key, error.unknown.clip(start_ms, end_ms))
                raise
        self.watch.reached()
        self.watch.untold(key, unknown_in(page).clip(start_ms, end_ms))
        if not probe:
            # A backfill that knocks at a venue that was down takes less for final, and a reader that did not
            # ask for the time, because a call had just failed, still less.
            settled_ms = self.clock.now_ms() - self.settling_ms
            final_ms = min(settled_ms - 2 * MINUTE_MS, _moment.get(settled_ms - CLOCK_DOUBT_MS))
            self.watch.given(key, page, start_ms, end_ms, final_ms)
        return page


def watched_plugin(watch: Watch, kind: type[MarketPlugin]) -> type[MarketPlugin]:
    """A plugin class of that kind with this watch."""
    return type("Watched", (WatchedPlugin, kind), {"watch": watch})


@dataclass
class Line:
    """The way of one process to its stores, until it is cut."""

    is_cut: bool = False
    writes: int = 0
    breaks_at_write: int | None = None

    def cut(self) -> None:
        """Hear no more of the stores."""
        self.is_cut = True

    def use(self) -> None:
        """Raise where it is cut."""
        if self.is_cut:
            raise StorageUnavailable("The process is dead.")

    def use_to_write(self) -> None:
        """The same, and it may be cut at just this write."""
        self.writes += 1
        if self.breaks_at_write is not None and self.writes >= self.breaks_at_write:
            self.is_cut = True
        self.use()


class WatchedBars:
    """A bar store behind a line and a watch."""

    def __init__(self, inner: BarStore, line: Line, watch: Watch) -> None:
        self._inner = inner
        self._line = line
        self._watch = watch

    async def read(self, key: SeriesKey, start_ms: int, end_ms: int) -> Bars:
        self._line.use()
        return await self._inner.read(key, start_ms, end_ms)

    async def coverage(self, key: SeriesKey, start_ms: int, end_ms: int) -> Coverage:
        self._line.use()
        return await self._inner.coverage(key, start_ms, end_ms)

    async def read_with_coverage(self, key: SeriesKey, start_ms: int, end_ms: int) -> tuple[Bars, Coverage]:
        self._line.use()
        return await self._inner.read_with_coverage(key, start_ms, end_ms)

    async def coverage_with_revision(
        self, key: SeriesKey, start_ms: int, end_ms: int
    ) -> tuple[Coverage, int]:
        self._line.use()
        return await self._inner.coverage_with_revision(key, start_ms, end_ms)

    async def read_resampled(
        self, instrument: InstrumentKey, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> Bars:
        self._line.use()
        return await self._inner.read_resampled(instrument, timeframe, start_ms, end_ms)

    async def read_resampled_with_coverage(
        self, instrument: InstrumentKey, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> tuple[Bars, Coverage, int]:
        self._line.use()
        return await self._inner.read_resampled_with_coverage(instrument, timeframe, start_ms, end_ms)

    async def read_openings(self, key: SeriesKey, start_ms: int, end_ms: int) -> Times:
        self._line.use()
        return await self._inner.read_openings(key, start_ms, end_ms)

    async def read_resampled_openings(
        self, instrument: InstrumentKey, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> Times:
        self._line.use()
        return await self._inner.read_resampled_openings(instrument, timeframe, start_ms, end_ms)

    async def noted_silences(self, *, after_ms: int, until_ms: int, limit: int) -> tuple[NotedSilence, ...]:
        self._line.use()
        return await self._inner.noted_silences(after_ms=after_ms, until_ms=until_ms, limit=limit)

    async def revision(self, key: SeriesKey) -> int:
        self._line.use()
        return await self._inner.revision(key)

    async def write(self, data: SeriesBars, *, outage: IntervalSet = NO_INTERVALS) -> None:
        self._watch.writing(data, outage)
        self._line.use_to_write()
        with self._watch.calls:
            await self._inner.write(data, outage=outage)
        self._line.use()  # a confirmation that does not arrive any more is none
        self._watch.written(data.key, data.covered.union(outage))

    async def write_many(self, batches: Sequence[SeriesBars]) -> None:
        raise NotImplementedError("nothing of the walk writes many series at once")

    async def note_empty(self, key: SeriesKey, empty: IntervalSet, answered_ms: int) -> None:
        self._line.use()
        self._watch.noted_empty(key, empty)
        await self._inner.note_empty(key, empty, answered_ms)

    async def empty_answers(self, key: SeriesKey, start_ms: int, end_ms: int) -> tuple[EmptyAnswer, ...]:
        self._line.use()
        return await self._inner.empty_answers(key, start_ms, end_ms)

    async def import_bars(
        self,
        batches: Sequence[SeriesBars],
        *,
        replace: bool,
        instruments: Sequence[Instrument] = (),
        progress: Callable[[int], None] | None = None,
    ) -> ImportCounts:
        for batch in batches:
            self._watch.writing(batch, NO_INTERVALS)
        self._line.use()
        counts = await self._inner.import_bars(
            batches, replace=replace, instruments=instruments, progress=progress
        )
        self._line.use()
        for batch in batches:
            self._watch.written(batch.key, batch.covered, by_import=True)
        return counts

    async def series(self, instrument: InstrumentKey) -> tuple[SeriesKey, ...]:
        self._line.use()
        return await self._inner.series(instrument)

    async def stored_instruments(
        self, *, after: InstrumentKey | None = None, limit: int = 1_000
    ) -> tuple[InstrumentKey, ...]:
        self._line.use()
        return await self._inner.stored_instruments(after=after, limit=limit)

    async def describe(self) -> StoreDescription:
        return await self._inner.describe()

    async def extent(self, key: SeriesKey) -> tuple[int, int] | None:
        self._line.use()
        return await self._inner.extent(key)

    async def check(self) -> None:
        self._line.use()
        await self._inner.check()


class LinedJobs:
    """A store of jobs behind a line, whose calls count as calls: while one is under way no time goes by, or
    a lease would end before it could be renewed."""

    def __init__(self, inner: BackfillJobStore, line: Line, calls: Calls) -> None:
        self._inner = inner
        self._line = line
        self._calls = calls

    async def add(self, job: BackfillJob, *, open_max: int, kept_max: int) -> bool:
        self._line.use()
        with self._calls:
            return await self._inner.add(job, open_max=open_max, kept_max=kept_max)

    async def get(self, job_id: str) -> BackfillJob | None:
        self._line.use()
        with self._calls:
            return await self._inner.get(job_id)

    async def newest(self, limit: int, *, before: JobPosition | None = None) -> tuple[BackfillJob, ...]:
        self._line.use()
        with self._calls:
            return await self._inner.newest(limit, before=before)

    async def claim(
        self, owner: str, *, now_ms: int, lease_ms: int, job_id: str | None = None
    ) -> tuple[BackfillJob, JobLease] | None:
        self._line.use()
        with self._calls:
            return await self._inner.claim(owner, now_ms=now_ms, lease_ms=lease_ms, job_id=job_id)

    async def report(self, lease: JobLease, report: JobReport, *, now_ms: int, lease_ms: int) -> bool:
        self._line.use()
        with self._calls:
            return await self._inner.report(lease, report, now_ms=now_ms, lease_ms=lease_ms)

    async def settle(
        self, lease: JobLease, report: JobReport, state: BackfillState, *, now_ms: int
    ) -> BackfillJob | None:
        self._line.use()
        with self._calls:
            return await self._inner.settle(lease, report, state, now_ms=now_ms)

    async def cancel(self, job_id: str, *, now_ms: int) -> BackfillJob | None:
        self._line.use()
        with self._calls:
            return await self._inner.cancel(job_id, now_ms=now_ms)

    async def attend(self, server: str, *, now_ms: int, lease_ms: int) -> None:
        self._line.use()
        await self._inner.attend(server, now_ms=now_ms, lease_ms=lease_ms)

    async def leave(self, server: str) -> None:
        self._line.use()
        await self._inner.leave(server)

    async def attended(self, *, now_ms: int) -> bool:
        self._line.use()
        return await self._inner.attended(now_ms=now_ms)
