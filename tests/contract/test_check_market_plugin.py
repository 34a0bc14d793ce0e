"""``check_market_plugin`` notices plugins that break their promises, and says which one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from tradewright.domain.bars import Bars
from tradewright.domain.capabilities import Capability, ProviderInfo
from tradewright.domain.instruments import Instrument
from tradewright.domain.ticks import OrderBook, Ticker, Trade
from tradewright.domain.timeframes import DAY_MS, ONE_HOUR, ONE_MINUTE, Timeframe
from tradewright.plugins.base import BarUpdate, PluginSetup
from tradewright.plugins.simulated import SimulatedPlugin
from tradewright.testing import DrivenClock, check_market_plugin

NOW_MS = 1_718_636_412_345  # 2024-06-17 15:00:12
SYMBOL = "BTC/USDT"


class UnsortedBook(SimulatedPlugin):
    async def fetch_order_book(self, symbol: str, depth: int) -> OrderBook:
        book = await super().fetch_order_book(symbol, depth)
        return OrderBook(t=book.t, bids=tuple(reversed(book.bids)), asks=book.asks)


class CrossedBook(SimulatedPlugin):
    async def fetch_order_book(self, symbol: str, depth: int) -> OrderBook:
        book = await super().fetch_order_book(symbol, depth)
        return OrderBook(t=book.t, bids=((book.asks[0][0], 1.0), *book.bids), asks=book.asks)


class ShallowBook(SimulatedPlugin):
    async def fetch_order_book(self, symbol: str, depth: int) -> OrderBook:
        return (await super().fetch_order_book(symbol, depth)).top(3)


class DescendingBars(SimulatedPlugin):
    async def fetch_ohlcv(
        self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
    ) -> Bars:
        bars = await super().fetch_ohlcv(symbol, timeframe, start_ms=start_ms, end_ms=end_ms, limit=limit)
        return bars[::-1]


class EndIncluded(SimulatedPlugin):
    async def fetch_ohlcv(
        self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
    ) -> Bars:
        return await super().fetch_ohlcv(symbol, timeframe, start_ms=start_ms, end_ms=end_ms + 1, limit=limit)


class LatestInsteadOfEarliest(SimulatedPlugin):
    async def fetch_ohlcv(
        self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
    ) -> Bars:
        bars = await super().fetch_ohlcv(symbol, timeframe, start_ms=start_ms, end_ms=end_ms)
        return bars if limit is None else bars[-limit:]


class LimitIgnored(SimulatedPlugin):
    async def fetch_ohlcv(
        self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
    ) -> Bars:
        return await super().fetch_ohlcv(symbol, timeframe, start_ms=start_ms, end_ms=end_ms)


class CloseTimes(SimulatedPlugin):
    """Stamps bars with the time at which they end."""

    async def fetch_ohlcv(
        self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
    ) -> Bars:
        bars = await super().fetch_ohlcv(symbol, timeframe, start_ms=start_ms, end_ms=end_ms, limit=limit)
        return replace(bars, time=bars.time + timeframe.length_ms - 1)


class HighTooLow(SimulatedPlugin):
    async def fetch_ohlcv(
        self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
    ) -> Bars:
        bars = await super().fetch_ohlcv(symbol, timeframe, start_ms=start_ms, end_ms=end_ms, limit=limit)
        return replace(bars, high=bars.low * 0.5)


class InventedCandle(SimulatedPlugin):
    """Fills the future with flat bars."""

    async def fetch_ohlcv(
        self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
    ) -> Bars:
        await self.fetch_trades(symbol, 1)
        opens = timeframe.opens(start_ms, end_ms)[:limit][: self.ohlcv_page_limit]
        flat = np.full(len(opens), 100.0)
        return Bars(opens, flat, flat, flat, flat, flat * 0.0)


class OtherHours(SimulatedPlugin):
    """Its hours are not made of its minutes."""

    async def fetch_ohlcv(
        self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
    ) -> Bars:
        bars = await super().fetch_ohlcv(symbol, timeframe, start_ms=start_ms, end_ms=end_ms, limit=limit)
        return replace(bars, open=bars.low) if timeframe is ONE_HOUR else bars


class TickerFromTheFuture(SimulatedPlugin):
    async def fetch_ticker(self, symbol: str) -> Ticker:
        return msgspec.structs.replace(await super().fetch_ticker(symbol), t=self.clock.now_ms() + DAY_MS)


class NewestFirst(SimulatedPlugin):
    async def fetch_trades(self, symbol: str, limit: int) -> Sequence[Trade]:
        return list(reversed(await super().fetch_trades(symbol, limit)))


class TradesTwice(SimulatedPlugin):
    async def watch_trades(self, symbol: str) -> AsyncIterator[Sequence[Trade]]:
        async for trades in super().watch_trades(symbol):
            yield trades
            yield trades


class DeafStream(SimulatedPlugin):
    """Does not end when it is cancelled."""

    async def watch_trades(self, symbol: str) -> AsyncIterator[Sequence[Trade]]:
        try:
            async for trades in super().watch_trades(symbol):
                yield trades
        except asyncio.CancelledError:
            return


class SilentStream(SimulatedPlugin):
    async def watch_ticker(self, symbol: str) -> AsyncIterator[Ticker]:
        ticker = await self.fetch_ticker(symbol)
        await self.clock.sleep(1e9)
        yield ticker


class ShortStream(SimulatedPlugin):
    async def watch_ticker(self, symbol: str) -> AsyncIterator[Ticker]:
        yield await self.fetch_ticker(symbol)


class EarlyFinal(SimulatedPlugin):
    async def watch_ohlcv(self, symbol: str, timeframe: Timeframe) -> AsyncIterator[BarUpdate]:
        async for update in super().watch_ohlcv(symbol, timeframe):
            yield replace(update, final=True)


class WrongError(SimulatedPlugin):
    async def fetch_ticker(self, symbol: str) -> Ticker:
        return {SYMBOL: await super().fetch_ticker(SYMBOL)}[symbol]


class TwiceListed(SimulatedPlugin):
    async def fetch_instruments(self) -> Sequence[Instrument]:
        listed = await super().fetch_instruments()
        return (*listed, listed[0])


class Undeclared(SimulatedPlugin):
    """Says in its entry that it has a ticker, and not in its instance."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        return super().capabilities - {Capability.TICKER}


class DoesUndeclared(SimulatedPlugin):
    async def cancel_all_orders(self, symbol: str | None = None) -> None:
        return None


class LiesAboutItsMarket(SimulatedPlugin):
    @classmethod
    def list_configurable_providers(cls, market: str) -> Sequence[ProviderInfo]:
        return super().list_configurable_providers("crypto")


class ClosesOnce(SimulatedPlugin):
    closed = False

    async def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True
        await super().close()


class SleepsThroughClose(SimulatedPlugin):
    """Its streams go on when it is closed."""

    async def close(self) -> None:
        return None


BROKEN: list[tuple[type[SimulatedPlugin], str]] = [
    (UnsortedBook, "bids that do not descend"),
    (CrossedBook, "crossed book"),
    (ShallowBook, "gave 3 bids"),
    (DescendingBars, "do not ascend"),
    (EndIncluded, "does not open before the end"),
    (LatestInsteadOfEarliest, "does not begin with the earliest"),
    (LimitIgnored, "at most 2 are allowed"),
    (CloseTimes, "not aligned"),
    (HighTooLow, "no market can have made"),
    (InventedCandle, "of the future"),
    (OtherHours, "The open of a 1h bar is not that of its minutes"),
    (TickerFromTheFuture, "ticker of the future"),
    (NewestFirst, "newest last"),
    (TradesTwice, "gave a trade twice"),
    (DeafStream, "swallowed its cancellation"),
    (SilentStream, "Item 1 of watch_ticker was not done within 2 s"),
    (ShortStream, "watch_ticker ended by itself after 1 items"),
    (EarlyFinal, "final before its end"),
    (WrongError, "failed with KeyError"),
    (TwiceListed, "lists a symbol of one market twice"),
    (Undeclared, "differ in capabilities: .*ticker"),
    (DoesUndeclared, "cancel_all_orders did not raise PluginFeatureNotSupportedError"),
    (LiesAboutItsMarket, "a market that does not exist"),
    (ClosesOnce, "failed with RuntimeError: closed already"),
    (SleepsThroughClose, "by closing the plugin was not done"),
]


@pytest.mark.parametrize(("kind", "sentence"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
async def test_names_the_broken_promise(kind: type[SimulatedPlugin], sentence: str) -> None:
    clock = DrivenClock(NOW_MS)
    with pytest.raises(AssertionError, match=sentence):
        await check_market_plugin(
            lambda: kind(PluginSetup("simulated", clock=clock)),
            market="crypto",
            symbol=SYMBOL,
            timeframes=(ONE_MINUTE.name, ONE_HOUR.name),
            deadline_s=2.0,
            advance=clock.advance,
        )


async def test_refuses_what_is_no_plugin() -> None:
    with pytest.raises(AssertionError, match="made a object, not a MarketPlugin"):
        await check_market_plugin(object, market="crypto", symbol=SYMBOL)  # type: ignore[arg-type]
