"""``CCXTPlugin``: market data and trading at every crypto exchange that CCXT speaks.

What can be known without an exchange comes from a manifest; CCXT itself is imported in a thread when an
instance is first called.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from tradewright.domain.bars import Bars
from tradewright.domain.capabilities import Capability, CredentialField, ProviderInfo
from tradewright.domain.errors import (
    MalformedAnswerPluginError,
    NetworkPluginError,
    PluginError,
    PluginFeatureNotSupportedError,
    UnknownProvider,
    UnknownSymbol,
    UnknownTimeframe,
)
from tradewright.domain.instruments import Instrument
from tradewright.domain.ticks import OrderBook, Ticker, Trade
from tradewright.domain.timeframes import TIMEFRAMES, Timeframe
from tradewright.plugins import _ccxt_feeds as feeds
from tradewright.plugins import _ccxt_parse as parse
from tradewright.plugins._ccxt_account import AccountMethods
from tradewright.plugins._ccxt_candles import CandleReader
from tradewright.plugins._ccxt_manifest import PUBLIC, TRADING, ManifestEntry, load_manifest
from tradewright.plugins._ccxt_quirks import (
    data_facts,
    order_book_limit,
    ticker_params,
    trades_limit,
    trades_params,
    trading_facts,
)
from tradewright.plugins._ccxt_streams import Answerer, StreamSet, drop_all_sockets
from tradewright.plugins._ccxt_trading import CALL_DEADLINE_S, Trading
from tradewright.plugins._venue_clock import Question, VenueClock
from tradewright.plugins.base import BarUpdate, PluginSetup, VenueStatus

if TYPE_CHECKING:
    from types import ModuleType

    from tradewright.plugins._ccxt_errors import Writes

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

MARKETS_LIFETIME_S: Final = 3_600.0
MARKETS_RETRY_S: Final = 300.0
MARKETS_DEADLINE_S: Final = 60.0
MARKETS_DOUBT_S: Final = 30.0
CLOCK_DEADLINE_S: Final = 3.0
"""The middle of a call that took longer says too little about when the venue told its time."""
CLOSE_GRACE_S: Final = 1.0
DEFAULT_PAGE: Final = 500
_STATUS: Final[Mapping[str, VenueStatus]] = {"ok": "up", "maintenance": "down", "shutdown": "down"}


class CCXTPlugin(AccountMethods):
    """One exchange through CCXT. ``rows_dropped`` counts the bars and trades that could not be right."""

    http_timeout_s: ClassVar[float] = 10.0
    option_names = ("urls", "options")

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        entry = load_manifest().exchanges.get(setup.provider)
        if entry is None:
            raise UnknownProvider("CCXT has no exchange of this name.")
        if setup.testnet and not entry.testnet:
            raise PluginFeatureNotSupportedError(f"{entry.name} has no test network.")
        self._entry = entry
        self._opening = asyncio.Lock()
        self._library: ModuleType | None = None
        self._exchange: Any = None
        self._account: Any = None
        self._markets_loading: asyncio.Task[None] | None = None
        self._markets_until_s: float | None = None
        self._markets_loaded_s = self.clock.monotonic()
        self._venue_clock = VenueClock(setup.provider, self.clock)
        self._streams = StreamSet(entry.name, self._ready_for_stream)
        self._account_streams = StreamSet(entry.name, self._ready_for_account_stream)
        self._trading = Trading(
            entry.name,
            trading_facts(setup.provider),
            finds_by_client_id=entry.finds_by_client_id,
            private=self._private,
            ready=self._ready_to_trade,
            library=lambda: self._library,
        )
        self._candles = CandleReader(
            self._ask_bars,
            data_facts(setup.provider),
            rows=self.ohlcv_page_limit,
            timeframes=self.timeframes,
            now_ms=self._supposed_time_ms,
        )
        self._closed = False
        self.rows_dropped = 0

    def __repr__(self) -> str:
        return f"CCXTPlugin({self.provider!r})"

    # What is known from the manifest

    @classmethod
    def option_problems(cls, provider: str, options: Mapping[str, object]) -> Sequence[str]:
        return [
            *super().option_problems(provider, options),
            *(
                f"[providers.{provider}.{name}] must be a table."
                for name in cls.option_names
                if not isinstance(options.get(name, {}), Mapping)
            ),
        ]

    @classmethod
    def get_plugin_key(cls) -> str:
        return "ccxt"

    @classmethod
    def get_supported_markets(cls) -> tuple[str, ...]:
        return (parse.MARKET,)

    @classmethod
    def list_configurable_providers(cls, market: str) -> Sequence[ProviderInfo]:
        if market != parse.MARKET:
            return ()
        return tuple(
            ProviderInfo(
                provider=provider,
                name=entry.name,
                market=market,
                plugin=cls.get_plugin_key(),
                timeframes=_timeframes(provider, entry),
                capabilities=tuple(one for one in entry.capabilities if one in PUBLIC | TRADING),
                credential_fields=_credential_fields(entry),
                testnet=entry.testnet,
            )
            for provider, entry in load_manifest().exchanges.items()
        )

    @property
    def capabilities(self) -> frozenset[Capability]:
        able = PUBLIC | TRADING if self.setup.credentials is not None else PUBLIC
        return able.intersection(self._entry.capabilities)

    @property
    def timeframes(self) -> tuple[Timeframe, ...]:
        return tuple(TIMEFRAMES[name] for name in _timeframes(self.provider, self._entry))

    @property
    def credential_fields(self) -> tuple[CredentialField, ...]:
        return _credential_fields(self._entry)

    @property
    def ohlcv_page_limit(self) -> int:
        return self._entry.ohlcv_limit or DEFAULT_PAGE

    @property
    def ohlcv_reach_bars(self) -> int | None:
        return data_facts(self.provider).reach_bars

    @property
    def late_bars(self) -> bool:
        return data_facts(self.provider).late_bars

    @property
    def counts_trades(self) -> bool:
        return data_facts(self.provider).counts_trades

    # Opening and closing

    async def close(self) -> None:
        self._closed = True
        await self._streams.close()
        await self._account_streams.close()
        if self._markets_loading is not None:
            self._markets_loading.cancel()
            await asyncio.wait((self._markets_loading,), timeout=CLOSE_GRACE_S)
        both = self._exchange, self._account
        self._exchange = self._account = None
        await asyncio.gather(*(_let_go(exchange) for exchange in both if exchange is not None))

    async def end_streams(self) -> None:
        await asyncio.gather(self._streams.close(), self._account_streams.close())
        await asyncio.gather(drop_all_sockets(self._exchange), drop_all_sockets(self._account))

    async def _open(self) -> Any:
        """CCXT's exchange, made at the first call; its private side, where there is a key, is made too."""
        async with self._opening:
            self._check_open()
            if self._exchange is None:
                made = await asyncio.to_thread(self._make_exchanges)
                self._check_open()  # nothing is connected yet, so there is nothing to close
                self._exchange, self._account = made
            return self._exchange

    def _make_exchanges(self) -> tuple[Any, Any]:
        exchange = self._make_exchange()
        if self.setup.credentials is None:
            return exchange, None
        assert self._library is not None
        return exchange, self._library.as_account_of(exchange, self._make_exchange())

    def _make_exchange(self) -> Any:
        from tradewright.plugins import _ccxt_exchange

        self._library = _ccxt_exchange
        setup = self.setup
        return _ccxt_exchange.make_exchange(
            setup.provider,
            options=setup.options,
            http_timeout_s=self.http_timeout_s,
            credentials=setup.credentials,
            testnet=setup.testnet,
            clock=setup.clock,
            venue_clock=self._venue_clock,
            measure_clock=self._refresh_clock,
            shared=setup.shared,
        )

    def _check_open(self) -> None:
        if self._closed:
            raise NetworkPluginError(f"The connection to {self._entry.name} is closed.")

    def _answer(self) -> Answerer:
        assert self._library is not None
        answer: Answerer = self._library.answer_of
        return answer

    async def _ready(self) -> Any:
        """The exchange with its markets loaded, which are loaded anew after an hour."""
        exchange = await self._open()
        if self._markets_until_s is None or self.clock.monotonic() >= self._markets_until_s:
            if self._markets_loading is None:
                self._markets_loading = asyncio.create_task(
                    self._load_markets(exchange), name=f"ccxt/{self.provider}/markets"
                )
                self._markets_loading.add_done_callback(self._markets_loaded)
            # Not cancelled with the caller: one's deadline is no reason to begin again for the others.
            loading = self._markets_loading
            await asyncio.wait((loading,))
            self._check_open()
            loading.result()
        return exchange

    async def _load_markets(self, exchange: Any) -> None:
        known = self._markets_until_s is not None
        if self._account is not None:
            await self._refresh_clock()  # with a key, some exchanges sign for their currencies
        try:
            await self._answer()(
                exchange, lambda exchange: exchange.load_markets(known), deadline_s=MARKETS_DEADLINE_S
            )
            if not exchange.markets:
                raise MalformedAnswerPluginError(f"{self._entry.name} lists no market at all.")
        except PluginError as error:
            if not known:
                raise
            _log.warning("%s: keeping the old list of markets: %s", self.provider, error)
            self._markets_until_s = self.clock.monotonic() + MARKETS_RETRY_S
        else:
            self._markets_loaded_s = self.clock.monotonic()
            self._markets_until_s = self._markets_loaded_s + MARKETS_LIFETIME_S

    def _markets_loaded(self, task: asyncio.Task[None]) -> None:
        self._markets_loading = None
        if not task.cancelled():
            task.exception()  # every waiting caller has it; this only marks it as seen

    def _market(self, exchange: Any, symbol: str) -> dict[str, Any]:
        market: dict[str, Any] | None = exchange.markets.get(symbol)
        if market is None:
            raise UnknownSymbol(f"{self._entry.name} does not list this symbol.")
        return market

    async def _call(self, call: Callable[[Any], Awaitable[_T]]) -> _T:
        exchange = await self._ready()
        result: _T = await self._answer()(exchange, call, deadline_s=CALL_DEADLINE_S)
        return result

    async def venue_time_ms(self) -> int:
        exchange = await self._open()
        if exchange.has.get("fetchTime") is not True and not self._venue_clock.is_known:
            await self._ready()  # whose answers have a date
        now_ms = await self._supposed_time_ms()
        failure = self._venue_clock.unmeasured
        if failure is not None:
            raise type(failure)(failure.message, failure.retry_after_s)
        return now_ms

    @property
    def time_is_guessed(self) -> bool:
        return not self._venue_clock.is_known

    def measured_time_ms(self) -> int | None:
        return self._venue_clock.measured_ms()

    async def _supposed_time_ms(self) -> int:
        await self._refresh_clock()
        return self._venue_clock.past_ms()

    async def _refresh_clock(self) -> None:
        await self._venue_clock.refresh(self._clock_offset_ms)

    async def _clock_offset_ms(self) -> int | None:
        exchange = await self._open()
        if exchange.has.get("fetchTime") is not True:
            return None
        question = Question(self.provider, self.clock)
        theirs = await self._answer()(
            exchange, lambda exchange: exchange.fetch_time(), deadline_s=CLOCK_DEADLINE_S
        )
        at_ms = parse.time_ms(theirs)
        if at_ms is None:
            return None
        assert self._library is not None
        return question.offset_ms(at_ms, self._library.sent_ms.get())  # not when we asked: it may have queued

    # Market data

    async def fetch_instruments(self) -> Sequence[Instrument]:
        return parse.instruments(await self._ready())

    async def fetch_ohlcv(
        self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
    ) -> Bars:
        self._require(Capability.OHLCV)
        self._require_timeframe(timeframe)
        self._market(await self._ready(), symbol)
        return await self._candles.page(symbol, timeframe, start_ms, end_ms, limit)

    async def _ask_bars(
        self, symbol: str, timeframe: Timeframe, since: int, limit: int, params: Mapping[str, object]
    ) -> Bars:
        answer = await self._call(
            lambda exchange: exchange.fetch_ohlcv(
                symbol, timeframe.name, since=since, limit=limit, params=dict(params)
            )
        )
        bars, dropped = parse.page_of_bars(answer, timeframe)
        self._dropped(dropped)
        return bars

    async def fetch_ticker(self, symbol: str) -> Ticker:
        self._require(Capability.TICKER)
        self._market(await self._ready(), symbol)
        answer = await self._call(lambda exchange: exchange.fetch_ticker(symbol))
        return parse.ticker(answer, self._venue_clock.now_ms())

    async def fetch_order_book(self, symbol: str, depth: int) -> OrderBook:
        self._require(Capability.ORDER_BOOK)
        self._market(await self._ready(), symbol)
        limit = order_book_limit(self.provider, depth)
        answer = await self._call(lambda exchange: exchange.fetch_order_book(symbol, limit))
        book = parse.order_book(answer, self._venue_clock.now_ms(), max(depth, 1))
        if not book.sound or not (book.bids or book.asks):
            raise MalformedAnswerPluginError(f"{self._entry.name}'s order book is empty or can't be right.")
        return book

    async def fetch_trades(self, symbol: str, limit: int) -> Sequence[Trade]:
        self._require(Capability.TRADES)
        market = self._market(await self._ready(), symbol)
        params, count = trades_params(self.provider, market), trades_limit(self.provider, market, limit)
        answer = await self._call(
            lambda exchange: exchange.fetch_trades(symbol, limit=count, params=dict(params))
        )
        found, dropped = parse.trades(answer)
        self._dropped(dropped)
        found.sort(key=lambda trade: trade.time)  # stable: the venue's order within a moment
        return tuple(found[-limit:])

    async def fetch_status(self) -> VenueStatus | None:
        exchange = await self._ready()
        if exchange.has.get("fetchStatus") is not True:
            return None
        answer = await self._call(lambda exchange: exchange.fetch_status())
        said = answer.get("status") if isinstance(answer, Mapping) else None
        return _STATUS.get(said) if isinstance(said, str) else None

    async def fetch_most_traded(self) -> Sequence[str]:
        exchange = await self._ready()
        if exchange.has.get("fetchTickers") is not True:
            return ()
        return parse.most_traded(
            await self._call(lambda exchange: exchange.fetch_tickers()), exchange.markets
        )

    # Streams

    def watch_ohlcv(self, symbol: str, timeframe: Timeframe) -> AsyncIterator[BarUpdate]:
        self._require(Capability.WATCH_OHLCV)
        self._require_timeframe(timeframe)
        return self._streams.stream(feeds.ohlcv_feed(symbol, timeframe, self._dropped))

    def watch_ticker(self, symbol: str) -> AsyncIterator[Ticker]:
        self._require(Capability.WATCH_TICKER)
        return self._streams.stream(
            feeds.ticker_feed(symbol, ticker_params(self.provider), self._venue_clock.now_ms)
        )

    def watch_order_book(self, symbol: str) -> AsyncIterator[OrderBook]:
        self._require(Capability.WATCH_ORDER_BOOK)
        return self._streams.stream(feeds.order_book_feed(symbol, self.clock, self._venue_clock.now_ms))

    def watch_trades(self, symbol: str) -> AsyncIterator[Sequence[Trade]]:
        self._require(Capability.WATCH_TRADES)
        return self._streams.stream(feeds.trades_feed(symbol, self._dropped))

    async def _ready_for_stream(self, symbol: str) -> tuple[Any, Answerer]:
        exchange = await self._ready()
        self._market(exchange, symbol)
        return exchange, self._answer()

    async def _ready_for_account_stream(self, _symbol: str) -> tuple[Any, Answerer]:
        return await self._ready_to_trade(None), self._answer()

    # Trading

    async def _ready_to_trade(self, symbol: str | None) -> Any:
        """The private side, with fresh markets and a fresh clock."""
        exchange = await self._ready()
        if symbol is not None:
            self._market(exchange, symbol)
        await self._refresh_clock()
        self._check_open()
        assert self._library is not None
        self._library.share_markets(exchange, self._account)
        return self._account

    async def _private(self, call: Callable[[Any], Awaitable[_T]], *, writes: Writes | None) -> _T:
        """A call with the key. A refusal that may come of rules that have changed makes the next call load
        the markets anew, though not time and again."""
        account = self._account
        if self._closed:
            raise PluginError(f"Nothing was sent: the connection to {self._entry.name} is closed.")
        assert self._library is not None
        try:
            result: _T = await self._library.private_answer_of(
                account, call, deadline_s=CALL_DEADLINE_S, writes=writes
            )
        finally:
            if account.rules_in_doubt:
                account.rules_in_doubt = False
                now_s = self.clock.monotonic()
                self._markets_until_s = max(now_s, self._markets_loaded_s + MARKETS_DOUBT_S)
        return result

    def _require(self, capability: Capability) -> None:
        if not self.supports(capability):
            raise self._unsupported(capability)

    def _require_timeframe(self, timeframe: Timeframe) -> None:
        if timeframe not in self.timeframes:
            offered = ", ".join(_timeframes(self.provider, self._entry))
            raise UnknownTimeframe(
                f"{self._entry.name} has no bars of {timeframe.name}.", {"timeframe": f"one of {offered}"}
            )

    def _dropped(self, count: int) -> None:
        if count:
            self.rows_dropped += count
            _log.warning("%s: dropped %d rows that can't be right", self.provider, count)


async def _let_go(exchange: Any) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_GRACE_S):
            await exchange.close()
            return
    # A peer that has fallen silent does not answer the closing of its socket: let it go.
    exchange.clients.clear()
    await exchange.close()


def _timeframes(provider: str, entry: ManifestEntry) -> tuple[str, ...]:
    """Those whose bars open when ours do."""
    own_grid = data_facts(provider).own_grid
    return tuple(name for name in entry.timeframes if name not in own_grid)


def _credential_fields(entry: ManifestEntry) -> tuple[CredentialField, ...]:
    return tuple(
        CredentialField(name=name, secret=name not in ("uid", "wallet_address"), required=True)
        for name in entry.credential_fields
    )
