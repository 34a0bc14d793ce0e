"""Whether an answer for bars is right, whole as far as the store knew, and honest about the rest."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tests.support.engine_walk.equality import check_bars, check_same_times
from tests.support.engine_walk.watch import ends_of
from tests.support.engine_walk.world import World
from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.timeframes import MINUTE_MS, Timeframe
from tradewright.services.data_orchestrator import LOOK_BACK_FACTOR, BarsAnswer

PASSING_BARS: Final = 3
"""How many bars may come while one question is answered."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a reader asks."""

    instrument: InstrumentKey
    timeframe: Timeframe
    start_ms: int | None
    end_ms: int | None
    limit: int


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knew before the question: of the minutes, and of the venue's own bars."""

    minutes: IntervalSet
    native: IntervalSet
    now_ms: int

    def whole(self, world: World, timeframe: Timeframe) -> IntervalSet:
        """The bars of the timeframe that it could give."""
        return world.whole(self.minutes, timeframe, self.now_ms).union(self.native)


class Judge:
    """Checks one answer, and counts what it compared."""

    def __init__(
        self, world: World, counts: Counter[str], question: Question, answer: BarsAnswer, before_ms: int
    ) -> None:
        self._counts = counts
        self._question = question
        self._answer = answer
        self._timeframe = question.timeframe
        self._truths = world.truths(question.instrument, question.timeframe)
        self._forms = world.forms(question.instrument, question.timeframe)
        self._world = world
        self.bars = answer.bars
        self._before_ms = before_ms
        self._settled_ms = before_ms - world.plugin.settling_ms - MINUTE_MS
        self.problems = answer.problems
        self.unknown = IntervalSet.of(
            (gap.start, gap.end) for gap in answer.gaps if gap.reason == "not_fetched"
        )

    def check(self, known: Known) -> None:
        """Everything that holds at any time, whatever happens to the venue, the cache and the store."""
        bars = self._answer.bars
        self._counts["answers"] += 1
        self._counts["bars compared"] += len(bars)
        self._counts[f"answers of {self._timeframe}"] += 1
        for part in self._answer.sources:
            self._counts[f"parts from {part.source}"] += 1
        self.check_bars()
        self._check_gaps()
        self._check_stored(known)
        if not self.unknown:
            self._check_whole()

    def check_bars(self) -> None:
        """Every bar that was final when it was asked for is true, and no bar is invented."""
        bars = self._answer.bars
        assert len(bars) <= self._question.limit, "more bars than asked for"
        final_ms = self._world.final_ms(self._timeframe, self._settled_ms)
        final = bars.take(ends_of(bars.time, self._timeframe) <= final_ms)
        check_bars(final, self._forms)
        around = (int(bars.time[0]), int(bars.time[-1]) + 1) if len(bars) else (0, 0)
        there = {time for truth in self._truths for time in truth.between(*around).time.tolist()}
        assert set(bars.time.tolist()) <= there, "a bar was invented"

    def _check_gaps(self) -> None:
        gaps = self._answer.gaps
        for gap in gaps:
            self._counts[f"gaps {gap.reason}"] += 1
            inside = self._answer.bars.between(gap.start, gap.end)
            assert not len(inside), f"{gap} holds bars of the answer"
            start = max(
                gap.start, self._timeframe.ceil(self._world.start_ms)
            )  # of times before none is known
            expected = self._expected(start, gap.end, around=gap.reason == "not_fetched")
            assert start >= gap.end or expected.contains(start, gap.end), f"{gap} is closed time"
            if gap.reason == "not_fetched":
                continue
            for truth in self._truths[1:] or self._truths:
                hidden = truth.between(gap.start, gap.end)
                assert not len(hidden), f"{gap} holds bars that there are: {hidden.time.tolist()[:3]}"
            if gap.reason == "outage":
                assert self._world.some_silent(gap.start, gap.end), f"{gap} was none"
        for before, after in itertools.pairwise(gaps):
            assert before.end <= after.start, "gaps overlap or are out of order"

    def _expected(self, start: int, end: int, *, around: bool) -> IntervalSet:
        """The bars in which trades are expected for some time, or ``around`` these times may have been."""
        floor, ceil, world = self._timeframe.floor, self._timeframe.ceil, self._world
        times = world.traded(IntervalSet.single(start, end)) if around else world.open(start, end)
        return IntervalSet.of((floor(first), ceil(last)) for first, last in times)

    def _check_stored(self, known: Known) -> None:
        """What the store knew is answered, though the venue be dead and the cache gone."""
        whole = known.whole(self._world, self._timeframe)
        left_out = self.unknown.intersect(whole)
        assert not left_out, f"stored, and said to be not fetched: {left_out.items[:3]}"
        bars = self._answer.bars
        low, high = self._range()
        expected = self._certain().between(low, high).inside(whole)
        missing = set(expected.time.tolist()) - set(bars.time.tolist())
        assert not missing, f"{len(missing)} stored bars are left out, the first {min(missing)}"
        self._counts["stored bars found"] += len(expected)

    def _range(self) -> tuple[int, int]:
        """Where every stored bar has to be in the answer."""
        question, timeframe, bars = self._question, self._timeframe, self._answer.bars
        full = len(bars) == question.limit
        end = self._settled_ms if question.end_ms is None else timeframe.ceil(question.end_ms)
        if question.start_ms is not None:
            start = timeframe.ceil(question.start_ms)
            return (start, int(bars.time[-1]) + 1) if full else (start, end)
        if full:
            return int(bars.time[0]), end
        # From the bar that was forming on, which may be a later one by the time it was looked at.
        latest = timeframe.shift(timeframe.floor(self._before_ms), PASSING_BARS)
        if question.end_ms is not None:
            latest = min(timeframe.ceil(end), latest)
        return self._world.look_back(timeframe, latest, question.limit * LOOK_BACK_FACTOR), end

    def _certain(self) -> Bars:
        """The bars that there are, whichever truth holds."""
        certain = self._truths[0]
        return certain if len(self._truths) == 1 else certain.take(_among(certain, self._truths[1]))

    def _check_whole(self) -> None:
        """Where nothing is said to be missing, nothing is."""
        if len(self._truths) > 1:
            return
        question, timeframe, limit = self._question, self._timeframe, self._question.limit
        end = question.end_ms if question.end_ms is not None else self._settled_ms
        settled = self._truths[0].between(0, timeframe.floor(self._settled_ms))
        bars = self._answer.bars
        if question.start_ms is not None:
            expected = settled.between(question.start_ms, end)[:limit]
            found = bars.between(0, int(expected.time[-1]) + 1) if len(expected) else bars[:0]
        elif question.end_ms is None or timeframe.ceil(end) > timeframe.floor(self._settled_ms):
            return  # what is newest changes while it is read: the bars themselves were compared
        else:
            lookback = self._world.look_back(timeframe, timeframe.ceil(end), limit * LOOK_BACK_FACTOR)
            expected = settled.between(lookback, end)
            expected, found = expected[max(0, len(expected) - limit) :], bars
        check_same_times(found, expected)
        self._counts["whole answers"] += 1


def _among(bars: Bars, others: Bars) -> NDArray[np.bool_]:
    return np.isin(bars.time, others.time)
