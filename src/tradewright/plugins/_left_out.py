"""Where bars were that a venue gave and that can't be right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tradewright.domain.bars import Bars
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.timeframes import Timeframe

_LAST_MS: Final = 253_370_764_800_000  # the year 9999


def left_out(times: Iterable[int | None], sound: Bars, timeframe: Timeframe) -> IntervalSet:
    """The bars that an answer had rows of, at ``times``, and that are not among the ``sound`` ones.

    A row without a sensible time may have been any bar up to the last sound one.
    """
    taken = IntervalSet.of((time, timeframe.end(time)) for time in sound.time.tolist())
    known, lost = set[int](), False
    for time in times:
        if time is None or not 0 < time < _LAST_MS:
            lost = True
        else:
            known.add(timeframe.floor(time))
    found = IntervalSet.of((time, timeframe.end(time)) for time in known)
    if lost and taken:
        found = found.union(IntervalSet.single(0, taken.items[-1].end))
    return found.subtract(taken)
