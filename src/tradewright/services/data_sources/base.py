"""``DataSource``: asked for intervals of one series, it answers with bars and with what it answered."""

from __future__ import annotations

from abc import ABC, abstractmethod
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


@dataclass(frozen=True, slots=True)
class BarRequest:
    """Whole bars of one series over ``wanted``, whose intervals begin and end at openings of ``timeframe``.

    ``now_ms`` is venue time, one moment for the whole of an answer. Bars that end at or before
    ``final_ms`` can't change any more; the bar that contains ``now_ms`` is forming. Until
    ``deadline_s``, a time of the event loop, the venue may be waited for.
    """

    instrument: InstrumentKey
    calendar: TradingCalendar
    timeframe: Timeframe
    wanted: IntervalSet
    now_ms: int
    final_ms: int
    deadline_s: float

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
        """The parts of the hull in which the market is closed and no bar is expected."""
        start, end = self.hull
        return IntervalSet.single(start, end).subtract(self.calendar.open_intervals(start, end))

    def whole(self, covered: IntervalSet) -> IntervalSet:
        """The wanted bars all of whose open time is ``covered``."""
        known = covered.union(self.closed()) if covered else NO_INTERVALS
        return whole_bars(known, self.timeframe).intersect(self.wanted)

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

    def joined(self, other: SourceAnswer) -> SourceAnswer:
        """Both answers, of which the other one's bars fill what this one lacks."""
        return SourceAnswer(
            other.bars.merged_with(self.bars),
            self.answered.union(other.answered),
            self.complete.union(other.complete),
            self.outage.union(other.outage).subtract(self.complete.union(other.complete)),
            self.parts + other.parts,
            self.problems + tuple(problem for problem in other.problems if problem not in self.problems),
        )


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
        answer = SourceAnswer.nothing()
        for source in self._sources:
            missing = request.wanted.subtract(answer.answered)
            if not missing:
                break
            answer = answer.joined(await source.fetch(request.narrowed(missing)))
        return answer
