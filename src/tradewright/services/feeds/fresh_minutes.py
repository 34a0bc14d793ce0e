"""The minute at work as trades tell it, where the venue's own bars come late. No I/O, no clock."""

from __future__ import annotations

from typing import Final

from tradewright.domain.bars import BarRow
from tradewright.domain.ticks import Trade
from tradewright.domain.timeframes import MINUTE_MS, ONE_MINUTE
from tradewright.services.feeds.derivation import fold

_MINUTES_MAX: Final = 3


class FreshMinutes:
    """Trades that came since the venue last spoke of their minute. What it says itself always counts more,
    and only what it says closes a minute."""

    def __init__(self) -> None:
        self._traded: dict[int, BarRow] = {}
        self._whole_from_ms = 2**62
        self.changed = False

    def begin(self, venue_now_ms: int) -> None:
        """From the next minute on all trades come; of this one some are missing."""
        self._traded.clear()
        self._whole_from_ms = ONE_MINUTE.floor(venue_now_ms) + MINUTE_MS
        self.changed = False

    def trade(self, trade: Trade) -> None:
        """A trade that the stream told."""
        at = ONE_MINUTE.floor(trade.time)
        row = (at, trade.price, trade.price, trade.price, trade.price, trade.amount)
        known = self._traded.get(at)
        self._traded[at] = row if known is None else fold(at, (known, row)) or row
        while len(self._traded) > _MINUTES_MAX:
            del self._traded[min(self._traded)]
        self.changed = True

    def told(self, minute_ms: int) -> None:
        """The venue spoke of the minute: it knows the trades so far."""
        for at in [at for at in self._traded if at <= minute_ms]:
            del self._traded[at]

    def forming(self, venues: BarRow | None, closed_through_ms: int) -> BarRow | None:
        """The minute that follows ``closed_through_ms``, the opening of the first open one, or the later one
        that ``venues`` is a state of, with the trades since; None where they say nothing of it."""
        at = closed_through_ms if venues is None else venues[0]
        traded = self._traded.get(at)
        if traded is None:
            return None
        if venues is None:
            return traded if at >= self._whole_from_ms else None
        return fold(at, (venues, traded))
