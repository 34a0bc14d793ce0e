"""A venue whose faults a test drives, its plugin, and a client that checks everything it gets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.scripted_market import ALONE, ALONE_SILENT_S, MARKET_DATA
from tests.unit.services.streaming_viewer import Viewer
from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.capabilities import Capability, ProviderInfo
from tradewright.domain.errors import NetworkPluginError, TradewrightError, UnknownSymbol
from tradewright.domain.instruments import Instrument, InstrumentKey, SeriesKey
from tradewright.domain.resampling import bars_from_trades, resample
from tradewright.domain.streams import Gap, Problem, StreamKey, StreamKind
from tradewright.domain.ticks import OrderBook, Ticker, Trade
from tradewright.domain.timeframes import MINUTE_MS, ONE_MINUTE, Timeframe
from tradewright.plugins.base import BarUpdate, MarketPlugin, PluginSetup
from tradewright.runtime.calendars import AlwaysOpenCalendar, TradingCalendar
from tradewright.runtime.metrics import Metrics
from tradewright.services.feeds.live_bar_writer import LiveBarWriter
from tradewright.services.feeds.settings import StreamSettings
from tradewright.services.streaming_manager import StreamingManager
from tradewright.services.subscription_registry import SubscriptionRegistry
from tradewright.services.subscription_service import SubscriptionService
from tradewright.storage.memory import MemoryBarStore
from tradewright.storage.memory_bus import MemoryBus
from tradewright.storage.memory_leases import MemoryLeases
from tradewright.testing.clock import DrivenClock

START_MS = 1_700_000_040_000  # a whole minute: 22:14 UTC on a Tuesday
BTC = InstrumentKey("crypto", "scripted", "BTC/USDT")


def stream(kind: StreamKind = "ohlcv", timeframe: str | None = None, symbol: str = "BTC/USDT") -> StreamKey:
    """A stream of the scripted provider."""
    frame = (timeframe or "1m") if kind == "ohlcv" else None
    return StreamKey(kind=kind, market="crypto", provider="scripted", symbol=symbol, timeframe=frame)


class Venue:
    """One symbol's market. Trades are the truth; bars, ticker and book follow from them."""

    def __init__(self, clock: DrivenClock, *, flags: bool = True) -> None:
        self.clock = clock
        self.flags = flags
        self.capabilities = MARKET_DATA
        self.trades: list[Trade] = []
        self.rest_up = self.streams_up = True
        self.mute = self.counts_trades = self.late_bars = False
        self.from_next_minute = False
        """Whether its streams of bars say nothing of the minute in which they begin, but how it ended."""
        self.corrects = False
        """Whether it changes minutes that it had closed; otherwise no bar is told again after its end."""
        self.rest_delay_s = 0.0
        self.trades_page = 500
        self.problem = "the venue can't be reached"
        self.rest_calls = 0
        self.opened = self.open_now = self.most_open = 0
        self._queues: dict[asyncio.Queue[Any], str] = {}
        self._begun_ms: dict[asyncio.Queue[Any], int] = {}

    def trade(self, price: float, amount: float = 1.0, *, tell: bool = True) -> Trade:
        """Somebody trades now; streams that are open and not mute hear of it."""
        self.end_minutes()
        trade = Trade(self.clock.now_ms(), str(len(self.trades) + 1), "buy", price, amount)
        self.trades.append(trade)
        if tell:
            self._tell("ohlcv", BarUpdate(self.minutes()[-1:], False if self.flags else None))
            self._tell("trades", [trade])
            self._tell("ticker", self.ticker())
            self._tell("order_book", self.book())
        return trade

    def end_minutes(self) -> None:
        """Where the last minute with a trade has passed, say so to the streams, if this venue does."""
        minutes = self.minutes()
        last = int(minutes.time[-1]) if len(minutes) else self._flagged
        if self.flags and last != self._flagged and last + MINUTE_MS <= self.clock.now_ms():
            self._flagged = last
            self._tell("ohlcv", BarUpdate(minutes[-1:], True))

    _flagged = -1

    def cut(self, kind: str = "") -> None:
        """Break every open stream, of that kind alone where one is given."""
        for queue in [queue for queue, of in self._queues.items() if kind in ("", of)]:
            queue.put_nowait(NetworkPluginError("the connection was cut"))

    def minutes(self) -> Bars:
        """The minutes so far, the last one perhaps forming."""
        return bars_from_trades(self.trades) if self.trades else Bars.empty()

    def bars(self, timeframe: str) -> list[BarRow]:
        """What every viewer must end up with."""
        return resample(self.minutes(), Timeframe.parse(timeframe)).rows()

    def ticker(self) -> Ticker:
        last = self.trades[-1].price if self.trades else None
        return Ticker(t=self.clock.now_ms(), last=last)

    def book(self) -> OrderBook:
        last = self.trades[-1].price if self.trades else 100.0
        return OrderBook(
            t=self.clock.now_ms(),
            bids=tuple((last - n, 1.0) for n in range(1, 31)),
            asks=tuple((last + n, 1.0) for n in range(1, 31)),
        )

    def send(self, kind: str, item: Any) -> None:
        """Say something on the streams of that kind, true or not."""
        self._tell(kind, item)

    async def asked(self) -> None:
        """A REST call comes in."""
        self.rest_calls += 1
        if self.rest_delay_s:
            await self.clock.sleep(self.rest_delay_s)
        if not self.rest_up:
            raise NetworkPluginError(self.problem)

    async def listen(self, kind: str) -> AsyncIterator[Any]:
        """One stream, until it is cut."""
        self.opened += 1
        await asyncio.sleep(0)
        if not self.streams_up:
            raise NetworkPluginError("the stream can't be opened")
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self._queues[queue] = kind
        self._begun_ms[queue] = self.clock.now_ms()
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            while True:
                item = await queue.get()
                if isinstance(item, NetworkPluginError):
                    raise item
                yield item
        finally:
            del self._queues[queue], self._begun_ms[queue]
            for _ in range(10):  # a subscription does not end at once
                await asyncio.sleep(0)
            self.open_now -= 1

    def _tell(self, kind: str, item: Any) -> None:
        if self.mute:
            return
        for queue, listened in self._queues.items():
            if listened == kind and not self._untold(queue, item):
                queue.put_nowait(item)

    def _untold(self, queue: asyncio.Queue[Any], item: Any) -> bool:
        """Whether the stream began too late for that."""
        if not self.from_next_minute or not isinstance(item, BarUpdate) or item.final:
            return False
        return int(item.bars.time[-1]) < self._begun_ms[queue]


class ScriptedPlugin(MarketPlugin):
    """Speaks to a ``Venue`` of the same process."""

    def __init__(self, setup: PluginSetup, venue: Venue) -> None:
        super().__init__(setup)
        self.venue = venue

    @classmethod
    def get_plugin_key(cls) -> str:
        return "scripted"

    @classmethod
    def get_supported_markets(cls) -> tuple[str, ...]:
        return ("crypto",)

    @classmethod
    def list_configurable_providers(cls, market: str) -> Sequence[ProviderInfo]:
        return ()

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self.venue.capabilities

    @property
    def counts_trades(self) -> bool:
        return self.venue.counts_trades

    @property
    def late_bars(self) -> bool:
        return self.venue.late_bars

    @property
    def bars_from_next_minute(self) -> bool:
        return self.venue.from_next_minute

    @property
    def timeframes(self) -> tuple[Timeframe, ...]:
        return (ONE_MINUTE,)

    async def close(self) -> None:
        pass

    async def venue_time_ms(self) -> int:
        return self.venue.clock.now_ms()

    async def fetch_instruments(self) -> Sequence[Instrument]:
        return [Instrument(market="crypto", symbol="BTC/USDT", base="BTC", quote="USDT")]

    async def fetch_ohlcv(
        self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
    ) -> Bars:
        assert timeframe is ONE_MINUTE
        await self.venue.asked()
        return self.venue.minutes().between(start_ms, end_ms)[: limit or self.ohlcv_page_limit]

    async def fetch_ticker(self, symbol: str) -> Ticker:
        await self.venue.asked()
        return self.venue.ticker()

    async def fetch_order_book(self, symbol: str, depth: int) -> OrderBook:
        await self.venue.asked()
        return self.venue.book()

    async def fetch_trades(self, symbol: str, limit: int) -> Sequence[Trade]:
        await self.venue.asked()
        return self.venue.trades[-min(limit, self.venue.trades_page) :]

    def watch_ohlcv(self, symbol: str, timeframe: Timeframe) -> AsyncIterator[BarUpdate]:
        return self.venue.listen("ohlcv")

    def watch_ticker(self, symbol: str) -> AsyncIterator[Ticker]:
        return self.venue.listen("ticker")

    def watch_order_book(self, symbol: str) -> AsyncIterator[OrderBook]:
        return self.venue.listen("order_book")

    def watch_trades(self, symbol: str) -> AsyncIterator[Sequence[Trade]]:
        return self.venue.listen("trades")


class Markets:
    """Lends the scripted plugin."""

    def __init__(
        self, venue: Venue, calendar: TradingCalendar | None = None, *, testnet: bool = False
    ) -> None:
        setup = PluginSetup(provider="scripted", testnet=testnet, clock=venue.clock)
        self._plugin = ScriptedPlugin(setup, venue)
        self._calendar = calendar or AlwaysOpenCalendar()
        self._clock = venue.clock
        self.black_holes: set[str] = set()
        """Providers that take a question and never answer."""
        self.calendar_delay_s = 0.0
        """So much later does a feed begin."""

    @asynccontextmanager
    async def plugin(self, market: str, provider: str) -> AsyncIterator[MarketPlugin]:
        yield self._plugin

    async def instrument(self, key: InstrumentKey) -> Instrument:
        if key.provider in self.black_holes:
            await self._clock.sleep(8.0)
            raise NetworkPluginError(f"{key.provider} did not answer in time.")
        if key.symbol == "NONE/SUCH":
            raise UnknownSymbol("scripted lists no NONE/SUCH in crypto.")
        return Instrument(market="crypto", symbol=key.symbol, base="BTC", quote="USDT")

    async def calendar(self, instrument: Instrument) -> TradingCalendar:
        await self._clock.sleep(self.calendar_delay_s)
        return self._calendar


@dataclass(frozen=True)
class Answer:
    """What ``VenueHistory`` answers."""

    bars: Bars
    forming: bool
    gaps: tuple[Gap, ...] = ()
    problems: tuple[Problem, ...] = ()


class VenueHistory:
    """All bars of the venue, in every timeframe. ``before`` and ``after`` say how long an answer takes
    before and after it is looked up."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self.calls: list[SeriesKey] = []
        self.missing_timeframes: set[str] = set()
        self.hidden_from_ms: int | None = None
        self.failing = False
        """Whether the venue's past can't be asked for, though all else goes on."""
        self.failure: Problem | TradewrightError = Problem(
            "plugin", NetworkPluginError.code, "the venue can't be reached"
        )
        """What is told then, or raised."""
        self.before: Callable[[], float] = lambda: 0.0
        self.after: Callable[[], float] = lambda: 0.0

    async def get_bars(
        self, key: SeriesKey, *, start_ms: int | None = None, end_ms: int | None = None, limit: int = 500
    ) -> Answer:
        self.calls.append(key)
        clock = self._venue.clock
        await clock.sleep(self.before())
        answer = self._look_up(key, start_ms, end_ms, limit)
        await clock.sleep(self.after())
        return answer

    def _look_up(self, key: SeriesKey, start_ms: int | None, end_ms: int | None, limit: int) -> Answer:
        now = self._venue.clock.now_ms()
        if self.failing or not self._venue.rest_up:
            if isinstance(self.failure, TradewrightError):
                raise self.failure
            return Answer(Bars.empty(), False, (), (self.failure,))
        if key.timeframe in self.missing_timeframes and start_ms is not None and end_ms is not None:
            return Answer(Bars.empty(), False, (Gap(start_ms, end_ms, "not_fetched"),))
        timeframe = Timeframe.parse(key.timeframe)
        minutes = self._venue.minutes()
        if self.hidden_from_ms is not None:
            minutes = minutes.between(0, self.hidden_from_ms)
        bars = resample(minutes, timeframe).between(start_ms or 0, end_ms or now + 1)
        bars = bars[:limit] if start_ms is not None else bars[max(0, len(bars) - limit) :]
        forming = bool(len(bars)) and timeframe.end(int(bars.time[-1])) > now
        return Answer(bars, forming)


class Rig:
    """Everything between a venue and its viewers, on one driven clock."""

    def __init__(
        self,
        *,
        flags: bool = True,
        settings: StreamSettings | None = None,
        calendar: TradingCalendar | None = None,
        bus: MemoryBus | None = None,
        start_ms: int = START_MS,
        testnet: bool = False,
    ) -> None:
        self.clock = DrivenClock(start_ms)
        self.venue = Venue(self.clock, flags=flags)
        self.history = VenueHistory(self.venue)
        self.bus = bus or MemoryBus()
        self.markets = Markets(self.venue, calendar, testnet=testnet)
        self.store = MemoryBarStore()
        self.metrics = Metrics()
        self.live_bars = LiveBarWriter(self.store, self.clock, self.metrics.live_bars, rng=random.Random(1))
        self.streaming = StreamingManager(
            self.markets,
            self.history,
            self.bus,
            MemoryLeases(self.clock),
            self.clock,
            settings or StreamSettings(),
            sharing=ALONE,
            rng=random.Random(1),
            sink=self.live_bars,
            metrics=self.metrics.feeds,
        )
        self.viewers: list[Viewer] = []
        self.connections: dict[int, str] = {}
        self.registry = SubscriptionRegistry()
        self.service = SubscriptionService(
            self.bus, self.streaming, self.history, self.registry, self.clock, silent_s=ALONE_SILENT_S
        )

    async def __aenter__(self) -> Rig:
        self.live_bars.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.service.close()
        await self.streaming.close()
        await self.live_bars.close()
        assert [violation for viewer in self.viewers for violation in viewer.violations] == []
        corrected = [row for viewer in self.viewers for row in viewer.corrections]
        assert not corrected or self.venue.corrects, f"nothing comes after a final update: {corrected}"

    async def view(
        self, key: StreamKey, viewer: Viewer | None = None, *, history: int | None = None
    ) -> Viewer:
        """A viewer that has got its snapshot; asked again, it gets another one."""
        viewer = viewer or Viewer()
        self.viewers.append(viewer)
        connection = self.connections.setdefault(id(viewer), "")
        if not connection:
            connection = self.connections[id(viewer)] = self.service.connect(
                viewer, f"10.0.0.{len(self.connections)}"
            )
        topic = await self.service.subscribe(connection, key, history=history)
        opening = asyncio.create_task(self.service.open(connection, topic))
        await self.until(opening.done)
        await opening
        return viewer

    async def until(self, condition: Callable[[], object], *, within_s: float = 30.0) -> None:
        """Let time pass until the condition holds; fail where it does not in that time."""
        end_s = self.clock.monotonic() + within_s
        await self.clock.settle()
        while not condition():
            assert self.clock.monotonic() < end_s, "it did not happen in time"
            await self.clock.advance(0.05)
