"""Live feeds over real sockets of an emulated venue, and what they publish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from tests.support.loaders import loader_of
from tests.venues.binance import BinanceVenue
from tests.venues.impatient import ImpatientPlugin
from tradewright.domain.streams import FeedMessage, FeedStatus, Heartbeat, StreamKey, StreamKind, Update
from tradewright.runtime.clock import SystemClock
from tradewright.services.cache_manager import CacheManager
from tradewright.services.data_orchestrator import DataOrchestrator
from tradewright.services.market_service import MarketService
from tradewright.services.streaming_manager import StreamingManager, StreamSettings
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.storage.memory_bus import MemoryBus
from tradewright.storage.memory_cache import MemoryCache
from tradewright.storage.memory_leases import MemoryLeases

T = TypeVar("T")
SYMBOL = "BTC/USDT"


def stream_of(kind: StreamKind) -> StreamKey:
    """A stream of the emulated symbol."""
    timeframe = "1m" if kind == "ohlcv" else None
    return StreamKey(kind=kind, market="crypto", provider="binance", symbol=SYMBOL, timeframe=timeframe)


@dataclass
class FeedHouse:
    """Feeds of one venue, in one process, on the real clock."""

    venue: BinanceVenue
    streaming: StreamingManager
    bus: MemoryBus

    @asynccontextmanager
    async def watching(
        self, kind: StreamKind, take: Callable[[Update | FeedStatus], None]
    ) -> AsyncIterator[None]:
        """Hand on all that is published of a stream while the context lasts."""
        key, decoder = stream_of(kind), msgspec.json.Decoder(FeedMessage)

        async def listen() -> None:
            async with self.bus.subscribe(key.topic) as subscription:
                async for data in subscription:
                    message = decoder.decode(data)
                    if not isinstance(message, Heartbeat):
                        take(message)

        listening = asyncio.create_task(listen(), name=f"test listens to {kind}")
        await asyncio.sleep(0)
        self.streaming.acquire(key)
        try:
            yield
        finally:
            self.streaming.release(key)
            listening.cancel()
            outcome = await asyncio.gather(listening, return_exceptions=True)
            if isinstance(outcome[0], Exception):
                raise outcome[0]


@asynccontextmanager
async def feed_house(
    venue: BinanceVenue,
    settings: StreamSettings = StreamSettings(),  # noqa: B008  frozen
) -> AsyncIterator[FeedHouse]:
    """Open it over a venue that is open."""
    clock, store, bus = SystemClock(), MemoryBarStore(), MemoryBus()
    markets = MarketService(
        loader_of(ImpatientPlugin),
        MemoryInstrumentStore(store),
        clock,
        provider_options={"binance": venue.provider_options()},
    )
    orchestrator = DataOrchestrator(markets, store, clock, CacheManager(MemoryCache(clock), clock))
    streaming = StreamingManager(markets, orchestrator, bus, MemoryLeases(clock), clock, settings)
    try:
        yield FeedHouse(venue, streaming, bus)
    finally:
        await streaming.close()
        await orchestrator.close()
        await markets.close()
