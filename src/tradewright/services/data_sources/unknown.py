"""What a venue was asked for and did not tell, though it answered: it is left alone for a while."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.runtime.clock import Clock

LEFT_ALONE_S: Final = 600.0
"""How long what did not come is not asked for again by a reader."""
_SERIES_MAX: Final = 4_096
_PIECES_MAX: Final = 256


class _Left(NamedTuple):
    stretches: IntervalSet
    until_s: float


class Untold:
    """Stretches of which a venue gave bars that can't be right, or that lie before what it serves. They are
    no silence: however often they are asked for, nothing is concluded, and what is stored says nothing of
    them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left: OrderedDict[SeriesKey, _Left] = OrderedDict()

    def note(self, key: SeriesKey, stretches: IntervalSet) -> None:
        """Leave these alone for a while."""
        now_s = self._clock.monotonic()
        left = self._left.pop(key, None)
        if left is None or now_s >= left.until_s or len(left.stretches) > _PIECES_MAX:
            left = _Left(NO_INTERVALS, now_s + LEFT_ALONE_S)
        self._left[key] = _Left(left.stretches.union(stretches), left.until_s)
        while len(self._left) > _SERIES_MAX:
            self._left.popitem(last=False)

    def too_early(self, key: SeriesKey) -> IntervalSet:
        """What did not come so lately that it is not asked for again."""
        left = self._left.get(key)
        return left.stretches if left is not None and self._clock.monotonic() < left.until_s else NO_INTERVALS
