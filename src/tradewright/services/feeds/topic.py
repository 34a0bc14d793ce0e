"""A topic as its owner sees it: numbers each message, encodes it once, and publishes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import UNSET

from tradewright.domain.backfills import BackfillJob
from tradewright.domain.bars import BarRow
from tradewright.domain.ports import MessageBus
from tradewright.domain.streams import FeedMessage, FeedStatus, Heartbeat, StreamKey, Update
from tradewright.domain.ticks import OrderBook, Ticker, Trade
from tradewright.runtime.clock import Clock
from tradewright.services.feeds.derivation import BarState

RECENT_BARS: Final = 10
RECENT_TRADES: Final = 500
"""As many as a page: who takes a feed over has them at once, and a snapshot lacks nothing that a page has."""
RECENT_BACKFILLS: Final = 100
_encoder: Final = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class TopicState:
    """What a topic looks like after the update ``seq``; what is published later has a higher one.

    ``bars`` are the newest ones with whether they are final, and not a history.
    """

    epoch: str
    seq: int = 0
    bars: tuple[BarState, ...] = ()
    trades: tuple[Trade, ...] = ()
    ticker: Ticker | None = None
    order_book: OrderBook | None = None
    backfills: tuple[BackfillJob, ...] = ()
    status: FeedStatus | None = None


@dataclass(slots=True)
class Topic:
    """One topic of one feed; ``references`` counts who wants it, in this process."""

    key: StreamKey
    epoch: str
    bus: MessageBus
    clock: Clock
    coalesce_s: float
    references: int = 0
    seq: int = 0
    status: FeedStatus | None = None
    _bars: deque[BarState] = field(default_factory=lambda: deque(maxlen=RECENT_BARS))
    _trades: deque[Trade] = field(default_factory=lambda: deque(maxlen=RECENT_TRADES))
    _ticker: Ticker | None = None
    _order_book: OrderBook | None = None
    _backfills: tuple[BackfillJob, ...] = ()
    _waiting: BarState | Ticker | OrderBook | None = None
    _told_at_s: float = float("-inf")
    said_at_s: float = float("-inf")
    """When anything was last published on it, in monotonic seconds."""

    def state(self) -> TopicState:
        """What has been published so far, as a whole."""
        return TopicState(
            self.epoch,
            self.seq,
            tuple(self._bars),
            tuple(self._trades),
            self._ticker,
            self._order_book,
            self._backfills,
            self.status,
        )

    def begin_again(self, epoch: str) -> None:
        """Start a new epoch: what was published before is no longer continued."""
        self.epoch, self.seq = epoch, 0
        self._bars.clear()
        self._trades.clear()
        self._ticker = self._order_book = self._waiting = None

    def go_on_as(self, epoch: str) -> None:
        """Continue in another epoch: the state is as it was, only its numbers begin again."""
        self.epoch, self.seq = epoch, min(self.seq, 1)

    async def publish_heartbeat(self) -> None:
        """Say up to where it has come."""
        await self._send(Heartbeat(topic=self.key.topic, epoch=self.epoch, seq=self.seq))

    async def publish_status(self, status: FeedStatus) -> None:
        """Say what the feed is; not numbered."""
        self.status = status
        await self._send(status)

    async def publish_trades(self, trades: tuple[Trade, ...]) -> None:
        """Publish trades, all of them and at once."""
        self._trades.extend(trades)
        await self._publish(trades=trades)

    def begin_with_backfills(self, jobs: tuple[BackfillJob, ...]) -> None:
        """Take these jobs, newest first, as what was published so far."""
        self._backfills = jobs
        self.seq += 1

    async def publish_backfill(self, job: BackfillJob) -> None:
        """Publish the state of a job at once."""
        self._backfills = with_backfill(self._backfills, job)
        await self._publish(backfill=job)

    async def offer(self, state: BarState | Ticker | OrderBook) -> None:
        """Publish a final bar at once; any other state waits for ``flush``, and of those that wait the
        last one counts."""
        if not (isinstance(state, BarState) and state.final):
            self._waiting = state
            return
        if isinstance(self._waiting, BarState) and self._waiting.row[0] <= state.row[0]:
            self._waiting = None  # overtaken by the final state of its bar
        await self._publish_state(state)

    async def publish_closed(self, rows: Sequence[BarRow]) -> None:
        """Publish bars that have ended, at once; they may be earlier than others that were published."""
        for row in rows:
            self._remember(BarState(row, final=True))
        await self._publish(bars=tuple(rows), final=True)

    @property
    def due_at_s(self) -> float | None:
        """When ``flush`` will have something to do, in monotonic seconds."""
        return None if self._waiting is None else self._told_at_s + self.coalesce_s

    async def flush(self) -> None:
        """Publish what has waited long enough."""
        due = self.due_at_s
        if self._waiting is not None and due is not None and self.clock.monotonic() >= due:
            state, self._waiting = self._waiting, None
            self._told_at_s = self.clock.monotonic()
            await self._publish_state(state)

    async def _publish_state(self, state: BarState | Ticker | OrderBook) -> None:
        match state:
            case BarState():
                self._remember(state)
                await self._publish(bars=(state.row,), final=state.final)
            case Ticker():
                self._ticker = state
                await self._publish(ticker=state)
            case OrderBook():
                self._order_book = state
                await self._publish(order_book=state)

    def _remember(self, state: BarState) -> None:
        """Keep the newest bars in their order; what is said of one again takes its place."""
        times = [bar.row[0] for bar in self._bars]
        if state.row[0] in times:
            self._bars[times.index(state.row[0])] = state
        elif not times or state.row[0] > times[-1]:
            self._bars.append(state)

    async def _publish(
        self,
        *,
        bars: tuple[BarRow, ...] | msgspec.UnsetType = UNSET,
        final: bool | msgspec.UnsetType = UNSET,
        trades: tuple[Trade, ...] | msgspec.UnsetType = UNSET,
        ticker: Ticker | msgspec.UnsetType = UNSET,
        order_book: OrderBook | msgspec.UnsetType = UNSET,
        backfill: BackfillJob | msgspec.UnsetType = UNSET,
    ) -> None:
        self.seq += 1
        update = Update(
            topic=self.key.topic,
            epoch=self.epoch,
            seq=self.seq,
            bars=bars,
            final=final,
            trades=trades,
            ticker=ticker,
            order_book=order_book,
            backfill=backfill,
        )
        await self._send(update)

    async def _send(self, message: FeedMessage) -> None:
        self.said_at_s = self.clock.monotonic()
        await self.bus.publish(self.key.topic, _encoder.encode(message))


def with_backfill(jobs: tuple[BackfillJob, ...], changed: BackfillJob) -> tuple[BackfillJob, ...]:
    """The newest jobs, newest first, with one that changed or is new."""
    others = [job for job in jobs if job.id != changed.id]
    newest = sorted([*others, changed], key=lambda job: job.position, reverse=True)
    return tuple(newest[:RECENT_BACKFILLS])
