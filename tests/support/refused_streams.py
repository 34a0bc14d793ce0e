"""Feeds of an emulated Alpaca that will not have their connection, or not all that they want on it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from tests.support.feed_days import LoopbackClock, unhurried
from tests.support.feed_load import KINDS, Forgetful
from tests.support.loaders import loader_of
from tests.support.scripted_market import ALONE, ALONE_SILENT_S
from tests.venues.alpaca import API_KEY, SECRET, AlpacaVenue
from tradewright.domain.credentials import Credentials
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.streams import StreamKey
from tradewright.plugins.alpaca import AlpacaPlugin
from tradewright.services.cache_manager import CacheManager
from tradewright.services.data_orchestrator import DataOrchestrator
from tradewright.services.market_service import MarketService
from tradewright.services.streaming_manager import StreamingManager
from tradewright.services.subscription_registry import SubscriptionRegistry
from tradewright.services.subscription_service import SubscriptionService
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.storage.memory_bus import MemoryBus
from tradewright.storage.memory_cache import MemoryCache
from tradewright.storage.memory_leases import MemoryLeases

IN_SESSION_MS: Final = 1_723_126_800_000
"""Fifty minutes after New York's opening on 2024-08-08."""
SYMBOLS: Final = ("AAPL", "IBM")
DIALS_A_MINUTE_MAX: Final = 4
BACK_S_MAX: Final = 120.0
REFUSED_S: Final = (45.0, 180.0)
LOOK_S: Final = 0.5
CODES: Final = (405, 406, 407)
"""More symbols than are allowed; a second connection of one key; too slow a reader."""
_SLOW: Final = '[{"T":"error","code":407,"msg":"slow client"}]'


@dataclass
class RefusedStreams:
    """Refusals of one seed: what was dialled meanwhile, and how soon all was well again afterwards."""

    seed: int
    times: Counter[int] = field(default_factory=Counter)
    """By Alpaca's code."""
    refused: Counter[int] = field(default_factory=Counter)
    """How often the venue said so."""
    dialled_s: list[float] = field(default_factory=list)
    back_s: list[float] = field(default_factory=list)
    most_connections: int = 0

    async def run(self, times: int) -> None:
        """Refuse so often; ``AssertionError`` where a feed stays away three times as long as it may."""
        self._chance = random.Random(self.seed)
        async with _watched(LoopbackClock(IN_SESSION_MS)) as (clock, venue, viewers):
            self._clock, self._venue, self._viewers, self._opened = clock, venue, viewers, 0
            await self._until_live()
            for number in range(times):
                code = CODES[number % len(CODES)]
                self.times[code] += 1
                await self._refuse(code)
                self.back_s.append(await self._until_live())
                await self._pass(self._chance.uniform(1, 90))
            self.refused += venue.hub.errors

    @property
    def most_dialled(self) -> int:
        """The most connections begun within any minute."""
        return max(sum(0 <= at - since < 60 for at in self.dialled_s) for since in self.dialled_s)

    async def _refuse(self, code: int) -> None:
        """Let the venue say that for a while, whatever is tried."""
        hub, refused_s = self._venue.hub, self._chance.uniform(*REFUSED_S)
        if code == 407:
            for _ in range(int(refused_s / 5)):
                self.refused[code] += self._venue.inject(_SLOW)
                await self._pass(5)
            return
        hub.connections_max, hub.symbols_max = (0, hub.symbols_max) if code == 406 else (1, 1)
        self._venue.faults.cut_sockets()
        await self._pass(refused_s)
        live = sum(viewer.states[-1] == "live" for viewer in self._viewers)
        assert live < len(self._viewers), f"seed {self.seed}: all is called live while {code} is said"
        hub.connections_max, hub.symbols_max = 1, 1_000

    async def _pass(self, seconds: float) -> None:
        end_s = self._clock.monotonic() + seconds
        while self._clock.monotonic() < end_s:
            await self._clock.advance(LOOK_S)
            opened = self._venue.hub.opened
            self.dialled_s += [self._clock.monotonic()] * (opened - self._opened)
            self._opened = opened
            logged_in = sum(socket.authenticated for socket in self._venue.hub.sockets)
            self.most_connections = max(self.most_connections, logged_in)

    async def _until_live(self) -> float:
        began_s = self._clock.monotonic()
        while not all(viewer.states[-1:] == ["live"] for viewer in self._viewers):
            gone_s = self._clock.monotonic() - began_s
            states = [viewer.statuses[-1:] for viewer in self._viewers]
            assert gone_s < 3 * BACK_S_MAX, f"seed {self.seed}: {states}"
            await self._pass(LOOK_S)
        return self._clock.monotonic() - began_s


@asynccontextmanager
async def _watched(
    clock: LoopbackClock,
) -> AsyncIterator[tuple[LoopbackClock, AlpacaVenue, list[Forgetful]]]:
    """All kinds of two symbols, each with a viewer."""
    store, bus = MemoryBarStore(), MemoryBus()
    async with AlpacaVenue(clock=clock, days=2) as venue:
        markets = MarketService(
            loader_of(AlpacaPlugin),
            MemoryInstrumentStore(store),
            clock,
            provider_options={"alpaca": venue.provider_options()},
            operator_credentials={"alpaca": Credentials({"api_key": API_KEY, "secret": SECRET})},
        )
        orchestrator = DataOrchestrator(markets, store, clock, CacheManager(MemoryCache(clock), clock))
        streaming = StreamingManager(markets, orchestrator, bus, MemoryLeases(clock), clock, sharing=ALONE)
        registry = SubscriptionRegistry()
        service = SubscriptionService(bus, streaming, orchestrator, registry, clock, silent_s=ALONE_SILENT_S)
        try:
            await unhurried(clock, markets.instrument(InstrumentKey("stocks", "alpaca", SYMBOLS[0])))
            viewers = list[Forgetful]()
            for symbol in SYMBOLS:
                for kind in KINDS:
                    frame = "1m" if kind == "ohlcv" else None
                    key = StreamKey(
                        kind=kind, market="stocks", provider="alpaca", symbol=symbol, timeframe=frame
                    )
                    viewers.append(Forgetful())
                    connection = service.connect(viewers[-1], f"10.0.0.{len(viewers)}")
                    topic = await service.subscribe(connection, key, history=5)
                    await unhurried(clock, service.open(connection, topic))
            yield clock, venue, viewers
        finally:
            await service.close()
            await streaming.close()
            await orchestrator.close()
            await markets.close()
