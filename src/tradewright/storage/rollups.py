"""Rollups: hours and days made of the stored minutes and kept beside them, to be read in their place.

Where a store keeps them is its own affair; which they are, and how they follow a write, is told here.
Each rollup is made of the one before it, the first of minutes, so a write that reaches into a day
reads at most the rest of two hours in minutes and the rest of two days in hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.intervals import Interval
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import ONE_DAY, ONE_HOUR, ONE_MINUTE, Timeframe, Times

ROLLUPS: Final = (ONE_HOUR, ONE_DAY)
"""The timeframes that are kept, finest first."""
_FARTHEST_MS: Final = 2**53
"""As far as calendars are reckoned, hundreds of thousands of years either way."""


def source_of(timeframe: Timeframe) -> Timeframe:
    """Of minutes and the rollups, the coarsest that bars of ``timeframe`` can be made of."""
    return [each for each in (ONE_MINUTE, *ROLLUPS) if each.nests_in(timeframe)][-1]


def source_range(timeframe: Timeframe, start_ms: int, end_ms: int) -> Interval:
    """Where the finer bars open that make the bars of ``timeframe`` which open in ``[start_ms, end_ms)``."""
    start, end = (max(-_FARTHEST_MS, min(_FARTHEST_MS, time)) for time in (start_ms, end_ms))
    return Interval(timeframe.ceil(start), timeframe.ceil(end))


@dataclass(frozen=True, slots=True)
class Stretch:
    """All the bars of one timeframe that open in ``[start, end)``, as they are after a write."""

    start: int
    end: int
    bars: Bars

    def widened(self, before: Bars, after: Bars, reach: Interval) -> Stretch:
        """The same with all the stored bars around it, up to ``reach``."""
        return Stretch(reach.start, reach.end, Bars.concat((before, self.bars, after)))


@dataclass(frozen=True, slots=True)
class RollupChange:
    """What becomes of one rollup: ``bars`` are to be inserted or replaced, at ``emptied`` none is left."""

    bars: Bars
    emptied: Times


def reach(stretch: Stretch, touched: Times, rollup: Timeframe) -> Interval:
    """How far the stretch has to be widened before the rollup's bars that hold any of the ``touched``
    times (ascending, at least one, all inside it) can be made; where they are whole, not at all."""
    first, last = rollup.floor(int(touched[0])), rollup.floor(int(touched[-1]))
    return Interval(min(first, stretch.start), max(rollup.end(last), stretch.end))


def rolled_up(stretch: Stretch, touched: Times, rollup: Timeframe) -> tuple[RollupChange, Stretch]:
    """What the ``touched`` times change in the rollup, and the rollup's own bars inside ``stretch``,
    which was widened to its ``reach``."""
    start, end = rollup.ceil(stretch.start), rollup.floor(stretch.end)
    bars = resample(stretch.bars.between(start, end), rollup)
    opens = np.unique(rollup.floor_array(touched))
    # An opening after the last bar is looked up one place behind it, where no opening is.
    place = np.searchsorted(bars.time, opens)
    filled = np.append(bars.time, end)[place] == opens
    return RollupChange(bars.take(place[filled]), opens[~filled]), Stretch(start, end, bars)
