"""``DataOrchestrator``: one question for bars, asked of every source in order, and one honest answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.errors import InvalidInput
from tradewright.domain.instruments import Instrument, InstrumentKey, SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import BarStore
from tradewright.domain.streams import Gap, GapReason, Problem
from tradewright.domain.timeframes import ONE_DAY, ONE_MINUTE, Timeframe
from tradewright.plugins.base import MarketPlugin
from tradewright.runtime.calendars import TradingCalendar
from tradewright.runtime.clock import Clock
from tradewright.services.data_sources.aggregate import AggregateSource
from tradewright.services.data_sources.base import BarRequest, SourceAnswer, SourceChain, SourcePart
from tradewright.services.data_sources.db import DbSource
from tradewright.services.data_sources.plugin import PluginSource
from tradewright.services.market_service import MarketService

LIMIT_MAX: Final = 5_000
READ_DEADLINE_S: Final = 5.0
"""How long one read waits for the venue, in all."""
LOOK_BACK_FACTOR: Final = 20
WINDOW_BARS_MAX: Final = 50_000
SESSION_DAY_FACTOR: Final = 1.5
"""How many days to look back for one session: weekends and holidays lie between."""


@dataclass(frozen=True, slots=True)
class BarsAnswer:
    """Bars of one series, where each part came from, and what is missing and why.

    ``forming`` says that the last bar has not ended. ``stored`` is the opening of the first and last
    stored bar, told where the answer has no bar, so that a reader can go where there are some.
    """

    key: SeriesKey
    bars: Bars
    forming: bool
    sources: tuple[SourcePart, ...]
    gaps: tuple[Gap, ...]
    problems: tuple[Problem, ...]
    stored: tuple[int, int] | None = None


class _Question(NamedTuple):
    key: SeriesKey
    start_ms: int | None
    end_ms: int | None
    limit: int


class DataOrchestrator:
    """Asks cache, aggregates and plugin in this order; each only for what those before it lack.

    Equal questions in flight are one. A provider that fails costs the part that only it has.
    """

    def __init__(self, markets: MarketService, store: BarStore, clock: Clock) -> None:
        self._markets = markets
        self._store = store
        self._clock = clock
        plugin = self.venue = PluginSource(markets, store, clock)
        self._minutes = SourceChain(DbSource(store), plugin)
        self._higher = SourceChain(AggregateSource(store), DbSource(store), plugin)
        self._running: dict[_Question, asyncio.Task[BarsAnswer]] = {}

    async def close(self) -> None:
        """End what is still being read."""
        running = tuple(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def get_bars(
        self, key: SeriesKey, *, start_ms: int | None = None, end_ms: int | None = None, limit: int = 500
    ) -> BarsAnswer:
        """The first ``limit`` bars with ``start_ms <= t < end_ms``; without ``start_ms`` the newest
        ``limit`` before ``end_ms`` (default now), looked for in at most twenty times that many
        timeframes of trading time.

        Raises ``UnknownMarket``, ``UnknownProvider``, ``UnknownSymbol``, ``UnknownTimeframe``,
        ``InvalidInput``; what a venue fails to give is in ``problems`` and ``gaps``.
        """
        Timeframe.parse(key.timeframe)
        if not 1 <= limit <= LIMIT_MAX:
            raise InvalidInput("The limit is out of range.", {"limit": f"from 1 to {LIMIT_MAX}"})
        if start_ms is not None and end_ms is not None and start_ms > end_ms:
            raise InvalidInput("The start lies after the end.", {"start": "not after end"})
        question = _Question(key, start_ms, end_ms, limit)
        task = self._running.get(question)
        if task is None:
            task = asyncio.get_running_loop().create_task(
                self._answer(question), name=f"data_orchestrator/{key.symbol} {key.timeframe}"
            )
            self._running[question] = task
            task.add_done_callback(lambda _: self._running.pop(question, None))
        # Shielded: one reader that leaves must not take the answer from the others.
        return await asyncio.shield(task)

    async def _answer(self, question: _Question) -> BarsAnswer:
        key = question.key
        instrument = await self._markets.instrument(key.instrument)
        calendar = await self._markets.calendar(instrument)
        async with self._markets.plugin(key.market, key.provider) as plugin:
            request = await self._request(key.instrument, instrument, calendar, plugin)
        reader = _Reader(self, replace(request, timeframe=Timeframe.parse(key.timeframe)), question.limit)
        end = request.now_ms + 1 if question.end_ms is None else question.end_ms
        if question.start_ms is None:
            await reader.read_backwards(end)
        else:
            await reader.read_forwards(question.start_ms, end)
        answer = reader.answer(key)
        if not len(answer.bars):
            answer = replace(answer, stored=await self.stored_extent(key))
        return answer

    async def _request(
        self,
        key: InstrumentKey,
        instrument: Instrument,
        calendar: TradingCalendar,
        plugin: MarketPlugin,
    ) -> BarRequest:
        now = await plugin.venue_time_ms()
        deadline_s = asyncio.get_running_loop().time() + READ_DEADLINE_S
        return BarRequest(key, calendar, ONE_MINUTE, NO_INTERVALS, now, now - plugin.settling_ms, deadline_s)

    async def stored_extent(self, key: SeriesKey) -> tuple[int, int] | None:
        """The openings of the first and last stored bar that can serve the series."""
        own = await self._store.extent(key)
        minutes = await self._store.extent(key.instrument.series(ONE_MINUTE))
        known = [extent for extent in (own, minutes) if extent is not None]
        if not known:
            return None
        return min(extent[0] for extent in known), max(extent[1] for extent in known)

    async def collect(self, request: BarRequest) -> SourceAnswer:
        """What all sources together have of the request."""
        if not request.wanted:
            return SourceAnswer.nothing()
        chain = self._minutes if request.timeframe is ONE_MINUTE else self._higher
        return await chain.fetch(request)


class _Reader:
    """One question being answered: reads windows until there are enough bars or no more to look for."""

    def __init__(self, orchestrator: DataOrchestrator, request: BarRequest, limit: int) -> None:
        self._orchestrator = orchestrator
        self._request = request
        self._timeframe = request.timeframe
        self._limit = limit
        self._sessions = request.calendar.open_intervals(0, 1) != IntervalSet.single(0, 1)
        self._collected = SourceAnswer.nothing()
        self._range = (0, 0)

    async def read_forwards(self, start: int, end: int) -> None:
        """The first bars from ``start`` on."""
        timeframe = self._timeframe
        first = cursor = timeframe.ceil(start)
        last = min(timeframe.ceil(end), timeframe.end(timeframe.floor(self._request.now_ms)))
        width = self._limit
        while cursor < last and len(self._collected.bars) < self._limit:
            window_end = min(last, timeframe.shift(cursor, width))
            if not await self._read_window(cursor, window_end):
                window_end = await self._after_nothing(window_end, last)
            cursor, width = window_end, min(width * 2, max(self._limit, WINDOW_BARS_MAX))
        bars = self._collected.bars.between(first, cursor)[: self._limit]
        stop = timeframe.end(int(bars.time[-1])) if len(bars) == self._limit else max(first, cursor)
        self._finish(bars, first, stop)

    async def read_backwards(self, end: int) -> None:
        """The newest bars before ``end``."""
        timeframe = self._timeframe
        last = cursor = min(timeframe.ceil(end), timeframe.end(timeframe.floor(self._request.now_ms)))
        furthest = max(0, self._back_from(last, self._limit * LOOK_BACK_FACTOR))
        width = self._limit
        while cursor > furthest and len(self._collected.bars) < self._limit:
            window_start = max(furthest, self._back_from(cursor, width))
            if not await self._read_window(window_start, cursor):
                beginning = await self._beginning()
                if beginning is not None and beginning >= window_start:
                    cursor = min(last, beginning)  # before it was listed there was nothing to miss
                    break
            cursor, width = window_start, width * 2
        bars = self._collected.bars.between(cursor, last)
        bars = bars[max(0, len(bars) - self._limit) :]
        start = int(bars.time[0]) if len(bars) == self._limit else cursor
        self._finish(bars, start, last)

    async def _beginning(self) -> int | None:
        """The opening of the first bar there can be; None where nobody knows."""
        listed = await self._orchestrator.venue.listed_since(self._request)
        if listed is None:
            return None
        stored = await self._orchestrator.stored_extent(self._request.key)
        return self._timeframe.floor(min(listed, stored[0] if stored is not None else listed))

    def _back_from(self, end: int, bars: int) -> int:
        """The opening before which ``bars`` timeframes of trading time lie up to ``end``."""
        timeframe, calendar = self._timeframe, self._request.calendar
        if not self._sessions or timeframe.length_ms > ONE_DAY.length_ms:
            return timeframe.shift(end, -bars)
        if timeframe is ONE_DAY:
            return timeframe.shift(end, -int(bars * SESSION_DAY_FACTOR) - 7)
        needed_ms, span_ms = bars * timeframe.length_ms, bars * timeframe.length_ms
        while span_ms < end:
            sessions = calendar.open_intervals(end - span_ms, end)
            if sessions.length_ms >= needed_ms:
                for session_start, session_end in reversed(sessions.items):
                    needed_ms -= session_end - session_start
                    if needed_ms <= 0:
                        return timeframe.floor(session_start - needed_ms)
            span_ms = span_ms * 2 + 4 * ONE_DAY.length_ms
        return 0

    async def _read_window(self, start: int, end: int) -> bool:
        """Add what the sources have of the window; whether that is a bar at least."""
        wanted = self._request.narrowed(IntervalSet.single(start, end))
        found = await self._orchestrator.collect(wanted)
        self._collected = self._collected.joined(found)
        return len(found.bars) > 0

    async def _after_nothing(self, cursor: int, last: int) -> int:
        """Where to go on after a window without a bar: long before a listing there is nothing to find."""
        stored = await self._orchestrator.stored_extent(self._request.key)
        if stored is not None and stored[0] < cursor <= stored[1]:
            return cursor
        first_stored = stored[0] if stored is not None and stored[0] >= cursor else last
        listed = await self._orchestrator.venue.listed_since(self._request)
        if listed is None:
            return min(last, first_stored) if stored is not None else cursor
        return min(last, max(cursor, self._timeframe.floor(min(first_stored, listed))))

    def _finish(self, bars: Bars, start: int, end: int) -> None:
        self._collected = replace(self._collected, bars=bars)
        self._range = (start, end)

    def answer(self, key: SeriesKey) -> BarsAnswer:
        """What was found, with its gaps and sources."""
        found, (start, end) = self._collected, self._range
        bars = found.bars
        forming = bool(len(bars)) and self._timeframe.end(int(bars.time[-1])) > self._request.now_ms
        return BarsAnswer(
            key, bars, forming, _merged_parts(found.parts, start, end), self._gaps(start, end), found.problems
        )

    def _gaps(self, start: int, end: int) -> tuple[Gap, ...]:
        """The stretches without a bar, and why. The forming bar, bars that have only just ended, and
        closed sessions are none."""
        found = self._collected
        end = min(end, self._timeframe.floor(max(0, self._request.final_ms)))
        missing = self._expected(start, end).subtract(_occupied(found.bars, self._timeframe))
        quiet = missing.intersect(found.complete)
        down = missing.intersect(found.outage).subtract(quiet)
        unknown = missing.subtract(quiet).subtract(down)
        labelled: tuple[tuple[GapReason, IntervalSet], ...] = (
            ("no_trades", quiet),
            ("outage", down),
            ("not_fetched", unknown),
        )
        return tuple(
            sorted(
                (Gap(gap_start, gap_end, reason) for reason, gaps in labelled for gap_start, gap_end in gaps),
                key=lambda gap: gap.start,
            )
        )

    def _expected(self, start: int, end: int) -> IntervalSet:
        """The bars of ``[start, end)`` in which the market is open for some time."""
        sessions = self._request.calendar.open_intervals(start, end)
        timeframe = self._timeframe
        return IntervalSet.of((timeframe.floor(s), timeframe.ceil(e)) for s, e in sessions).clip(start, end)


def _occupied(bars: Bars, timeframe: Timeframe) -> IntervalSet:
    """The time that the bars take up."""
    if not len(bars):
        return NO_INTERVALS
    ends = np.array([timeframe.end(time) for time in bars.time.tolist()], dtype=np.int64)
    breaks = bars.time[1:] != ends[:-1]
    starts = bars.time[np.concatenate(([True], breaks))]
    stops = ends[np.concatenate((breaks, [True]))]
    return IntervalSet.of(zip(starts.tolist(), stops.tolist(), strict=True))


def _merged_parts(parts: Sequence[SourcePart], start: int, end: int) -> tuple[SourcePart, ...]:
    """The parts inside the range, by time, neighbours of one source joined; of two sources that
    answered one stretch, the earlier in the chain is named."""
    taken = NO_INTERVALS
    result: list[SourcePart] = []
    for part in parts:
        stretch = IntervalSet.single(part.start, part.end).clip(start, end)
        result += [SourcePart(part.source, s, e) for s, e in stretch.subtract(taken)]
        taken = taken.union(stretch)
    merged: list[SourcePart] = []
    for part in sorted(result, key=lambda item: item.start):
        if merged and merged[-1].source == part.source and merged[-1].end == part.start:
            merged[-1] = replace(merged[-1], end=part.end)
        else:
            merged.append(part)
    return tuple(merged)
