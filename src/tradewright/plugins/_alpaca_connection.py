"""Everything of one instance that speaks to Alpaca. Importing it imports the HTTP client, so it is done
at an instance's first call, in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import CredentialsRequired, NetworkPluginError
from tradewright.domain.orders import VenueOrder
from tradewright.domain.ticks import OrderBook, Ticker, Trade
from tradewright.plugins import _alpaca_feeds as feeds
from tradewright.plugins._alpaca_client import ApiClient
from tradewright.plugins._alpaca_data import MarketData
from tradewright.plugins._alpaca_errors import NAME
from tradewright.plugins._alpaca_listing import Listing
from tradewright.plugins._alpaca_market_stream import MarketStream
from tradewright.plugins._alpaca_options import Addresses
from tradewright.plugins._alpaca_order_stream import OrderStream, orders_feed
from tradewright.plugins._alpaca_parse import is_stock
from tradewright.plugins._alpaca_trading import TradingDesk
from tradewright.plugins.base import BarUpdate
from tradewright.runtime.clock import Clock


class Connection:
    """One key at Alpaca, or none. Nothing is connected before it is used."""

    def __init__(
        self,
        where: Addresses,
        key: Credentials | None,
        clock: Clock,
        *,
        feed: str,
        timeout_s: float,
        dropped: Callable[[int], None],
        dated: Callable[[str | None], None],
    ) -> None:
        self._where = where
        self._key = key
        self._clock = clock
        self._feed = feed
        self.api = ApiClient(where, key, clock, timeout_s=timeout_s, dated=dated)
        self.listing = Listing(self.api, clock)
        self.data = MarketData(self.api, clock, feed, dropped)
        self.desk = TradingDesk(self.api, self.listing)
        self._streams: dict[str, MarketStream] = {}
        self._orders: OrderStream | None = None
        self._ended = False

    async def watch_minutes(self, symbol: str, now_ms: Callable[[], int]) -> AsyncGenerator[BarUpdate, None]:
        """The symbol's minutes at each change; ``now_ms`` is the venue's time."""
        return (await self._stream_of(symbol)).stream(feeds.bars_feed(symbol, now_ms))

    async def watch_ticker(self, symbol: str) -> AsyncGenerator[Ticker, None]:
        """The symbol's ticker at each change, beginning from a snapshot."""
        stream = await self._stream_of(symbol)
        last, best, day = await self.data.snapshot(symbol)
        return stream.stream(feeds.ticker_feed(symbol, last, best, day, self._clock))

    async def watch_order_book(self, symbol: str) -> AsyncGenerator[OrderBook, None]:
        """The symbol's book at each change; of a stock the best quote."""
        make = feeds.quote_book_feed if is_stock(symbol) else feeds.order_book_feed
        return (await self._stream_of(symbol)).stream(make(symbol))

    async def watch_trades(self, symbol: str) -> AsyncGenerator[tuple[Trade, ...], None]:
        """The symbol's trades."""
        return (await self._stream_of(symbol)).stream(feeds.trades_feed(symbol))

    def watch_orders(self) -> AsyncGenerator[tuple[VenueOrder, ...], None]:
        """The account's orders at each change."""
        if self._orders is None:
            key = self._needed_key()
            url = self._where.trading_stream_url
            self._orders = OrderStream(url, self.api.session, key, self._clock)
        return self._orders.stream(orders_feed())

    async def _stream_of(self, symbol: str) -> MarketStream:
        """The socket of the symbol's market. Alpaca lets nobody on its streams without a key."""
        await self.listing.find(symbol)
        key = self._needed_key()
        name, path = ("stocks", f"/v2/{self._feed}") if is_stock(symbol) else ("crypto", "/v1beta3/crypto/us")
        if name not in self._streams:
            url = self._where.data_stream_url + path
            self._streams[name] = MarketStream(name, url, self.api.session, key, self._clock)
        return self._streams[name]

    def _needed_key(self) -> Credentials:
        if self._ended:
            raise NetworkPluginError(f"The connection to {NAME} is closed.")
        if self._key is None:
            raise CredentialsRequired(f"{NAME} streams to key holders alone, and there is no key.")
        return self._key

    async def end_streams(self) -> None:
        """End every stream, for good."""
        self._ended = True
        orders = () if self._orders is None else (self._orders,)
        await asyncio.gather(*(stream.close() for stream in (*self._streams.values(), *orders)))

    async def close(self) -> None:
        """End every stream and call."""
        await self.end_streams()
        await self.listing.close()
        await self.api.close()
