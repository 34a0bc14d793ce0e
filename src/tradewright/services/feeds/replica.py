"""What a hub knows of a topic from its updates, and how that and the history make one snapshot."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import UNSET

from tradewright.domain.backfills import BackfillJob
from tradewright.domain.bars import BarRow
from tradewright.domain.intervals import Interval, IntervalSet
from tradewright.domain.streams import Gap, Update
from tradewright.domain.ticks import OrderBook, Ticker, Trade
from tradewright.domain.timeframes import Timeframe
from tradewright.services.feeds.derivation import BarState
from tradewright.services.feeds.ports import HistoryAnswer
from tradewright.services.feeds.topic import RECENT_TRADES, TopicState, with_backfill

BARS_KEPT: Final = 2_000
FAR_MS: Final = -(2**63)
"""Before all bars."""


class Replica:
    """The newest state of one topic, made from all of its updates since ``adopt``."""

    def __init__(self) -> None:
        self.bars: dict[int, BarState] = {}
        self.trades: deque[Trade] = deque(maxlen=RECENT_TRADES)
        self.ticker: Ticker | None = None
        self.order_book: OrderBook | None = None
        self.backfills: tuple[BackfillJob, ...] = ()

    def adopt(self, state: TopicState) -> None:
        """Begin from what the topic's owner says. Final bars stay: whoever told them, they are facts."""
        self.bars = {time: bar for time, bar in self.bars.items() if bar.final}
        for bar in state.bars:
            self._put(bar)
        self.trades = deque(state.trades, maxlen=RECENT_TRADES)
        self.ticker, self.order_book = state.ticker, state.order_book
        self.backfills = state.backfills

    def apply(self, update: Update) -> None:
        """Take the next update in."""
        if update.bars is not UNSET:
            for index, row in enumerate(update.bars):
                self._put(BarState(row, index + 1 < len(update.bars) or update.final is True))
        if update.trades is not UNSET:
            self.trades.extend(update.trades)
        if update.ticker is not UNSET:
            self.ticker = update.ticker
        if update.order_book is not UNSET:
            self.order_book = update.order_book
        if update.backfill is not UNSET:
            self.backfills = with_backfill(self.backfills, update.backfill)

    def _put(self, bar: BarState) -> None:
        self.bars[bar.row[0]] = bar
        if len(self.bars) > BARS_KEPT:
            del self.bars[min(self.bars)]


class TradesAhead:
    """The trades that views were told by a feed that had come further than the one which is followed now: two
    may have run side by side, and the one that goes on have been the slower."""

    def __init__(self) -> None:
        self._trades: tuple[Trade, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._trades)

    def follow(self, told: Iterable[Trade], state: Sequence[Trade]) -> None:
        """Another feed is followed, which has told ``state``; the former one ``told``. Both ascend."""
        known = {trade.id: trade for trade in (*told, *self._trades)}
        self._trades = tuple(known.values())[-RECENT_TRADES:]
        if not self._trades or not state:
            return
        last_ms = self._trades[-1].time
        # One that is behind has told some of the last trades, or older ones alone.
        if state[-1].time > last_ms or (not self._pass(state) and state[-1].time == last_ms):
            self._trades = ()

    def pass_by(self, trades: Iterable[Trade]) -> bool:
        """The feed goes on with these, at least one; whether some of them may have been told before."""
        if not self._trades:
            return False
        listed, last_ms = list(trades), self._trades[-1].time
        # Of what was told the last ones alone are known here: what is older than they are may have been, too.
        if self._pass(listed) or listed[-1].time < last_ms:
            return True
        self._trades = ()  # it has come further, and will meet none any more
        return False

    def _pass(self, trades: Iterable[Trade]) -> bool:
        ids = {trade.id for trade in trades}
        met = [place for place, trade in enumerate(self._trades) if trade.id in ids]
        if met:
            self._trades = self._trades[met[-1] + 1 :]
        return bool(met)


def merged_bars(
    answer: HistoryAnswer, live: Iterable[BarState], count: int, settled_ms: int
) -> tuple[tuple[BarRow, ...], bool]:
    """The newest ``count`` bars of history and live updates together, and whether the last one is forming.

    A bar that history knows to have ended is not replaced by a state in which it was still forming; and of
    those that opened before ``settled_ms`` history knows best, since it hears of corrections that no feed
    tells.
    """
    rows: dict[int, BarState] = {row[0]: BarState(row, final=True) for row in answer.bars.rows()}
    oldest = min(rows, default=None)
    if answer.forming and rows:
        last = max(rows)
        rows[last] = BarState(rows[last].row, final=False)
    for bar in live:
        time = bar.row[0]
        if oldest is not None and time < oldest:
            continue
        known = rows.get(time)
        if known is not None and known.final and time < settled_ms:
            continue
        if bar.final or known is None or not known.final:
            rows[time] = bar
    newest = [rows[time] for time in sorted(rows)][-count:]
    return tuple(bar.row for bar in newest), bool(newest) and not newest[-1].final


def remaining_gaps(
    gaps: Iterable[Gap], rows: Iterable[BarRow], timeframe: Timeframe, since_ms: int = FAR_MS
) -> tuple[Gap, ...]:
    """The gaps from ``since_ms`` on without what the rows fill."""
    filled = IntervalSet.of(Interval(row[0], timeframe.end(row[0])) for row in rows)
    return tuple(
        Gap(interval.start, interval.end, gap.reason)
        for gap in gaps
        if gap.end > since_ms
        for interval in IntervalSet.single(max(gap.start, since_ms), gap.end).subtract(filled)
    )
