"""``DataSource``: asked for intervals of one series, it answers with bars and with what it answered."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeAlias

from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.resampling import whole_bars
from tradewright.domain.streams import Problem
from tradewright.domain.timeframes import DAY_MS, Timeframe
from tradewright.runtime.calendars import TradingCalendar, follows_sessions

SourceName: TypeAlias = Literal["cache", "aggregate", "db", "plugin"]


@dataclass(slots=True)
class ReadBudget:
    """What one read may take of the venue, shared by all of its parts: until ``deadline_s``, a time of the
    event loop, it is waited for, and ``minute_calls`` more may be spent on minutes where the venue has
    coarser bars."""

    deadline_s: float
    minute_calls: int

    @property
    def spent(self) -> bool:
        """Whether the venue's time is over."""
        return asyncio.get_running_loop().time() >= self.deadline_s

    def take_minute_calls(self, calls: int) -> bool:
        """Take so many calls for minutes, if they are there."""
        if calls > self.minute_calls:
            return False
        self.minute_calls -= calls
        return True


@dataclass(frozen=True, slots=True)
class BarRequest:
    """Whole bars of one series over ``wanted``, whose intervals begin and end at openings of ``timeframe``.

    ``now_ms`` is venue time, one moment for the whole of an answer. Bars that end at or before
    ``final_ms`` can't change any more; the bar that contains ``now_ms`` is forming. Before
    ``listed_ms``, where it is known, there was nothing to trade.
    """

    instrument: InstrumentKey
    calendar: TradingCalendar
    timeframe: Timeframe
    wanted: IntervalSet
    now_ms: int
    final_ms: int
    budget: ReadBudget
    listed_ms: int | None = None

    @property
    def key(self) -> SeriesKey:
        """The series that is asked for."""
        return self.instrument.series(self.timeframe)

    @property
    def hull(self) -> tuple[int, int]:
        """From the first wanted time to the last; ``wanted`` is not empty."""
        return self.wanted.items[0].start, self.wanted.items[-1].end

    def narrowed(self, wanted: IntervalSet) -> BarRequest:
        """The same request for other intervals."""
        return replace(self, wanted=wanted)

    def of(self, timeframe: Timeframe, wanted: IntervalSet) -> BarRequest:
        """A request for another timeframe of the same instrument, at the same moment."""
        return replace(self, timeframe=timeframe, wanted=wanted)

    def closed(self) -> IntervalSet:
        """The parts of the hull from which nothing goes into a bar: closed sessions, for intraday bars
        without the hours around them, and what was before the listing."""
        start, end = self.hull
        counted = self.open_intervals if self.follows_sessions else self.traded_intervals
        return IntervalSet.single(start, end).subtract(counted(start, end))

    def bar_of_listing(self) -> IntervalSet:
        """The bar that is whole although the instrument was listed only in its middle; perhaps none."""
        if self.listed_ms is None or self.timeframe.floor(self.listed_ms) == self.listed_ms:
            return NO_INTERVALS
        return IntervalSet.single(self.timeframe.floor(self.listed_ms), self.timeframe.ceil(self.listed_ms))

    def open_intervals(self, start_ms: int, end_ms: int) -> IntervalSet:
        """When in ``[start_ms, end_ms)`` the instrument could be traded."""
        first = start_ms if self.listed_ms is None else max(start_ms, self.listed_ms)
        return self.calendar.open_intervals(first, end_ms) if first < end_ms else NO_INTERVALS

    def expected(self, start_ms: int, end_ms: int) -> IntervalSet:
        """The bars of ``[start_ms, end_ms)``, cut there, in which it could be traded for some time."""
        return self.bars_in(self.open_intervals(start_ms, end_ms)).clip(start_ms, end_ms)

    def bars_in(self, intervals: IntervalSet) -> IntervalSet:
        """The bars that touch the intervals."""
        floor, ceil = self.timeframe.floor, self.timeframe.ceil
        return IntervalSet.of((floor(start), ceil(end)) for start, end in intervals)

    def traded_intervals(self, start_ms: int, end_ms: int) -> IntervalSet:
        """When in ``[start_ms, end_ms)`` there may be bars of it, expected or not."""
        first = start_ms if self.listed_ms is None else max(start_ms, self.listed_ms)
        return self.calendar.traded_intervals(first, end_ms) if first < end_ms else NO_INTERVALS

    @property
    def follows_sessions(self) -> bool:
        """Whether a bar is made of the sessions alone."""
        return follows_sessions(self.calendar, self.timeframe)

    def regular(self, minutes: Bars) -> Bars:
        """Of the minutes those from which a bar is made: all, or those of the sessions."""
        if not self.follows_sessions or not len(minutes):
            return minutes
        return minutes.inside(self.open_intervals(int(minutes.time[0]), int(minutes.time[-1]) + 1))

    def whole(self, covered: IntervalSet) -> IntervalSet:
        """The wanted bars with something ``covered`` in them, and all of which is that is not closed. Closed
        time completes a bar; alone it answers nothing."""
        if not covered:
            return NO_INTERVALS
        timeframe = self.timeframe
        known = whole_bars(covered.union(self.closed()), timeframe)
        return known.intersect(self.wanted).intersect(self.bars_in(covered))

    def final_end(self) -> int:
        """Until when no bar of the venue's can change any more. A day of stocks counts what is traded after
        its session, too, and in winter that lasts into the next day of UTC."""
        end = self.timeframe.floor(max(0, self.final_ms))
        if self.follows_sessions:
            for start, stop in self.calendar.traded_intervals(end, end + DAY_MS):
                if start == end and self.final_ms < stop:
                    return self.timeframe.shift(end, -1)
        return end

    def ended(self) -> IntervalSet:
        """The wanted bars that are not forming any more."""
        start, end = self.hull
        return self.wanted.clip(start, min(end, self.timeframe.floor(self.now_ms)))


@dataclass(frozen=True, slots=True)
class SourcePart:
    """Which source answered ``[start, end)``."""

    source: SourceName
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SourceAnswer:
    """What a source has. ``answered`` is what needs no further source; inside it, ``complete`` is where
    a missing bar means that nothing was traded, ``outage`` where the venue was down. ``provisional`` says
    that some of it holds only for now."""

    bars: Bars
    answered: IntervalSet = NO_INTERVALS
    complete: IntervalSet = NO_INTERVALS
    outage: IntervalSet = NO_INTERVALS
    parts: tuple[SourcePart, ...] = ()
    problems: tuple[Problem, ...] = ()
    provisional: bool = False

    @staticmethod
    def nothing(*problems: Problem) -> SourceAnswer:
        """No answer, and perhaps why."""
        return SourceAnswer(Bars.empty(), problems=problems)

    @staticmethod
    def join(answers: Sequence[SourceAnswer]) -> SourceAnswer:
        """All answers as one; where several have a bar, the earliest answer's counts."""
        if len(answers) == 1:
            return answers[0]
        complete = _union(answer.complete for answer in answers)
        return SourceAnswer(
            Bars.first_of([answer.bars for answer in answers]),
            _union(answer.answered for answer in answers),
            complete,
            _union(answer.outage for answer in answers).subtract(complete),
            tuple(part for answer in answers for part in answer.parts),
            tuple(dict.fromkeys(problem for answer in answers for problem in answer.problems)),
            any(answer.provisional for answer in answers),
        )


def _union(sets: Iterable[IntervalSet]) -> IntervalSet:
    return IntervalSet.of(interval for intervals in sets for interval in intervals)


class DataSource(ABC):
    """One place to get bars from. It never raises for what is merely missing or out of reach:
    it answers less, and says why in ``problems``."""

    name: ClassVar[SourceName]

    @abstractmethod
    async def fetch(self, request: BarRequest) -> SourceAnswer:
        """The bars it has of ``request.wanted``, and which intervals of it that answers."""

    def parts(self, intervals: IntervalSet) -> tuple[SourcePart, ...]:
        """The intervals labelled with this source's name."""
        return tuple(SourcePart(self.name, start, end) for start, end in intervals)


class SourceChain:
    """Sources in order, where each is asked only for what those before it left open."""

    def __init__(self, *sources: DataSource) -> None:
        self._sources = sources

    async def fetch(self, request: BarRequest) -> SourceAnswer:
        """The joined answer of all."""
        answers: list[SourceAnswer] = []
        missing = request.wanted
        for source in self._sources:
            if not missing:
                break
            answer = await source.fetch(request.narrowed(missing))
            answers.append(answer)
            missing = missing.subtract(answer.answered)
        return SourceAnswer.join(answers)
