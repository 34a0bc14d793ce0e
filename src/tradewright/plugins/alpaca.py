"""``AlpacaPlugin``: US stocks and crypto at Alpaca, spoken to by an HTTP client of our own.

One instance serves both markets: a symbol with a slash is a pair of crypto, every other one a stock.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar, Final

from tradewright.domain.bars import Bars
from tradewright.domain.capabilities import Capability, CredentialField, ProviderInfo
from tradewright.domain.credentials import KeyPermissions
from tradewright.domain.errors import (
    ConfigError,
    NetworkPluginError,
    PluginError,
    PluginFeatureNotSupportedError,
    UnknownTimeframe,
)
from tradewright.domain.instruments import Instrument, Split
from tradewright.domain.orders import (
    Balance,
    OrderRequest,
    Position,
    TradingFees,
    VenueFill,
    VenueOrder,
)
from tradewright.domain.ticks import OrderBook, Ticker, Trade
from tradewright.domain.timeframes import ONE_MINUTE, Timeframe
from tradewright.plugins import _alpaca_options as options
from tradewright.plugins._alpaca_errors import NAME, malformed
from tradewright.plugins._alpaca_times import OFFERED, time_ms
from tradewright.plugins._venue_clock import Question, VenueClock
from tradewright.plugins.base import BarUpdate, MarketPlugin, PluginSetup

if TYPE_CHECKING:
    from tradewright.plugins._alpaca_connection import Connection
    from tradewright.plugins._alpaca_trading import TradingDesk

_log = logging.getLogger(__name__)

PROVIDER: Final = "alpaca"
MARKETS: Final = ("crypto", "stocks")
PAGE_MAX: Final = 10_000

_DATA: Final = (
    Capability.OHLCV,
    Capability.TICKER,
    Capability.ORDER_BOOK,
    Capability.TRADES,
)
_STREAMS: Final = (
    Capability.WATCH_OHLCV,
    Capability.WATCH_TICKER,
    Capability.WATCH_ORDER_BOOK,
    Capability.WATCH_TRADES,
)
_OF_ACCOUNTS: Final = (
    Capability.WATCH_ORDERS,
    Capability.CREATE_ORDER,
    Capability.CANCEL_ORDER,
    Capability.CANCEL_ALL_ORDERS,
    Capability.EDIT_ORDER,
    Capability.FETCH_ORDER,
    Capability.FETCH_OPEN_ORDERS,
    Capability.FETCH_CLOSED_ORDERS,
    Capability.FETCH_MY_TRADES,
    Capability.FETCH_BALANCES,
    Capability.FETCH_POSITIONS,
    Capability.FETCH_FEES,
)
_CREDENTIAL_FIELDS: Final = (
    CredentialField(name="api_key", secret=True, required=True),
    CredentialField(name="secret", secret=True, required=True),
)


class AlpacaPlugin(MarketPlugin):
    """Alpaca with one key, or with none: then crypto's market data alone, by REST.

    ``rows_dropped`` counts the bars and trades that could not be right.
    """

    # A minute is told anew half a minute after its end where trades were reported late.
    settling_ms = 45_000
    option_names = options.OPTION_NAMES
    http_timeout_s: ClassVar[float] = 15.0

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        problems = self.option_problems(setup.provider, setup.options)
        if problems:
            raise ConfigError(list(problems))
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()
        self._closed = False
        self._venue_clock = VenueClock(setup.provider, self.clock)
        self.rows_dropped = 0

    def __repr__(self) -> str:
        return f"AlpacaPlugin({self.provider!r})"

    # What is known without asking

    @classmethod
    def option_problems(cls, provider: str, options_: Mapping[str, object]) -> Sequence[str]:
        return [*super().option_problems(provider, options_), *options.problems(provider, options_)]

    @classmethod
    def get_plugin_key(cls) -> str:
        return "alpaca"

    @classmethod
    def get_supported_markets(cls) -> tuple[str, ...]:
        return MARKETS

    @classmethod
    def list_configurable_providers(cls, market: str) -> Sequence[ProviderInfo]:
        if market not in MARKETS:
            return ()
        splits = (Capability.SPLITS,) if market == "stocks" else ()
        return (
            ProviderInfo(
                provider=PROVIDER,
                name=NAME,
                market=market,
                plugin=cls.get_plugin_key(),
                timeframes=tuple(timeframe.name for timeframe in OFFERED),
                capabilities=(*_DATA, *_STREAMS, *splits, *_OF_ACCOUNTS),
                credential_fields=_CREDENTIAL_FIELDS,
                testnet=True,
            ),
        )

    @property
    def capabilities(self) -> frozenset[Capability]:
        of_keys = (*_STREAMS, Capability.SPLITS, *_OF_ACCOUNTS) if self.setup.credentials else ()
        return frozenset((*_DATA, *of_keys))

    @property
    def timeframes(self) -> tuple[Timeframe, ...]:
        return OFFERED

    @property
    def credential_fields(self) -> tuple[CredentialField, ...]:
        return _CREDENTIAL_FIELDS

    @property
    def bars_from_next_minute(self) -> bool:
        return True

    @property
    def ohlcv_page_limit(self) -> int:
        return PAGE_MAX

    # Opening and closing

    async def close(self) -> None:
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def end_streams(self) -> None:
        if self._connection is not None:
            await self._connection.end_streams()

    async def _open(self) -> Connection:
        """What speaks to Alpaca, made at the first call."""
        async with self._opening:
            if self._connection is None:
                made = await asyncio.to_thread(self._make_connection)
                self._check_open()  # nothing is connected yet, so there is nothing to close
                self._connection = made
            return self._connection

    def _check_open(self) -> None:
        if self._closed:
            raise NetworkPluginError(f"The connection to {NAME} is closed.")

    def _make_connection(self) -> Connection:
        from tradewright.plugins import _alpaca_connection

        setup = self.setup
        return _alpaca_connection.Connection(
            options.addresses(setup.options, paper=setup.testnet),
            setup.credentials,
            setup.clock,
            feed=str(setup.options.get("feed", options.FEEDS[0])),
            timeout_s=self.http_timeout_s,
            dropped=self._dropped,
            dated=self._venue_clock.heard,
        )

    async def _listed(self, symbol: str) -> Connection:
        """The same, for a symbol that Alpaca lists; ``UnknownSymbol``, ``CredentialsRequired``."""
        connection = await self._open()
        await connection.listing.find(symbol)
        return connection

    async def venue_time_ms(self) -> int:
        """Without a key Alpaca tells no time, but for the dates of its answers."""
        await self._refresh_clock()
        failure = self._venue_clock.unmeasured
        if failure is not None and not self._venue_clock.is_known:
            # The host that tells the time is another one than that of the data, which may well be there.
            raise PluginError(f"{NAME} does not tell its time: {failure.message}")
        return self._venue_clock.past_ms()

    @property
    def time_is_guessed(self) -> bool:
        return not self._venue_clock.is_known

    def measured_time_ms(self) -> int | None:
        return self._venue_clock.measured_ms()

    async def _refresh_clock(self) -> None:
        await self._venue_clock.refresh(self._clock_offset_ms)

    async def _clock_offset_ms(self) -> int | None:
        """What the clock of the trading host says; it is told to holders of a key alone."""
        if self.setup.credentials is None:
            return None
        connection = await self._open()
        question = Question(self.provider, self.clock)
        answer = await connection.api.get("trading", "/v2/clock")
        at_ms = time_ms(answer.get("timestamp")) if isinstance(answer, Mapping) else None
        if at_ms is None:
            raise malformed("it tells no time")
        return question.offset_ms(at_ms)

    # Market data

    async def fetch_instruments(self) -> Sequence[Instrument]:
        return await (await self._open()).listing.all()

    async def fetch_ohlcv(
        self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
    ) -> Bars:
        self._require_timeframe(timeframe)
        connection = await self._listed(symbol)
        first_ms, last_ms = timeframe.ceil(start_ms), timeframe.ceil(end_ms)
        count = min(timeframe.count(start_ms, end_ms), PAGE_MAX if limit is None else min(limit, PAGE_MAX))
        return await connection.data.bars(
            symbol, timeframe, first_ms, last_ms, count, self._venue_clock.past_ms()
        )

    async def fetch_ticker(self, symbol: str) -> Ticker:
        return await (await self._listed(symbol)).data.ticker(symbol)

    async def fetch_order_book(self, symbol: str, depth: int) -> OrderBook:
        book = await (await self._listed(symbol)).data.order_book(symbol)
        return book.top(max(depth, 1))

    async def fetch_trades(self, symbol: str, limit: int) -> Sequence[Trade]:
        return await (await self._listed(symbol)).data.trades(symbol, limit)

    async def fetch_splits(self, symbol: str) -> Sequence[Split]:
        return await (await self._listed(symbol)).data.splits(symbol)

    # Streams

    async def watch_ohlcv(self, symbol: str, timeframe: Timeframe) -> AsyncIterator[BarUpdate]:
        self._require_timeframe(timeframe)
        if timeframe is not ONE_MINUTE:
            raise PluginFeatureNotSupportedError(f"{NAME} streams minutes alone, no {timeframe}.")
        connection = await self._listed(symbol)
        await self._refresh_clock()
        async with aclosing(await connection.watch_minutes(symbol, self._venue_clock.past_ms)) as updates:
            async for update in updates:
                yield update

    async def watch_ticker(self, symbol: str) -> AsyncIterator[Ticker]:
        async with aclosing(await (await self._open()).watch_ticker(symbol)) as tickers:
            async for ticker in tickers:
                yield ticker

    async def watch_order_book(self, symbol: str) -> AsyncIterator[OrderBook]:
        async with aclosing(await (await self._open()).watch_order_book(symbol)) as books:
            async for book in books:
                yield book

    async def watch_trades(self, symbol: str) -> AsyncIterator[Sequence[Trade]]:
        async with aclosing(await (await self._open()).watch_trades(symbol)) as batches:
            async for batch in batches:
                yield batch

    async def watch_orders(self) -> AsyncIterator[VenueOrder]:
        self._require_account(Capability.WATCH_ORDERS)
        async with aclosing((await self._open()).watch_orders()) as batches:
            async for batch in batches:
                for order in batch:
                    yield order

    # Trading

    async def create_order(self, request: OrderRequest) -> VenueOrder:
        desk = await self._desk_for(Capability.CREATE_ORDER)
        return await desk.create(request)

    async def cancel_order(self, symbol: str, *, venue_order_id: str) -> VenueOrder:
        desk = await self._desk_for(Capability.CANCEL_ORDER)
        return await desk.cancel(venue_order_id)

    async def cancel_all_orders(self, symbol: str | None = None) -> None:
        desk = await self._desk_for(Capability.CANCEL_ALL_ORDERS)
        await desk.cancel_all(symbol)

    async def edit_order(
        self,
        symbol: str,
        *,
        venue_order_id: str,
        amount: Decimal | None = None,
        price: Decimal | None = None,
        stop_price: Decimal | None = None,
    ) -> VenueOrder:
        desk = await self._desk_for(Capability.EDIT_ORDER)
        return await desk.edit(venue_order_id, amount=amount, price=price, stop_price=stop_price)

    async def fetch_order(
        self, symbol: str, *, venue_order_id: str | None = None, client_order_id: str | None = None
    ) -> VenueOrder | None:
        desk = await self._desk_for(Capability.FETCH_ORDER)
        return await desk.find(venue_order_id, client_order_id)

    async def fetch_open_orders(self, symbol: str | None = None) -> Sequence[VenueOrder]:
        desk = await self._desk_for(Capability.FETCH_OPEN_ORDERS)
        return await desk.open(symbol)

    async def fetch_closed_orders(self, symbol: str, *, since_ms: int, limit: int) -> Sequence[VenueOrder]:
        desk = await self._desk_for(Capability.FETCH_CLOSED_ORDERS)
        return await desk.closed(symbol, since_ms=since_ms, limit=limit)

    async def fetch_my_trades(self, symbol: str, *, since_ms: int, limit: int) -> Sequence[VenueFill]:
        desk = await self._desk_for(Capability.FETCH_MY_TRADES)
        return await desk.fills(symbol, since_ms=since_ms, limit=limit)

    async def key_permissions(self) -> KeyPermissions:
        self._require_account(Capability.FETCH_BALANCES)
        return await (await self._open()).desk.key_permissions(paper=self.setup.testnet)

    async def fetch_balances(self) -> Sequence[Balance]:
        desk = await self._desk_for(Capability.FETCH_BALANCES)
        return await desk.balances()

    async def fetch_positions(self) -> Sequence[Position]:
        desk = await self._desk_for(Capability.FETCH_POSITIONS)
        return await desk.positions()

    async def fetch_fees(self, symbol: str) -> TradingFees:
        desk = await self._desk_for(Capability.FETCH_FEES)
        return await desk.fees(symbol)

    async def _desk_for(self, capability: Capability) -> TradingDesk:
        self._require_account(capability)
        return (await self._open()).desk

    def _require_account(self, capability: Capability) -> None:
        """Without a key there is no account."""
        if self.setup.credentials is None:
            raise self._unsupported(capability)

    def _require_timeframe(self, timeframe: Timeframe) -> None:
        if timeframe not in OFFERED:
            offered = ", ".join(each.name for each in OFFERED)
            raise UnknownTimeframe(
                f"{NAME} has no bars of {timeframe.name} that begin when ours do.",
                {"timeframe": f"one of {offered}"},
            )

    def _dropped(self, count: int) -> None:
        if count:
            self.rows_dropped += count
            _log.warning("%s: dropped %d rows that can't be right", self.provider, count)
