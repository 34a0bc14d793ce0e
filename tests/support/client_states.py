"""Clients of two servers on one Redis that loses what is published: what they have once the market rests.

The market is a scripted one on the real clock; feeds, leases, bus, hubs and views are the product's. One
server keeps the feeds, the clients of both watch them.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tests.support.bus_faults import Kind, strike
from tests.support.feed_load import KINDS, BusyVenue
from tests.unit.services.streaming_rig import Markets, VenueHistory, stream
from tests.unit.services.streaming_viewer import Viewer
from tools.private_servers import OwnRedis
from tradewright.domain.streams import StreamKind
from tradewright.domain.ticks import OrderBook, Ticker
from tradewright.runtime.clock import SystemClock
from tradewright.services.streaming_manager import StreamingManager
from tradewright.services.subscription_registry import SubscriptionRegistry
from tradewright.services.subscription_service import SubscriptionService
from tradewright.storage.redis.address import RedisAddress
from tradewright.storage.redis.bus import RedisBus
from tradewright.storage.redis.leases import RedisLeases

SERVERS, SYMBOLS = 2, 5
STATES_OF_A_FAULT: Final = SERVERS * SYMBOLS * len(KINDS)
TRUE_WITHIN_S_MAX: Final = 10.0
PATIENCE_S: Final = 40.0
TRADES_COMPARED: Final = 200
PAUSE_S: Final = 0.02


class StateViewer(Viewer):
    """Knows the newest ticker and book, whatever brought them."""

    ticker: Ticker | None = None
    order_book: OrderBook | None = None

    def take(self, data: bytes) -> None:
        super().take(data)
        self.raw.clear()
        if b'"ticker":{' in data:
            self.ticker = msgspec.json.decode(data, type=_WithTicker).ticker
        if b'"order_book":{' in data:
            self.order_book = msgspec.json.decode(data, type=_WithBook).order_book
        del self.updates[:-1], self.statuses[:-1], self.states[:-1], self.snapshots[:-1]

    def has_all_of(self, venue: BusyVenue, kind: StreamKind) -> bool:
        """Whether it shows what the venue has."""
        price = venue.trades[-1].price
        match kind:
            case "trades":
                ids = {trade.id for trade in self.trades}
                return all(trade.id in ids for trade in venue.trades[-TRADES_COMPARED:])
            case "ticker":
                return self.ticker is not None and self.ticker.last == price
            case "order_book":
                return self.order_book is not None and self.order_book.bids[0][0] == price - 1
            case _:
                return self.series()[-3:] == venue.bars("1m")[-3:]


class _WithTicker(msgspec.Struct):
    ticker: Ticker


class _WithBook(msgspec.Struct):
    order_book: OrderBook


@dataclass
class ClientStates:
    """Faults of one seed, and how soon after each every client had what the venue has."""

    kind: Kind
    seed: int
    compared: int = 0
    resyncs: int = 0
    true_s: list[float] = field(default_factory=list)
    """From the last trade on."""

    async def run(self, redis: OwnRedis, times: int) -> None:
        """Break the bus so often; ``AssertionError`` where a client does not get what it should have."""
        chance = random.Random(f"{self.kind} {self.seed}")
        # A source of its own, as the machine decides how many trades there are, and the seed what breaks.
        prices = random.Random(self.seed)
        venue = BusyVenue(trades_kept=2_000)
        venue.trade(100)
        async with _clients(redis.url, venue) as viewers:
            await self._rest(venue, viewers)
            for _ in range(times):
                trading = asyncio.create_task(_trade(venue, prices), name="the market goes on")
                await asyncio.sleep(chance.uniform(0.1, 0.5))
                await strike(redis, self.kind, chance)
                await asyncio.sleep(chance.uniform(0, 0.5))
                trading.cancel()
                await asyncio.wait({trading})
                self.true_s.append(await self._rest(venue, viewers))
                self.compared += len(viewers)
            self.resyncs = sum(len(viewer.resyncs) for viewer, _ in viewers)

    async def _rest(self, venue: BusyVenue, viewers: list[tuple[StateViewer, StreamKind]]) -> float:
        """Wait until all have everything, while nothing happens that would tell them that they do not."""
        began_s = time.monotonic()
        while lacking := [kind for viewer, kind in viewers if not viewer.has_all_of(venue, kind)]:
            assert time.monotonic() - began_s < PATIENCE_S, f"{self.kind}, seed {self.seed}: {lacking}"
            await asyncio.sleep(0.02)
        for viewer, _ in viewers:
            assert viewer.violations == [], viewer.violations[:1]
        return time.monotonic() - began_s


async def _trade(venue: BusyVenue, prices: random.Random) -> None:
    while True:
        venue.trade(round(prices.uniform(90, 110), 2))
        await asyncio.sleep(PAUSE_S)


@asynccontextmanager
async def _clients(url: str, venue: BusyVenue) -> AsyncIterator[list[tuple[StateViewer, StreamKind]]]:
    clock, address = SystemClock(), RedisAddress.of_url(url)
    viewers = list[tuple[StateViewer, StreamKind]]()
    closing = []
    try:
        for _ in range(SERVERS):
            bus, leases, history = RedisBus(address, clock), RedisLeases(address, clock), VenueHistory(venue)
            streaming = StreamingManager(Markets(venue), history, bus, leases, clock)
            service = SubscriptionService(bus, streaming, history, SubscriptionRegistry(), clock)
            closing.append((service, streaming, leases, bus))
            for number in range(SYMBOLS):
                for kind in KINDS:
                    viewer = StateViewer()
                    viewers.append((viewer, kind))
                    connection = service.connect(viewer, f"10.0.0.{len(viewers)}")
                    key = stream(kind, symbol=f"S{number}/USDT")
                    await service.open(connection, await service.subscribe(connection, key))
        yield viewers
    finally:
        for service, streaming, leases, bus in closing:
            await service.close()
            await streaming.close()
            await leases.close()
            await bus.close()
