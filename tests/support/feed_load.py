"""Feeds under load, from the plugin on: a burst of all kinds."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from tests.unit.services.streaming_rig import Markets, Venue, VenueHistory, stream
from tests.unit.services.streaming_viewer import Viewer
from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.streams import StreamKey, StreamKind
from tradewright.domain.ticks import Trade
from tradewright.domain.timeframes import ONE_MINUTE
from tradewright.plugins.base import BarUpdate
from tradewright.runtime.clock import SystemClock
from tradewright.services.feeds.derivation import fold
from tradewright.services.feeds.live_bar_writer import LiveBarWriter
from tradewright.services.streaming_manager import StreamingManager
from tradewright.services.subscription_registry import SubscriptionRegistry
from tradewright.services.subscription_service import SubscriptionService
from tradewright.storage.memory import MemoryBarStore
from tradewright.storage.memory_bus import MemoryBus
from tradewright.storage.memory_leases import MemoryLeases
from tradewright.testing.clock import DrivenClock

KINDS: Final[tuple[StreamKind, ...]] = ("trades", "ticker", "order_book", "ohlcv")
BURST_PER_S: Final = 10_000
LAG_MS_MAX: Final = 100.0
GROWN_MB_MAX: Final = 100.0
_STEP_S: Final = 0.005
_MINUTES_KEPT: Final = 180
ROWS_KEPT: Final = 60


def resident_mb() -> float:
    """How much memory the process has, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def open_files() -> int:
    """How many file descriptors the process has."""
    return len(os.listdir("/proc/self/fd"))


class Forgetful(Viewer):
    """Keeps the last of what it got."""

    def take(self, data: bytes) -> None:
        super().take(data)
        self.raw.clear()
        del self.updates[:-1], self.statuses[:-1], self.states[:-1], self.trades[:-200], self.finals[:-100]
        del self.snapshots[:-1], self.resyncs[:-1]
        while len(self.rows) > ROWS_KEPT:
            del self.rows[next(iter(self.rows))]


@asynccontextmanager
async def served(venue: Venue) -> AsyncIterator[SubscriptionService]:
    """Everything from the plugin to the views, on the real clock."""
    clock, bus, history = SystemClock(), MemoryBus(), VenueHistory(venue)
    writer = LiveBarWriter(MemoryBarStore(), clock)
    writer.start()
    streaming = StreamingManager(Markets(venue), history, bus, MemoryLeases(clock), clock, sink=writer)
    registry = SubscriptionRegistry()
    service = SubscriptionService(bus, streaming, history, registry, clock)
    try:
        yield service
    finally:
        await service.close()
        await streaming.close()
        await writer.close()


class BusyVenue(Venue):
    """The scripted venue on the real clock, which reckons each trade into its minute as it comes."""

    def __init__(self, trades_kept: int) -> None:
        super().__init__(cast(DrivenClock, SystemClock()), flags=True)
        self._trades_kept = trades_kept
        self._count = 0
        self._rows: dict[int, BarRow] = {}

    def trade(self, price: float, amount: float = 1.0, *, tell: bool = True) -> Trade:
        now_ms = self.clock.now_ms()
        self._count += 1
        trade = Trade(now_ms, str(self._count), "buy", price, amount)
        at = ONE_MINUTE.floor(now_ms)
        if at not in self._rows and self._rows:
            self._tell("ohlcv", BarUpdate(self.minutes()[-1:], True))
        rows = [self._rows[at]] if at in self._rows else []
        self._rows[at] = fold(at, [*rows, (at, price, price, price, price, amount)]) or rows[0]
        while len(self._rows) > _MINUTES_KEPT:
            del self._rows[min(self._rows)]
        self.trades.append(trade)
        del self.trades[: -self._trades_kept]
        self._tell("ohlcv", BarUpdate(Bars.from_rows([self._rows[at]]), False))
        self._tell("trades", [trade])
        self._tell("ticker", self.ticker())
        self._tell("order_book", self.book())
        return trade

    def minutes(self) -> Bars:
        return Bars.from_rows(self._rows.values())


async def watch(service: SubscriptionService, viewer: Viewer, key: StreamKey) -> None:
    connection = service.connect(viewer, f"10.0.{id(viewer) % 250}.1")
    await service.open(connection, await service.subscribe(connection, key, history=5))


@dataclass
class Burst:
    """What a burst did to the event loop, to memory, and to what is told."""

    seconds: float
    per_s: int = BURST_PER_S
    sent: int = 0
    lags_ms: list[float] = field(default_factory=list)
    grown_mb: float = 0.0
    missing_trades: int = 0
    told: dict[StreamKind, int] = field(default_factory=dict)

    async def run(self) -> None:
        """Send it, and wait until all of it is told."""
        venue, chance = BusyVenue(trades_kept=1_000_000), random.Random(1)
        venue.trade(100)
        async with served(venue) as service:
            viewers = {kind: Viewer() for kind in KINDS}
            for kind, viewer in viewers.items():
                await watch(service, viewer, stream(kind))
            before_mb = resident_mb()
            measuring = asyncio.create_task(self._measure(), name="measure the lag of the loop")
            await self._send(venue, chance)
            await asyncio.sleep(1)
            measuring.cancel()
            self.grown_mb = resident_mb() - before_mb
            for kind, viewer in viewers.items():
                assert viewer.violations == [], viewer.violations[:1]
                self.told[kind] = len(viewer.updates)
            told = {trade.id for trade in viewers["trades"].trades}
            self.missing_trades = sum(trade.id not in told for trade in venue.trades)
            assert viewers["ohlcv"].series()[-1] == venue.bars("1m")[-1]

    async def _send(self, venue: Venue, chance: random.Random) -> None:
        began_s = time.monotonic()
        while (gone_s := time.monotonic() - began_s) < self.seconds:
            due = int(gone_s * self.per_s)
            while self.sent < due:
                venue.trade(round(chance.uniform(90, 110), 2))  # a message of each kind
                self.sent += len(KINDS)
            await asyncio.sleep(_STEP_S)

    async def _measure(self) -> None:
        while True:
            before_s = time.monotonic()
            await asyncio.sleep(_STEP_S)
            self.lags_ms.append((time.monotonic() - before_s - _STEP_S) * 1000)
