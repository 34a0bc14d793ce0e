"""``DataOrchestrator``: one question for bars, asked of every source in order, and one honest answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.errors import (
    CredentialsRequired,
    InvalidInput,
    LimitExceeded,
    TimeoutPluginError,
    UnknownSymbol,
)
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import BarStore
from tradewright.domain.streams import Gap, GapReason, Problem
from tradewright.domain.timeframes import ONE_DAY, ONE_MINUTE, Timeframe, Times
from tradewright.runtime.clock import Clock
from tradewright.services.cache_manager import CacheManager
from tradewright.services.data_sources.aggregate import AggregateSource
from tradewright.services.data_sources.base import (
    BarRequest,
    ReadBudget,
    SourceAnswer,
    SourceChain,
    SourcePart,
)
from tradewright.services.data_sources.cache import CacheSource
from tradewright.services.data_sources.db import DbSource
from tradewright.services.data_sources.plugin import PluginSource
from tradewright.services.data_sources.remembering import Remembering
from tradewright.services.market_service import MarketService

LIMIT_MAX: Final = 5_000
READ_DEADLINE_S: Final = 5.0
"""How long one read waits for the venue, in all: for its list of symbols, its clock, its bars."""
LOOK_BACK_FACTOR: Final = 20
WINDOW_BARS_MAX: Final = 50_000
MINUTE_CALLS_MAX: Final = 5
"""How many calls for minutes one read of a higher timeframe may cost, before coarser bars are taken."""
FLIGHTS_MAX: Final = 512
NOW_S_MAX: Final = 1.0
"""So old may "now" be for who asks for the newest bars: what a feed tells goes back that far."""
SESSION_DAY_FACTOR: Final = 1.5
"""How many days to look back for one session: weekends and holidays lie between."""


@dataclass(frozen=True, slots=True)
class BarsAnswer:
    """Bars of one series, where each part came from, and what is missing and why.

    ``forming`` says that the last bar has not ended, ``final`` that nothing of the answer can change but by
    a correction. ``stored`` is the opening of the first and last
    stored bar, told where the answer has no bar, so that a reader can go where there are some.
    """

    key: SeriesKey
    bars: Bars
    forming: bool
    sources: tuple[SourcePart, ...]
    gaps: tuple[Gap, ...]
    problems: tuple[Problem, ...]
    final: bool = False
    stored: tuple[int, int] | None = None


class _Question(NamedTuple):
    key: SeriesKey
    start_ms: int | None
    end_ms: int | None
    limit: int


Repair: TypeAlias = Callable[[SeriesKey, IntervalSet], None]


def _leave(_key: SeriesKey, _holes: IntervalSet) -> None:
    """Nobody repairs."""


@dataclass(slots=True)
class _Flight:
    """A question that is being answered, and how many wait for it."""

    task: asyncio.Task[BarsAnswer]
    began_s: float
    deadline_s: float
    waiting: int = 0

    def serves(self, question: _Question, now_s: float) -> bool:
        """Whether who asks now may wait for it. Of a question without an end the answer tells what was when
        it began, and live bars are joined to it by those who ask."""
        fresh = question.end_ms is not None or now_s - self.began_s <= NOW_S_MAX
        return fresh and not self.task.cancelling()


class DataOrchestrator:
    """Asks the cache and the store, or what can be made from stored minutes, then the plugin; each only
    for what those before it lack.

    Equal questions in flight are one. A provider that fails costs the part that only it has. A
    question that nobody waits for any more is dropped. ``repair``, where somebody set it, is told
    what a read had to leave out for want of time; it returns at once.
    """

    def __init__(
        self,
        markets: MarketService,
        store: BarStore,
        clock: Clock,
        cache: CacheManager,
    ) -> None:
        self._markets = markets
        self._store = store
        self.repair: Repair = _leave
        plugin = self.venue = PluginSource(markets, store, clock)
        self._remembering = Remembering()
        self._minutes = SourceChain(CacheSource(cache, store, self._remembering), plugin)
        made = AggregateSource(store, cache, self._remembering)
        self._higher = SourceChain(made, DbSource(store), plugin)
        self._flights: dict[_Question, _Flight] = {}
        self._tasks: set[asyncio.Task[BarsAnswer]] = set()
        """All that is being read, also what nobody may join any more."""

    async def close(self) -> None:
        """End what is still being read."""
        running = tuple(self._tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._remembering.close()

    async def get_bars(
        self,
        key: SeriesKey,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 500,
        deadline_s: float | None = None,
    ) -> BarsAnswer:
        """The first ``limit`` bars with ``start_ms <= t < end_ms``; without ``start_ms`` the newest
        ``limit`` before ``end_ms`` (default now), looked for in at most twenty times that many
        timeframes of trading time. The venue is waited for until ``deadline_s``, a time of the event loop; by
        default for ``READ_DEADLINE_S`` from now on.

        Raises ``UnknownMarket``, ``UnknownProvider``, ``UnknownSymbol``, ``UnknownTimeframe``,
        ``InvalidInput``, and ``LimitExceeded`` where too much is being read already; the venue's error where
        nothing is known of the instrument and the venue did not list it in time. What else a venue
        fails to give is in ``problems`` and ``gaps``.
        """
        Timeframe.parse(key.timeframe)
        if not 1 <= limit <= LIMIT_MAX:
            raise InvalidInput("The limit is out of range.", {"limit": f"from 1 to {LIMIT_MAX}"})
        if start_ms is not None and end_ms is not None and start_ms > end_ms:
            raise InvalidInput("The start lies after the end.", {"start": "not after end"})
        question = _Question(key, start_ms, end_ms, limit)
        until_s = read_deadline_s() if deadline_s is None else deadline_s
        flight = self._join(question, until_s)
        flight.waiting += 1
        try:
            if flight.deadline_s <= until_s:
                # Shielded: one reader that leaves must not take the answer from the others.
                return await asyncio.shield(flight.task)
            left_s = until_s - asyncio.get_running_loop().time()
            await asyncio.wait({flight.task}, timeout=max(0.0, left_s))
            if flight.task.done():
                return flight.task.result()
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                flight.task.cancel()
        return await self._answer(question, until_s)  # others may wait for longer: here is what is stored

    def _join(self, question: _Question, deadline_s: float) -> _Flight:
        flight, now_s = self._flights.get(question), asyncio.get_running_loop().time()
        if flight is not None and flight.serves(question, now_s):
            return flight
        if len(self._tasks) >= FLIGHTS_MAX:
            raise LimitExceeded("Too many charts are being read at once.", retry_after_s=1.0)
        task = asyncio.get_running_loop().create_task(
            self._answer(question, deadline_s),
            name=f"data_orchestrator/{question.key.symbol} {question.key.timeframe}",
        )
        self._tasks.add(task)
        flight = self._flights[question] = _Flight(task, now_s, deadline_s)
        task.add_done_callback(lambda done: self._landed(question, done))
        return flight

    def _landed(self, question: _Question, task: asyncio.Task[BarsAnswer]) -> None:
        self._tasks.discard(task)
        flight = self._flights.get(question)
        if flight is not None and flight.task is task:
            del self._flights[question]
        if not task.cancelled():
            task.exception()  # looked at here, since everybody who waited may have left

    async def _answer(self, question: _Question, deadline_s: float) -> BarsAnswer:
        key = question.key
        instrument = await self._markets.instrument(key.instrument, deadline_s)
        calendar = await self._markets.calendar(instrument)
        async with self._markets.plugin(key.market, key.provider) as plugin:
            now_ms, final_ms = await self.venue.moment(key.market, plugin, deadline_s)
            request = BarRequest(
                key.instrument,
                calendar,
                Timeframe.parse(key.timeframe),
                NO_INTERVALS,
                now_ms,
                final_ms=final_ms,
                budget=ReadBudget(deadline_s, MINUTE_CALLS_MAX),
            )
            expected_ms = now_ms - plugin.settling_ms
            known = self.venue.known_listing(key.instrument)
            if known is not None:
                request = replace(request, listed_ms=await self.with_stored(key, known))
        reader = _Reader(self, request, question.limit, expected_ms)
        end = now_ms + 1 if question.end_ms is None else question.end_ms
        if question.start_ms is None:
            await reader.read_backwards(end)
        else:
            await reader.read_forwards(question.start_ms, end)
        answer = reader.answer(key)
        self._tell_repair(answer)
        if not len(answer.bars):
            _refuse_without_key(answer)
            answer = replace(answer, stored=await self.stored_extent(key))
        return answer

    def _tell_repair(self, answer: BarsAnswer) -> None:
        """What was left out because the venue needs more time is worth fetching beside the readers."""
        if any(problem.code == TimeoutPluginError.code for problem in answer.problems):
            holes = ((gap.start, gap.end) for gap in answer.gaps if gap.reason == "not_fetched")
            self.repair(answer.key, IntervalSet.of(holes))

    async def stored_extent(self, key: SeriesKey) -> tuple[int, int] | None:
        """The openings of the first and last stored bar that can serve the series."""
        own = await self._store.extent(key)
        minutes = await self._store.extent(key.instrument.series(ONE_MINUTE))
        known = [extent for extent in (own, minutes) if extent is not None]
        if not known:
            return None
        return min(extent[0] for extent in known), max(extent[1] for extent in known)

    async def first_known(self, key: SeriesKey, start: int, end: int) -> int:
        """From where on in ``[start, end)`` the store can tell something, if only that nothing was traded."""
        stored = await self.stored_extent(key)
        first = start if stored is None else min(max(start, stored[0]), end)
        for each in (key, key.instrument.series(ONE_MINUTE)):
            known = (await self._store.coverage(each, start, first)).known
            first = known.items[0].start if known else first
        return first

    async def with_stored(self, key: SeriesKey, listed_ms: int) -> int:
        """When the instrument's history begins: at its listing, or earlier where an import knows more."""
        stored = await self.stored_extent(key)
        return listed_ms if stored is None else min(listed_ms, stored[0])

    async def collect(self, request: BarRequest) -> SourceAnswer:
        """What all sources together have of the request."""
        if not request.wanted:
            return SourceAnswer.nothing()
        chain = self._minutes if request.timeframe is ONE_MINUTE else self._higher
        return await chain.fetch(request)


def read_deadline_s() -> float:
    """Until when a read that begins now waits for the venue, a time of the event loop."""
    return asyncio.get_running_loop().time() + READ_DEADLINE_S


def _refuse_without_key(answer: BarsAnswer) -> None:
    """Without a key there is nothing to tell but that; with stored bars the missing key is a problem."""
    for problem in answer.problems:
        if problem.code == CredentialsRequired.code:
            raise CredentialsRequired(problem.detail)


class _Reader:
    """One question being answered: reads windows until there are enough bars or no more to look for. Bars
    that ended by ``expected_ms`` should be there."""

    def __init__(
        self, orchestrator: DataOrchestrator, request: BarRequest, limit: int, expected_ms: int
    ) -> None:
        self._orchestrator = orchestrator
        self._request = request
        self._timeframe = request.timeframe
        self._limit = limit
        self._expected_ms = expected_ms
        self._sessions = request.calendar.open_intervals(0, 1) != IntervalSet.single(0, 1)
        self._asked_for_beginning = False
        self._found: list[SourceAnswer] = []
        self._bars_found = 0
        self._bars = Bars.empty()
        self._range = (0, 0)

    async def read_forwards(self, start: int, end: int) -> None:
        """The first bars from ``start`` on."""
        timeframe = self._timeframe
        first = cursor = timeframe.ceil(start)
        last = min(timeframe.ceil(end), timeframe.end(timeframe.floor(self._request.now_ms)))
        width = self._limit
        while cursor < last and self._bars_found < self._limit:
            window_end = min(last, timeframe.shift(cursor, width))
            if not await self._read_window(cursor, window_end):
                window_end = await self._after_nothing(window_end, last)
            cursor, width = window_end, min(width * 2, max(self._limit, WINDOW_BARS_MAX))
        bars = self._all_bars().between(first, cursor)[: self._limit]
        stop = timeframe.end(int(bars.time[-1])) if len(bars) == self._limit else max(first, cursor)
        self._finish(bars, first, stop)

    async def read_backwards(self, end: int) -> None:
        """The newest bars before ``end``."""
        timeframe = self._timeframe
        last = cursor = min(timeframe.ceil(end), timeframe.end(timeframe.floor(self._request.now_ms)))
        furthest = max(0, self._back_from(last, self._limit * LOOK_BACK_FACTOR))
        width = self._limit
        while cursor > furthest and self._bars_found < self._limit:
            window_start = max(furthest, self._back_from(cursor, width))
            found = await self._read_window(window_start, cursor)
            cursor, width = window_start, width * 2
            if not found:
                beginning = await self._beginning(window_start)
                if beginning is not None and timeframe.floor(beginning) >= window_start:
                    break  # before it was listed there is nothing to look for
        bars = self._all_bars().between(cursor, last)
        bars = bars[max(0, len(bars) - self._limit) :]
        begins = 0 if self._request.listed_ms is None else timeframe.floor(self._request.listed_ms)
        start = int(bars.time[0]) if len(bars) == self._limit else max(cursor, min(begins, last))
        self._finish(bars, start, last)

    async def _read_window(self, start: int, end: int) -> bool:
        """Add what the sources have of the window; whether that is a bar at least.

        Where its beginning could not be answered, the listing may lie inside it: that is found out
        once, and what was missing only because of it is read again.
        """
        wanted = IntervalSet.single(start, end)
        found = await self._orchestrator.collect(self._request.narrowed(wanted))
        missing = wanted.subtract(found.answered)
        if missing and missing.items[0].start == start and not self._asked_for_beginning:
            beginning = await self._beginning(start)
            if beginning is not None and start < beginning < end:
                again = await self._orchestrator.collect(self._request.narrowed(missing))
                found = SourceAnswer.join([found, again])
        self._found.append(found)
        self._bars_found += len(found.bars)
        return len(found.bars) > 0

    def _all_bars(self) -> Bars:
        return Bars.first_of([answer.bars for answer in self._found])

    async def _after_nothing(self, cursor: int, last: int) -> int:
        """Where to go on after a window without a bar: long before a listing there is nothing to find."""
        begins = await self._beginning(cursor)
        if begins is None:
            begins = await self._orchestrator.first_known(self._request.key, cursor, last)
        return min(last, max(cursor, self._timeframe.floor(begins)))

    async def _beginning(self, start: int) -> int | None:
        """When the instrument's history begins; None where nobody knows, or where what is stored tells that
        it was before ``start`` and nobody need ask. Asked for once in a read."""
        if self._request.listed_ms is None and not self._asked_for_beginning:
            stored = await self._orchestrator.stored_extent(self._request.key)
            if stored is not None and stored[0] < start:
                return None
            self._asked_for_beginning = True
            listed = None
            with suppress(UnknownSymbol):  # delisted: what is stored is still there
                listed = await self._orchestrator.venue.listed_since(self._request)
            if listed is not None:
                begins = await self._orchestrator.with_stored(self._request.key, listed)
                self._request = replace(self._request, listed_ms=begins)
        return self._request.listed_ms

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

    def _finish(self, bars: Bars, start: int, end: int) -> None:
        self._bars, self._range = bars, (start, end)

    def answer(self, key: SeriesKey) -> BarsAnswer:
        """What was found, with its gaps and sources."""
        found = SourceAnswer.join(self._found or [SourceAnswer.nothing()])
        bars, (start, end) = self._bars, self._range
        forming = bool(len(bars)) and self._timeframe.end(int(bars.time[-1])) > self._request.now_ms
        parts = _merged_parts(found.parts, start, end)
        gaps = self._gaps(found, start, end)
        settled = end <= self._request.final_end()
        passing = found.provisional or any(gap.reason == "not_fetched" for gap in gaps)
        final = settled and not found.problems and not passing
        return BarsAnswer(key, bars, forming, parts, gaps, found.problems, final)

    def _gaps(self, found: SourceAnswer, start: int, end: int) -> tuple[Gap, ...]:
        """The stretches without a bar, and why. The forming bar, bars that have only just ended, closed
        sessions and the time before the listing are none; of the hours around a session only what nobody
        could be asked for is one."""
        end = min(end, self._timeframe.floor(max(0, self._expected_ms)))
        bars = occupied(self._bars.time, self._timeframe)
        expected = self._request.expected(start, end)
        missing = expected.subtract(bars)
        quiet = missing.intersect(found.complete)
        # A bar without a trade in what was there of it, and with an outage in the rest, is all outage.
        broken = ((self._timeframe.floor(s), self._timeframe.ceil(e)) for s, e in found.outage)
        down = missing.intersect(IntervalSet.of(broken)).subtract(quiet)
        unknown = missing.subtract(quiet).subtract(down)
        if self._sessions and not self._request.follows_sessions:
            around = self._request.bars_in(self._request.traded_intervals(start, end)).clip(start, end)
            unknown = unknown.union(around.subtract(expected).subtract(bars).subtract(found.answered))
        labelled: tuple[tuple[GapReason, IntervalSet], ...] = (
            ("no_trades", quiet),
            ("outage", down),
            ("not_fetched", unknown),
        )
        gaps = (Gap(gap_start, gap_end, reason) for reason, part in labelled for gap_start, gap_end in part)
        return tuple(sorted(gaps, key=lambda gap: gap.start))


def occupied(openings: Times, timeframe: Timeframe) -> IntervalSet:
    """The time that bars take up which open then."""
    if not len(openings):
        return NO_INTERVALS
    ends = timeframe.end_array(openings)
    breaks = openings[1:] != ends[:-1]
    starts = openings[np.concatenate(([True], breaks))]
    stops = ends[np.concatenate((breaks, [True]))]
    return IntervalSet.of(zip(starts.tolist(), stops.tolist(), strict=True))


def _merged_parts(parts: Sequence[SourcePart], start: int, end: int) -> tuple[SourcePart, ...]:
    """The parts inside the range, by time and without overlap, neighbours of one source joined."""
    merged: list[SourcePart] = []
    cursor = start
    for part in sorted(parts, key=lambda item: (item.start, item.end)):
        first, last = max(part.start, cursor), min(part.end, end)
        if first >= last:
            continue
        cursor = last
        if merged and merged[-1].source == part.source and merged[-1].end == first:
            merged[-1] = replace(merged[-1], end=last)
        else:
            merged.append(SourcePart(part.source, first, last))
    return tuple(merged)
