"""A client of the scripted venue's feeds that checks everything it gets."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from tradewright.domain.bars import BarRow
from tradewright.domain.streams import FeedStatus, Snapshot, StreamKind, Update
from tradewright.domain.ticks import OrderBook, Ticker, Trade
from tradewright.services.feeds.hub import ResyncReason, TopicMessage


@dataclass
class Viewer:
    """A client that believes nothing: checks numbers and order of all it gets, and keeps the series."""

    history: int = 500
    epoch: str = ""
    seq: int = -1
    rows: dict[int, BarRow] = field(default_factory=dict)
    finals: list[int] = field(default_factory=list)
    corrections: list[BarRow] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    statuses: list[FeedStatus] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    resyncs: list[str] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    awaiting: bool = True
    newest_update: int = 0
    violations: list[str] = field(default_factory=list)

    def offer(self, message: TopicMessage) -> None:
        self.raw.append(message.data)
        try:
            self.take(message.data)
        except AssertionError as error:
            # Raised at the end, by the test's own task: here it would only break the server.
            self.violations.append(str(error))

    def take(self, data: bytes) -> None:
        """One message as it comes over the wire."""
        match msgspec.json.decode(data, type=Update | Snapshot | FeedStatus):
            case Snapshot() as snapshot:
                self._begin(snapshot)
            case Update() as update:
                self._go_on(update)
            case FeedStatus() as status:
                self.states.append(status.state)
                self.statuses.append(status)

    def offer_resync(self, topic: str, kind: StreamKind, reason: ResyncReason) -> None:
        self.resyncs.append(reason)
        self.awaiting = True

    def _begin(self, snapshot: Snapshot) -> None:
        self.awaiting = False
        self.snapshots.append(snapshot)
        self.epoch, self.seq = snapshot.epoch, snapshot.seq
        if isinstance(snapshot.bars, tuple):
            times = [row[0] for row in snapshot.bars]
            assert times == sorted(set(times)), "bars ascend, none twice"
            # A client keeps what it has from before where the snapshot does not reach.
            self.rows = {t: row for t, row in self.rows.items() if not times or t < times[0]}
            self.rows.update({row[0]: row for row in snapshot.bars})
            self.finals = []
            self.newest_update = 0
        if isinstance(snapshot.trades, tuple):
            known = {trade.id for trade in self.trades}
            self.trades += [trade for trade in snapshot.trades if trade.id not in known]

    def _go_on(self, update: Update) -> None:
        assert not self.awaiting, "updates follow a snapshot"
        left_out = update.conflated if isinstance(update.conflated, int) else 0
        assert update.epoch == self.epoch
        assert update.seq == self.seq + left_out + 1, "no update is missing"
        self.seq = update.seq
        self.updates.append(update)
        if isinstance(update.bars, tuple):
            for index, row in enumerate(update.bars):
                self._bar(row, index + 1 < len(update.bars) or update.final is True)
        if isinstance(update.trades, tuple):
            ids = {trade.id for trade in self.trades}
            assert not ids & {trade.id for trade in update.trades}, "a trade comes once"
            self.trades += update.trades

    def _bar(self, row: BarRow, final: bool) -> None:
        if final and row[0] < max(self.newest_update, self.finals[-1] + 1 if self.finals else 0):
            known = self.rows.get(row[0])
            assert known != row, "a closed bar comes again only where it is another one now"
            self.corrections.append(row)
            self.rows[row[0]] = row
            return
        assert not self.finals or row[0] > self.finals[-1], "nothing comes after a bar's final update"
        # A snapshot may know more than a feed that lags; the updates themselves never go back.
        assert row[0] >= self.newest_update, "updates never go back in time"
        self.newest_update = row[0]
        self.rows[row[0]] = row
        if final:
            self.finals.append(row[0])

    def snapshot_rows(self) -> tuple[BarRow, ...]:
        """The bars of the newest snapshot."""
        rows = self.snapshots[-1].bars
        assert isinstance(rows, tuple)
        return rows

    def last_price(self) -> float | None:
        """What the newest ticker says."""
        ticker = self.updates[-1].ticker
        assert isinstance(ticker, Ticker)
        return ticker.last

    def book(self) -> OrderBook:
        """The newest order book."""
        book = self.updates[-1].order_book
        assert isinstance(book, OrderBook)
        return book

    def series(self) -> list[BarRow]:
        """The bars that the client shows."""
        assert self.violations == []
        return [self.rows[time] for time in sorted(self.rows)]
