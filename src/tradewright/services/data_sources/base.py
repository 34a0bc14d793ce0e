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
from tradewright.domain.timeframes import Timeframe
from tradewright.runtime.calendars import TradingCalendar

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
        """The parts of the hull in which no bar is expected: closed sessions, and what was before the
        listing."""
        start, end = self.hull
        return IntervalSet.single(start, end).subtract(self.open_intervals(start, end))

    def open_intervals(self, start_ms: int, end_ms: int) -> IntervalSet:
        """When in ``[start_ms, end_ms)`` the instrument could be traded."""
        first = start_ms if self.listed_ms is None else max(start_ms, self.listed_ms)
        return self.calendar.open_intervals(first, end_ms) if first < end_ms else NO_INTERVALS

    def whole(self, covered: IntervalSet) -> IntervalSet:
        """The wanted bars all of whose open time is ``covered``. Closed time completes bars that are
        covered otherwise; alone it answers nothing."""
        if not covered:
            return NO_INTERVALS
        known = whole_bars(covered.union(self.closed()), self.timeframe)
        return known.intersect(self.wanted).touching(covered)

    def until_final(self) -> IntervalSet:
        """The wanted bars that can't change any more."""
        start, end = self.hull
        return self.wanted.clip(start, min(end, self.timeframe.floor(self.final_ms)))


@dataclass(frozen=True, slots=True)
class SourcePart:
    """Which source answered ``[start, end)``."""

    source: SourceName
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SourceAnswer:
    """What a source has. ``answered`` is what needs no further source; inside it, ``complete`` is where
    a missing bar means that nothing was traded, ``outage`` where the venue was down."""

    bars: Bars
    answered: IntervalSet = NO_INTERVALS
    complete: IntervalSet = NO_INTERVALS
    outage: IntervalSet = NO_INTERVALS
    parts: tuple[SourcePart, ...] = ()
    problems: tuple[Problem, ...] = ()

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
