"""Replays a capture into a market, with all times shifted and, on a restart, all ids continued."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol

from tests.venues.binance.capture import Capture, CapturedDepth, CapturedQuote, CapturedTrade, Level
from tests.venues.binance.klines import INTERVALS
from tests.venues.binance.market import SpotMarket, VenueTrade
from tests.venues.time import VenueTime

RESOLUTION_MS: Final = 10
"""Events are sent in batches of this length; never before their time."""

TICK_MS: Final = 1_000
"""How often klines that changed, tickers and the slow depth streams are sent."""

PAUSE_MS: Final = 100
"""Between the end of the capture and its restart."""


class Publisher(Protocol):
    """Where events go."""

    def wanted(self, stream: str) -> bool:
        """Whether anybody is subscribed."""
        ...

    def publish(self, stream: str, event: object) -> None:
        """Send to the subscribed sockets."""
        ...


@dataclass(slots=True)
class _Round:
    """One run through the capture: where its times and ids begin."""

    start_ms: float
    trade_shift: int = 0
    update_shift: int = 0
    position: int = 0
    opened: bool = False


class Replay:
    """Makes the capture happen from `origin_ms` on, `speed` times as fast as it was recorded.

    Times are compressed with the speed, so that they agree with the clock at every moment. At the
    end the market falls silent, or (`restart`) begins again: trade and update ids go on, and one
    book update leads from the book at the end to the book at the start, so that followers stay right.
    """

    def __init__(
        self,
        market: SpotMarket,
        capture: Capture,
        time: VenueTime,
        publisher: Publisher,
        *,
        origin_ms: float,
        speed: float = 1.0,
        restart: bool = True,
    ) -> None:
        self._market = market
        self._capture = capture
        self._time = time
        self._publisher = publisher
        self._speed = speed
        self._restart = restart
        self._length_ms = (capture.duration_ms + PAUSE_MS) / speed
        self._trade_ids = capture.trade_ids
        self._update_ids = capture.update_ids + 1  # one more for the update that leads over
        self._next_trades = _next_trade_offsets(capture)
        self._round = _Round(origin_ms)
        self._next_tick_ms = math.floor(origin_ms / TICK_MS) * TICK_MS + TICK_MS
        self._slow_depth: list[CapturedDepth] = []
        self._traded = False
        self.rounds = 0
        self.advance(time.exact_ms())

    @property
    def ended(self) -> bool:
        """Whether the capture is over and does not begin again."""
        return not self._restart and self._round.position >= len(self._capture.events)

    async def run(self) -> None:
        """Go on for ever."""
        while True:
            due = min(self._next_event_ms(), self._next_tick_ms)
            await self._time.sleep_until(math.ceil(due / RESOLUTION_MS) * RESOLUTION_MS)
            self.advance(self._time.exact_ms())

    def advance(self, now_ms: float) -> None:
        """Make everything happen that is due."""
        while (due := min(self._next_event_ms(), self._next_tick_ms)) <= now_ms:
            if self._next_tick_ms < self._next_event_ms():
                self._tick(int(due))
                self._next_tick_ms += TICK_MS
            else:
                self._step()

    def _at(self, offset_ms: float) -> float:
        return self._round.start_ms + offset_ms / self._speed

    def _next_event_ms(self) -> float:
        if not self._round.opened:
            return self._round.start_ms
        if self._round.position < len(self._capture.events):
            return self._at(self._capture.events[self._round.position].at_ms)
        return self._round.start_ms + self._length_ms if self._restart else math.inf

    def _next_trade_ms(self) -> int | float:
        """When the next trade will have happened, which limits how far klines are complete."""
        offset = self._next_trades[self._round.position]
        if offset is not None:
            return int(self._at(offset))
        first = self._next_trades[0]
        if not self._restart or first is None:
            return math.inf
        return int(self._round.start_ms + self._length_ms + first / self._speed)

    def _step(self) -> None:
        current = self._round
        if not current.opened:
            self._open_round()
            return
        if current.position >= len(self._capture.events):
            self.rounds += 1
            self._round = _Round(
                current.start_ms + self._length_ms,
                current.trade_shift + self._trade_ids,
                current.update_shift + self._update_ids,
            )
            return
        event = self._capture.events[current.position]
        current.position += 1
        match event:
            case CapturedTrade():
                self._trade(event)
            case CapturedDepth():
                last = event.last_id + current.update_shift
                self._depth(
                    int(self._at(event.event_ms)),
                    event.first_id + current.update_shift,
                    last,
                    event.bids,
                    event.asks,
                )
            case CapturedQuote():
                self._quote(event.update_id + current.update_shift, event.bid, event.ask)

    def _open_round(self) -> None:
        """The book becomes the snapshot's; from the second round on by an update everybody gets."""
        self._round.opened = True
        snapshot, book = self._capture.snapshot, self._market.book
        before, last = book.last_id, snapshot.last_id + self._round.update_shift
        bids, asks = book.reset(snapshot, last)
        if before:
            self._send_depth(int(self._round.start_ms), before + 1, last, tuple(bids), tuple(asks))
        self._quote(last, snapshot.bids[0], snapshot.asks[0])

    def _trade(self, event: CapturedTrade) -> None:
        market = self._market
        trade = VenueTrade(
            event.id + self._round.trade_shift,
            event.price,
            event.amount,
            int(self._at(event.trade_ms)),
            int(self._at(event.event_ms)),
            event.buyer_is_maker,
        )
        self._close_klines(trade.time_ms, trade.event_ms)
        market.add_trade(trade, closes_aggregate=event.closes_aggregate)
        self._traded = True
        self._send("trade", trade.event(market.symbol))
        if event.closes_aggregate:
            aggregate = market.aggregates[-1]
            head = {"e": "aggTrade", "E": trade.event_ms, "s": market.symbol}
            self._send("aggTrade", head | aggregate.row())

    def _depth(
        self, event_ms: int, first_id: int, last_id: int, bids: tuple[Level, ...], asks: tuple[Level, ...]
    ) -> None:
        self._market.book.apply(bids, asks, last_id)
        self._send_depth(event_ms, first_id, last_id, bids, asks)

    def _send_depth(
        self, event_ms: int, first_id: int, last_id: int, bids: tuple[Level, ...], asks: tuple[Level, ...]
    ) -> None:
        changed = CapturedDepth(0, first_id, last_id, event_ms, bids, asks)
        self._slow_depth.append(changed)
        self._send("depth@100ms", _depth_event(self._market.symbol, event_ms, [changed]))
        self._partial_depth("@100ms")

    def _quote(self, update_id: int, bid: Level, ask: Level) -> None:
        self._market.best = update_id, bid, ask
        event = {"u": update_id, "s": self._market.symbol, "b": bid[0], "B": bid[1], "a": ask[0], "A": ask[1]}
        self._send("bookTicker", event)

    def _tick(self, now_ms: int) -> None:
        self._close_klines(min(now_ms, self._next_trade_ms()), now_ms)
        wanted, name = self._publisher.wanted, self._market.symbol.lower()
        for interval in INTERVALS:
            series = self._market.klines.series(interval) if wanted(f"{name}@kline_{interval}") else None
            if series and series.changed and series.newest:
                series.changed = False
                event = series.newest.event(self._market.symbol, series.interval, now_ms)
                self._send(f"kline_{series.interval}", event)
        if self._slow_depth:
            self._send("depth", _depth_event(self._market.symbol, now_ms, self._slow_depth))
            self._slow_depth = []
            self._partial_depth("")
        if self._traded and (wanted(f"{name}@miniTicker") or wanted(f"{name}@ticker")):
            self._tickers(now_ms)
        self._traded = False

    def _close_klines(self, limit_ms: float, event_ms: int) -> None:
        for series in self._market.klines.live():
            closed = series.close_before(int(limit_ms))
            if closed:
                event = closed.event(self._market.symbol, series.interval, max(event_ms, closed.end_ms))
                self._send(f"kline_{series.interval}", event)

    def _partial_depth(self, suffix: str) -> None:
        for levels in (5, 10, 20):
            stream = f"depth{levels}{suffix}"
            if self._publisher.wanted(f"{self._market.symbol.lower()}@{stream}"):
                bids, asks = self._market.book.top(levels)
                self._send(stream, {"lastUpdateId": self._market.book.last_id, "bids": bids, "asks": asks})

    def _tickers(self, now_ms: int) -> None:
        full = self._market.ticker(now_ms)
        mini = {short: full[long] for short, long in _MINI_TICKER.items()}
        head = {"E": now_ms, "s": self._market.symbol}
        self._send("miniTicker", {"e": "24hrMiniTicker", **head, **mini})
        rest = {short: full[long] for short, long in _TICKER.items()}
        self._send("ticker", {"e": "24hrTicker", **head, **mini, **rest})

    def _send(self, stream: str, event: object) -> None:
        self._publisher.publish(f"{self._market.symbol.lower()}@{stream}", event)


_MINI_TICKER: Final = {
    "c": "lastPrice",
    "o": "openPrice",
    "h": "highPrice",
    "l": "lowPrice",
    "v": "volume",
    "q": "quoteVolume",
}
_TICKER: Final = {
    "p": "priceChange",
    "P": "priceChangePercent",
    "w": "weightedAvgPrice",
    "x": "prevClosePrice",
    "Q": "lastQty",
    "b": "bidPrice",
    "B": "bidQty",
    "a": "askPrice",
    "A": "askQty",
    "O": "openTime",
    "C": "closeTime",
    "F": "firstId",
    "L": "lastId",
    "n": "count",
}


def _depth_event(symbol: str, event_ms: int, parts: list[CapturedDepth]) -> dict[str, object]:
    """One diff of consecutive diffs: of each price the last amount."""
    return {
        "e": "depthUpdate",
        "E": event_ms,
        "s": symbol,
        "U": parts[0].first_id,
        "u": parts[-1].last_id,
        "b": list({price: (price, amount) for part in parts for price, amount in part.bids}.values()),
        "a": list({price: (price, amount) for part in parts for price, amount in part.asks}.values()),
    }


def _next_trade_offsets(capture: Capture) -> list[float | None]:
    """For each position in the capture, the time of the first trade from there on."""
    offsets: list[float | None] = [None] * (len(capture.events) + 1)
    for position in range(len(capture.events) - 1, -1, -1):
        event = capture.events[position]
        following = offsets[position + 1]
        offsets[position] = event.trade_ms if isinstance(event, CapturedTrade) else following
    return offsets
