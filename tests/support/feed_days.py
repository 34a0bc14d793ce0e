"""Many streams of an emulated Binance for a day of a driven clock: what they cost at each look.

All from the venue's sockets on is the product's: CCXT with its plugin, feeds, bus, hubs and views.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tests.support.busy_markets import BusyMarket
from tests.support.feed_load import KINDS, Forgetful, open_files, resident_mb
from tests.support.loaders import loader_of
from tests.support.scripted_market import ALONE, ALONE_SILENT_S
from tests.venues.binance import BinanceVenue, generate_capture
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.streams import StreamKey
from tradewright.plugins.ccxt import CCXTPlugin
from tradewright.services.cache_manager import CacheManager
from tradewright.services.data_orchestrator import DataOrchestrator
from tradewright.services.feeds.live_bar_writer import LiveBarWriter
from tradewright.services.market_service import MarketService
from tradewright.services.streaming_manager import StreamingManager
from tradewright.services.subscription_registry import SubscriptionRegistry
from tradewright.services.subscription_service import SubscriptionService
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.storage.memory_bus import MemoryBus
from tradewright.storage.memory_cache import MemoryCache
from tradewright.storage.memory_leases import MemoryLeases
from tradewright.testing.clock import DrivenClock

START_MS: Final = 1_704_067_200_000
STEP_S: Final = 10.0
"""Each stream says something so often, which is before it is suspected of having fallen silent."""
WARM_UP_TRADES: Final = 5_200
"""More of each symbol than are remembered anywhere."""
AT_ONCE: Final = 100
WARM_UP_H: Final = 1.5
"""Until what is kept of each symbol's minutes is full too."""
CANDLES_KEPT: Final = 60
"""By CCXT, in place of 1,000, for which it would take the better part of the day to be full."""
MB_PER_H_MAX: Final = 1.0
NOISE_MB: Final = 2.0
"""What a memory that does not grow differs by between two looks, and so counts in a short run."""
OPENED_WITHIN_S: Final = 60.0
OPENING_STEP_S: Final = 5.0
NOTHING: Final = {"tasks": 0, "files": 0, "sockets": 0}
RENEWED: Final = {"tasks": 10, "files": 4, "sockets": 4}
"""A connection that is renewed, as each is within a day, is there twice for ten seconds, with its tasks. A
run of minutes ends long before the first is renewed, so that nothing may differ there."""
_TOGETHER_S: Final = 0.05
_IDLE_ROUNDS: Final = 40
HEARD_WITHIN_S: Final = 60.0


class LoopbackClock(DrivenClock):
    """Gives what is sent between sockets of one event loop the rounds to arrive before time goes on, and
    wakes together who is to wake within a twentieth of a second."""

    async def advance(self, delta_s: float) -> None:
        target = self._monotonic_s + delta_s
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            self._go_to(min(target, max(self._sleepers[0][0], self._monotonic_s + _TOGETHER_S)))
            while self._sleepers and self._sleepers[0][0] <= self._monotonic_s:
                future = heapq.heappop(self._sleepers)[2]
                if not future.done():
                    future.set_result(None)
            await self.settle()
        self._go_to(target)
        await self.settle()
        # Who was cancelled is forgotten now, and not only at its time, else the clock would be what grows.
        self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[2].done()]
        heapq.heapify(self._sleepers)

    def _go_to(self, monotonic_s: float) -> None:
        self._now_ms += (monotonic_s - self._monotonic_s) * 1000
        self._monotonic_s = monotonic_s

    @staticmethod
    async def settle(rounds: int = _IDLE_ROUNDS) -> None:
        await DrivenClock.settle(rounds)


class Look(NamedTuple):
    """What all of it costs at one moment."""

    hours: float
    mb: float
    tasks: int
    files: int
    sockets: int
    """Connections to the venue."""
    subscriptions: int
    """Streams that the venue sends, each counted as often as it is sent."""


@dataclass
class FeedDay:
    """So many streams for so many hours of the clock."""

    streams: int
    hours: float
    warm_up_trades: int = WARM_UP_TRADES
    look_s: float = 600.0
    looks: list[Look] = field(default_factory=list)
    sockets_opened: int = 0
    messages: int = 0

    async def run(self) -> None:
        """Look now and then; ``AssertionError`` where a viewer gets something wrong, or nothing."""
        chance = random.Random(1)
        async with _house(self.streams) as house:
            for _ in range(self.warm_up_trades // AT_ONCE):
                house.move(chance, AT_ONCE)
                await house.heard()
            began_s, looked_s = house.clock.monotonic(), float("-inf")
            while (gone_s := house.clock.monotonic() - began_s) < self.hours * 3600:
                house.move(chance)
                await house.heard()
                await house.clock.advance(STEP_S)
                if gone_s - looked_s >= self.look_s:
                    looked_s = gone_s
                    self.looks.append(house.look(gone_s / 3600))
            self.looks.append(house.look(self.hours))
            self.sockets_opened = house.venue.sockets_opened
            self.messages = sum(viewer.count for viewer in house.viewers)

    @property
    def late(self) -> list[Look]:
        """The looks once everything bounded is full: after the warm-up, or half of a run that is as short."""
        since_h = min(WARM_UP_H, self.hours / 2)
        return [look for look in self.looks if look.hours >= since_h]

    def slope_mb_per_h(self) -> float:
        """How fast memory grows then."""
        late = self.late
        mean_h, mean_mb = sum(one.hours for one in late) / len(late), sum(one.mb for one in late) / len(late)
        spread = sum((one.hours - mean_h) ** 2 for one in late)
        return sum((one.hours - mean_h) * (one.mb - mean_mb) for one in late) / max(spread, 1e-9)

    def grows(self) -> list[str]:
        """What grows then: memory, tasks, file descriptors, connections."""
        found, late = list[str](), self.late
        if late[-1].mb - late[0].mb > NOISE_MB + MB_PER_H_MAX * (late[-1].hours - late[0].hours):
            found.append(f"memory, by {self.slope_mb_per_h():.1f} MB an hour")
        return found + self.changes(RENEWED)

    def changes(self, allowed: Mapping[str, int] = NOTHING) -> list[str]:
        """Which of the counts differ then by more than is allowed."""
        found = list[str]()
        for name, most in allowed.items():
            seen = {getattr(look, name) for look in self.late}
            if max(seen) - min(seen) > most:
                found.append(f"{name}, between {min(seen)} and {max(seen)}")
        if any(look.subscriptions != self.streams for look in self.looks):
            found.append("streams that the venue sends twice, or not at all")
        return found


class _House:
    def __init__(self, venue: BinanceVenue, clock: LoopbackClock, service: SubscriptionService) -> None:
        self.venue = venue
        self.clock = clock
        self.markets: list[BusyMarket] = []
        self.viewers: list[CountingViewer] = []
        self._service = service
        self._tapes: dict[str, CountingViewer] = {}

    def move(self, chance: random.Random, trades: int = 0) -> None:
        """Let every market move, after so many more trades."""
        for market in self.markets:
            for _ in range(trades):
                market.trade(chance)
            market.move(chance)

    async def open(self, streams: int) -> None:
        """Watch one after another, each until it is live, while the markets move."""
        chance, moved_s = random.Random(0), float("-inf")
        async with asyncio.timeout(OPENED_WITHIN_S):
            for number in range(streams):
                viewer = CountingViewer()
                opening = asyncio.create_task(self._watch(number, viewer), name=f"watch {number}")
                while not (opening.done() and viewer.states[-1:] == ["live"] and self.sent > number):
                    if self.clock.monotonic() - moved_s > OPENING_STEP_S:
                        moved_s = self.clock.monotonic()
                        self.move(chance)
                    await self.clock.advance(0.02)
                await opening
        await self.heard()

    async def _watch(self, number: int, viewer: CountingViewer) -> None:
        """One more view: all kinds of one symbol after another."""
        market, kind = self.markets[number // len(KINDS)], KINDS[number % len(KINDS)]
        frame = "1m" if kind == "ohlcv" else None
        key = StreamKey(kind=kind, market="crypto", provider="binance", symbol=market.name, timeframe=frame)
        self.viewers.append(viewer)
        if kind == "trades":
            self._tapes[market.name] = viewer
        connection = self._service.connect(viewer, f"10.0.{number}.1")
        await self._service.open(connection, await self._service.subscribe(connection, key, history=5))

    async def heard(self) -> None:
        """Wait until every tape has come to its end, by which time the rest has come too."""
        async with asyncio.timeout(HEARD_WITHIN_S):
            while any(self._tapes[one.name].newest != one.newest_trade for one in self.markets):
                await self.clock.advance(0.05)

    @property
    def sent(self) -> int:
        """How many streams the venue sends, each counted as often as it is sent."""
        return sum(self.venue.subscriptions.values())

    def look(self, hours: float) -> Look:
        for viewer in self.viewers:
            assert viewer.violations == [], viewer.violations[:1]
            assert viewer.states[-1:] == ["live"], viewer.statuses
        tasks, sockets = len(asyncio.all_tasks()), self.venue.upstream_sockets
        return Look(hours, resident_mb(), tasks, open_files(), sockets, self.sent)


class CountingViewer(Forgetful):
    """Counts the updates, and knows the newest trade."""

    count = 0
    newest = ""

    def take(self, data: bytes) -> None:
        super().take(data)
        self.count += 1
        if self.trades:
            self.newest = self.trades[-1].id


@asynccontextmanager
async def _house(streams: int) -> AsyncIterator[_House]:
    clock = LoopbackClock(START_MS)
    store, bus = MemoryBarStore(), MemoryBus()
    async with BinanceVenue(generate_capture(4, 2), clock=clock, speed=1e-9, weight_limit=10**6) as venue:
        markets = MarketService(
            loader_of(CCXTPlugin),
            MemoryInstrumentStore(store),
            clock,
            provider_options={"binance": _with_candles_kept(venue.provider_options())},
        )
        orchestrator = DataOrchestrator(markets, store, clock, CacheManager(MemoryCache(clock), clock))
        writer = LiveBarWriter(store, clock)
        writer.start()
        leases = MemoryLeases(clock)
        streaming = StreamingManager(markets, orchestrator, bus, leases, clock, sharing=ALONE, sink=writer)
        registry = SubscriptionRegistry()
        service = SubscriptionService(bus, streaming, orchestrator, registry, clock, silent_s=ALONE_SILENT_S)
        house = _House(venue, clock, service)
        house.markets = [BusyMarket(venue, f"S{number}") for number in range(streams // len(KINDS))]
        house.move(random.Random(0))
        try:
            await unhurried(clock, markets.instrument(InstrumentKey("crypto", "binance", "S0/USDT")))
            await house.open(streams)
            yield house
        finally:
            await service.close()
            await streaming.close()
            await writer.close()
            await orchestrator.close()
            await markets.close()


async def unhurried(clock: LoopbackClock, work: Coroutine[Any, Any, object]) -> None:
    """Hold the clock back for what is done in threads, and not by the event loop."""
    task = asyncio.create_task(work, name="unhurried")
    while not task.done():
        await asyncio.wait({task}, timeout=0.05)
        await clock.advance(0.001)
    await task


def _with_candles_kept(options: dict[str, Any]) -> dict[str, Any]:
    return {**options, "options": {**options["options"], "OHLCVLimit": CANDLES_KEPT}}
