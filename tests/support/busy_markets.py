"""Markets of an emulated Binance whose every stream says something whenever they are told to move."""

from __future__ import annotations

import random
from collections import deque
from decimal import Decimal
from typing import Final

from tests.venues.binance import BinanceVenue
from tests.venues.binance.capture import BookSnapshot, Level
from tests.venues.binance.klines import KlineBoard
from tests.venues.binance.market import SpotMarket, VenueTrade

KLINES_KEPT: Final = 120
TRADES_KEPT: Final = 1_500
DEPTH: Final = 30


class BusyMarket:
    """One symbol of the venue, which remembers little, so that what grows is not the venue."""

    def __init__(self, venue: BinanceVenue, base: str) -> None:
        self.name = f"{base}/USDT"
        self._venue = venue
        self._market = market = SpotMarket(f"{base}USDT", base, "USDT", "0.01000000", "0.00001000")
        market.trades = deque(maxlen=TRADES_KEPT)
        market.aggregates = deque(maxlen=TRADES_KEPT)
        market.klines = KlineBoard(KLINES_KEPT)
        levels = [(f"{100 - n / 100:.8f}", f"{100.01 + n / 100:.8f}") for n in range(DEPTH)]
        bids = tuple((bid, "1.00000000") for bid, _ in levels)
        market.book.reset(BookSnapshot(1, bids, tuple((ask, "1.00000000") for _, ask in levels)), 1)
        market.best = (1, bids[0], (levels[0][1], "1.00000000"))
        venue.markets[market.symbol] = market

    @property
    def newest_trade(self) -> str:
        """Its id, as viewers are told it."""
        return str(self._market.trades[-1].id)

    def trade(self, chance: random.Random) -> None:
        """Somebody trades now."""
        market, now_ms = self._market, self._venue.time.now_ms()
        number = market.trades[-1].id + 1 if market.trades else 1
        price = Decimal(chance.randrange(9_000, 11_000)) / 100
        trade = VenueTrade(number, price, Decimal("0.5"), now_ms, now_ms, chance.random() < 0.5)
        self._end_minute(now_ms)
        market.add_trade(trade, closes_aggregate=True)
        self._publish("trade", trade.event(market.symbol))

    def move(self, chance: random.Random) -> None:
        """Trade, change the book, and tell both and what follows from them on every stream."""
        self.trade(chance)
        market, now_ms = self._market, self._venue.time.now_ms()
        newest = market.klines.series("1m").newest
        assert newest is not None
        self._publish("kline_1m", newest.event(market.symbol, "1m", now_ms))
        self._publish("ticker", self._ticker(now_ms))
        number = market.book.last_id + 1
        changed: list[Level] = [("100.00000000", f"{chance.randrange(1, 10**9) / 10**8:.8f}")]
        market.book.apply(changed, [], number)
        depth = {"e": "depthUpdate", "E": now_ms, "s": market.symbol, "U": number, "u": number}
        self._publish("depth@100ms", {**depth, "b": changed, "a": []})

    def _end_minute(self, now_ms: int) -> None:
        closed = self._market.klines.series("1m").close_before(now_ms)
        if closed is not None:
            self._publish("kline_1m", closed.event(self._market.symbol, "1m", now_ms))

    def _ticker(self, now_ms: int) -> dict[str, object]:
        """The day's figures but for the last price stand still: the true ones are dear to reckon."""
        price = f"{self._market.trades[-1].price:.8f}"
        names = {"p": "0", "P": "0", "w": price, "x": price, "c": price, "Q": "1", "b": "100", "B": "1"}
        figures = {**names, "a": "100.01", "A": "1", "o": price, "h": price, "l": price, "v": "1", "q": "1"}
        times = {"O": now_ms - 86_400_000, "C": now_ms, "F": 1, "L": 1, "n": 1}
        return {"e": "24hrTicker", "E": now_ms, "s": self._market.symbol, **figures, **times}

    def _publish(self, stream: str, event: object) -> None:
        self._venue.hub.publish(f"{self._market.symbol.lower()}@{stream}", event)
