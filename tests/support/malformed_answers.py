"""Answers of venues that are spoiled in any way, read through whole plugins over real HTTP."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from tests.contract.alpaca_plugin.rig import IN_SESSION_MS, make_plugin
from tests.contract.ccxt_plugin.test_private_fuzz import body
from tests.venues.alpaca import AlpacaVenue
from tests.venues.candle_venue import CandleVenue
from tests.venues.clock import HastyClock
from tests.venues.faults import Faults
from tests.venues.generated import generate_minutes
from tests.venues.impatient import ImpatientPlugin
from tests.venues.truth import Market
from tradewright.domain.errors import TradewrightError
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, ONE_MINUTE
from tradewright.plugins.base import MarketPlugin, PluginSetup

Call: TypeAlias = tuple[str, Any, Callable[[], Awaitable[object]]]
START_MS: Final = 1_704_067_200_000  # 2024-01-01
HANG_S: Final = 10.0

_KLINE: Final = [START_MS, "1.0", "2.0", "0.5", "1.5", "9.0", START_MS + 59_999, "9", 4, "1", "1", "0"]
_TICKER: Final = {
    "symbol": "BTCUSDT",
    "lastPrice": "1.0",
    "bidPrice": "0.9",
    "askPrice": "1.1",
    "openPrice": "1.0",
    "highPrice": "2.0",
    "lowPrice": "0.5",
    "volume": "10",
    "closeTime": START_MS,
}
_BOOK: Final = {"lastUpdateId": 1, "bids": [["0.9", "1"], ["0.8", "2"]], "asks": [["1.1", "1"]]}
_TRADE: Final = {"id": 1, "price": "1.0", "qty": "2", "time": START_MS, "isBuyerMaker": True}
_BAR: Final = {"t": "2024-08-08T14:01:00Z", "o": 1.0, "h": 2.0, "l": 0.5, "c": 1.5, "v": 9, "n": 4, "vw": 1.2}
_STOCK_TRADE: Final = {
    "t": "2024-08-08T14:01:00.1Z",
    "x": "V",
    "p": 1.0,
    "s": 2,
    "c": ["@"],
    "i": 7,
    "z": "A",
}


@dataclass
class Malformed:
    """What came of spoiled answers: how often each error of ours. Whatever else comes is raised."""

    seed: int
    met: Counter[str] = field(default_factory=Counter)

    async def run(self, count: int) -> None:
        """Half of them from an emulated Binance, half from an emulated Alpaca."""
        chance = random.Random(self.seed)
        await self._of_binance(chance, count // 2)
        await self._of_alpaca(chance, count - count // 2)

    async def _of_binance(self, chance: random.Random, count: int) -> None:
        clock = HastyClock(START_MS + DAY_MS)
        market = Market("BTC", "USDT", generate_minutes(1, START_MS, 2 * 1_440))
        async with CandleVenue([market], clock=clock) as venue:
            setup = PluginSetup("binance", options=venue.provider_options(), clock=clock)
            plugin = ImpatientPlugin(setup)
            await plugin.fetch_instruments()
            symbol = "BTC/USDT"
            end_ms = START_MS + HOUR_MS
            calls: tuple[Call, ...] = (
                ("/api/v3/klines", [_KLINE] * 3, lambda: _bars(plugin, symbol, START_MS, end_ms)),
                ("/api/v3/ticker", _TICKER, lambda: plugin.fetch_ticker(symbol)),
                ("/api/v3/depth", _BOOK, lambda: plugin.fetch_order_book(symbol, 25)),
                ("/api/v3/trades", [_TRADE] * 2, lambda: plugin.fetch_trades(symbol, 50)),
            )
            await self._try(chance, count, venue.faults, clock, calls)
            await plugin.close()

    async def _of_alpaca(self, chance: random.Random, count: int) -> None:
        clock = HastyClock(IN_SESSION_MS)
        async with AlpacaVenue(clock=clock, days=2) as venue:
            plugin = make_plugin(venue, clock)
            await plugin.fetch_instruments()
            start_ms = IN_SESSION_MS - HOUR_MS
            bars = {"bars": {"AAPL": [_BAR] * 2}, "next_page_token": None}
            trades = {"trades": {"AAPL": [_STOCK_TRADE]}, "next_page_token": None}
            quote = {"AAPL": {"latestTrade": _STOCK_TRADE, "dailyBar": _BAR, "prevDailyBar": _BAR}}
            calls: tuple[Call, ...] = (
                ("/v2/stocks", bars, lambda: _bars(plugin, "AAPL", start_ms, IN_SESSION_MS)),
                ("/v2/stocks", trades, lambda: plugin.fetch_trades("AAPL", 50)),
                ("/v2/stocks", quote, lambda: plugin.fetch_ticker("AAPL")),
                ("/v2/stocks", quote, lambda: plugin.fetch_order_book("AAPL", 25)),
            )
            await self._try(chance, count, venue.faults, clock, calls)
            await plugin.close()

    async def _try(
        self,
        chance: random.Random,
        count: int,
        faults: Faults,
        clock: HastyClock,
        calls: tuple[Call, ...],
    ) -> None:
        for _ in range(count):
            path, right, call = chance.choice(calls)
            text = body(chance, right)
            rule = faults.answer(path, body=text)
            try:
                async with asyncio.timeout(HANG_S):
                    await call()
                self.met["read"] += 1
            except TradewrightError as error:
                self.met[error.code] += 1
            except BaseException as error:
                error.add_note(f"seed {self.seed}, answered: {text[:300]}")
                raise
            assert rule.used == 1, f"{path} was not asked"
            await clock.advance(3)


async def _bars(plugin: MarketPlugin, symbol: str, start_ms: int, end_ms: int) -> object:
    return await plugin.fetch_ohlcv(symbol, ONE_MINUTE, start_ms=start_ms, end_ms=end_ms)
