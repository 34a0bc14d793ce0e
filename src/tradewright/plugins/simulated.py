"""``SimulatedPlugin``: a deterministic exchange inside the process, for newcomers, demonstrations and tests.

Nothing in it is real. Its truth are trades, a pure function of the seed, the symbol and the time; bars,
ticker, order book and streams all follow from them (the modules ``_simulated_*`` beside this one).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, cast

from tradewright.domain.bars import Bars
from tradewright.domain.capabilities import Capability, ProviderInfo
from tradewright.domain.errors import ConfigError, PluginError, UnknownSymbol
from tradewright.domain.instruments import ALWAYS_OPEN, Instrument
from tradewright.domain.ticks import OrderBook, Ticker, Trade
from tradewright.domain.timeframes import DAY_MS, TIMEFRAMES, Timeframe
from tradewright.plugins import _simulated_live as live
from tradewright.plugins._simulated_book import SimulatedBook
from tradewright.plugins._simulated_history import SimulatedHistory
from tradewright.plugins._simulated_listing import LISTED_MS, LISTINGS
from tradewright.plugins._simulated_market import SimulatedMarket
from tradewright.plugins._simulated_profile import AllHours, Hours, SessionHours
from tradewright.plugins._simulated_ticker import SimulatedTicker
from tradewright.plugins.base import BarUpdate, MarketPlugin, PluginSetup
from tradewright.runtime.calendars import Calendars

_PROVIDER: Final = "simulated"
_MARKETS: Final = ("crypto", "stocks")
_CAPABILITIES: Final = (
    Capability.OHLCV,
    Capability.TICKER,
    Capability.ORDER_BOOK,
    Capability.TRADES,
    Capability.WATCH_OHLCV,
    Capability.WATCH_TICKER,
    Capability.WATCH_ORDER_BOOK,
    Capability.WATCH_TRADES,
)
_DEFAULT_SEED: Final = 1
_MOST_TRADES: Final = 1_000
_HOURS_KEPT_MS: Final = 90 * DAY_MS  # a calendar knows a year ahead; a server may run for longer
_YEAR_MS: Final = 366 * DAY_MS


@dataclass(frozen=True, slots=True)
class _Desk:
    """Everything of one symbol."""

    market: SimulatedMarket
    history: SimulatedHistory
    book: SimulatedBook
    ticker: SimulatedTicker


class SimulatedPlugin(MarketPlugin):
    """The simulated exchange. The option ``seed`` (an integer) chooses another course of all markets."""

    settling_ms = 0
    option_names = ("seed",)

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        problems = self.option_problems(setup.provider, setup.options)
        if problems:
            raise ConfigError(list(problems))
        self._seed = cast(int, setup.options.get("seed", _DEFAULT_SEED))
        self._pauses = live.Pauses(setup.clock)
        self._calendar_lock = asyncio.Lock()
        self._calendar_hours: dict[str, tuple[int, Hours]] = {}
        self._desks: dict[str, _Desk] = {}

    @classmethod
    def option_problems(cls, provider: str, options: Mapping[str, object]) -> Sequence[str]:
        seed = options.get("seed", _DEFAULT_SEED)
        wrong = not isinstance(seed, int) or isinstance(seed, bool)
        problem = f"[providers.{provider}] seed must be a whole number."
        return [*super().option_problems(provider, options), *([problem] if wrong else [])]

    @classmethod
    def get_plugin_key(cls) -> str:
        return "simulated"

    @classmethod
    def get_supported_markets(cls) -> tuple[str, ...]:
        return _MARKETS

    @classmethod
    def list_configurable_providers(cls, market: str) -> Sequence[ProviderInfo]:
        if market not in _MARKETS:
            return ()
        return (
            ProviderInfo(
                provider=_PROVIDER,
                name="Simulated exchange",
                market=market,
                plugin=cls.get_plugin_key(),
                timeframes=tuple(TIMEFRAMES),
                capabilities=_CAPABILITIES,
                simulated=True,
            ),
        )

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset(_CAPABILITIES)

    @property
    def timeframes(self) -> tuple[Timeframe, ...]:
        return tuple(TIMEFRAMES.values())

    @property
    def ohlcv_page_limit(self) -> int:
        return 5_000

    async def close(self) -> None:
        await self._pauses.close()
        self._desks.clear()

    async def fetch_instruments(self) -> Sequence[Instrument]:
        self._check_open()
        return tuple(listing.instrument for listing in LISTINGS.values())

    async def fetch_ohlcv(
        self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
    ) -> Bars:
        desk = await self._desk(symbol)
        most = self.ohlcv_page_limit if limit is None else max(0, min(limit, self.ohlcv_page_limit))
        return await desk.history.page(timeframe, start_ms, end_ms, most, self.clock.now_ms())

    async def fetch_ticker(self, symbol: str) -> Ticker:
        desk = await self._desk(symbol)
        return await desk.ticker.ticker(self.clock.now_ms())

    async def fetch_order_book(self, symbol: str, depth: int) -> OrderBook:
        desk = await self._desk(symbol)
        now_ms = self.clock.now_ms()
        book = live.book_at(desk.market, desk.book, now_ms, max(1, depth))
        return book or OrderBook(t=now_ms, bids=(), asks=())

    async def fetch_trades(self, symbol: str, limit: int) -> Sequence[Trade]:
        desk = await self._desk(symbol)
        most = max(1, min(limit, _MOST_TRADES))
        return await asyncio.to_thread(desk.market.latest, self.clock.now_ms(), most)

    async def watch_ohlcv(self, symbol: str, timeframe: Timeframe) -> AsyncIterator[BarUpdate]:
        desk = await self._desk(symbol)
        async with aclosing(live.watch_ohlcv(desk.market, desk.history, timeframe, self._pauses)) as stream:
            async for update in stream:
                yield update

    async def watch_ticker(self, symbol: str) -> AsyncIterator[Ticker]:
        desk = await self._desk(symbol)
        async with aclosing(live.watch_ticker(desk.market, desk.ticker, self._pauses)) as stream:
            async for ticker in stream:
                yield ticker

    async def watch_order_book(self, symbol: str) -> AsyncIterator[OrderBook]:
        desk = await self._desk(symbol)
        async with aclosing(live.watch_order_book(desk.market, desk.book, self._pauses)) as stream:
            async for book in stream:
                yield book

    async def watch_trades(self, symbol: str) -> AsyncIterator[Sequence[Trade]]:
        desk = await self._desk(symbol)
        async with aclosing(live.watch_trades(desk.market, self._pauses)) as stream:
            async for trades in stream:
                yield trades

    def _check_open(self) -> None:
        if self._pauses.closed:
            raise PluginError("This connection to the simulated exchange is closed.")

    async def _desk(self, symbol: str) -> _Desk:
        self._check_open()
        listing = LISTINGS.get(symbol)
        if listing is None:
            raise UnknownSymbol("The simulated exchange does not list this symbol.")
        hours = await self._hours(listing.instrument.calendar)
        desk = self._desks.get(symbol)
        if desk is None or desk.market.hours is not hours:
            market = SimulatedMarket(listing, self._seed, hours)
            book = SimulatedBook(market, self._seed)
            desk = _Desk(market, SimulatedHistory(market), book, SimulatedTicker(market, book))
            self._desks[symbol] = desk
        return desk

    async def _hours(self, calendar: str) -> Hours:
        now_ms = self.clock.now_ms()
        async with self._calendar_lock:
            made_ms, hours = self._calendar_hours.get(calendar, (0, None))
            if hours is None or abs(now_ms - made_ms) > _HOURS_KEPT_MS:
                hours = await _load_hours(calendar, now_ms)
                self._calendar_hours[calendar] = (now_ms, hours)
        return hours


async def _load_hours(calendar: str, now_ms: int) -> Hours:
    if calendar == ALWAYS_OPEN:
        return AllHours()
    known = await Calendars().get(calendar, now_ms)
    return SessionHours(known.open_intervals(LISTED_MS - _YEAR_MS, now_ms + _YEAR_MS))
