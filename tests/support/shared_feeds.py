"""Several processes that share feeds, as far as they can be had in one: each with its own clock, bus, leases
and connections to the venue, all of which can be paused, cut, delayed or ended for it alone."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from tests.unit.services.streaming_rig import START_MS, Markets, ScriptedPlugin, Venue, VenueHistory
from tests.unit.services.streaming_viewer import Viewer
from tradewright.domain.bars import Bars
from tradewright.domain.errors import NetworkPluginError
from tradewright.domain.ports import BusSubscription, Lease, LeasesUnavailable
from tradewright.domain.streams import Snapshot, StreamKey, StreamKind
from tradewright.domain.ticks import OrderBook, Ticker, Trade
from tradewright.domain.timeframes import Timeframe
from tradewright.plugins.base import BarUpdate, MarketPlugin, PluginSetup
from tradewright.services.feeds.control import FeedKey
from tradewright.services.feeds.hub import ResyncReason
from tradewright.services.streaming_manager import StreamingManager
from tradewright.services.subscription_registry import SubscriptionLimits, SubscriptionRegistry
from tradewright.services.subscription_service import SubscriptionService
from tradewright.storage.memory_bus import MemoryBus
from tradewright.storage.memory_leases import MemoryLeases
from tradewright.testing.clock import DrivenClock

GENEROUS = SubscriptionLimits(views_per_connection=1_000, connections_per_address=1_000)


class Gate:
    """Whether a process runs; a paused one gets no further than to its next wait for something outside."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()

    @property
    def paused(self) -> bool:
        return not self._open.is_set()

    def pause(self) -> None:
        self._open.clear()

    def resume(self) -> None:
        self._open.set()

    async def passed(self) -> None:
        if self.paused:
            await self._open.wait()


class ProcessClock:
    """The clock that all share, as one process sees it."""

    def __init__(self, clock: DrivenClock, gate: Gate) -> None:
        self._clock = clock
        self._gate = gate

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        await self._gate.passed()


class _Subscription:
    def __init__(self, subscription: BusSubscription, gate: Gate) -> None:
        self._messages = aiter(subscription)
        self._gate = gate

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        message = await anext(self._messages)
        await self._gate.passed()
        return message


class ProcessBus:
    """A bus between processes. One that is ``cut`` off has only its own subscribers; what is published
    meanwhile is lost to the others, and nobody is told."""

    def __init__(self, network: list[ProcessBus], gate: Gate, clock: DrivenClock) -> None:
        self.cut = False
        self.delay_s = 0.0
        self.lose_next = 0
        self.told = 0
        """How many messages of topics this process has published."""
        self._network = network
        self._gate = gate
        self._clock = clock
        self._own = MemoryBus()
        self._under_way: asyncio.Queue[tuple[float, str, bytes]] = asyncio.Queue()
        self._carrying: asyncio.Task[None] | None = None
        network.append(self)

    async def publish(self, channel: str, message: bytes) -> None:
        await self._gate.passed()
        self.told += not channel.startswith("feed")
        await self._own.publish(channel, message)
        if self._carrying is None:
            self._carrying = asyncio.create_task(self._carry(), name="bus")
        if self.delay_s or not self._under_way.empty():
            self._under_way.put_nowait((self._clock.monotonic() + self.delay_s, channel, message))
        else:
            await self._deliver(channel, message)

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[BusSubscription]:
        await self._gate.passed()
        async with self._own.subscribe(channel) as subscription:
            yield _Subscription(subscription, self._gate)

    @property
    def channels(self) -> frozenset[str]:
        """The channels that somebody of this process is subscribed to."""
        return self._own.channels

    async def close(self) -> None:
        self._network.remove(self)
        if self._carrying is not None:
            self._carrying.cancel()
            await asyncio.gather(self._carrying, return_exceptions=True)

    async def _carry(self) -> None:
        while True:
            due_s, channel, message = await self._under_way.get()
            await self._clock.sleep(due_s - self._clock.monotonic())
            await self._deliver(channel, message)

    async def _deliver(self, channel: str, message: bytes) -> None:
        if self.cut:
            return
        if self.lose_next and not channel.startswith("feed"):
            self.lose_next -= 1
            return
        for other in self._network:
            if other is not self and not other.cut:
                await other._own.publish(channel, message)


class SharedLeases(MemoryLeases):
    """Leases that can all be forgotten, as by a store that was emptied."""

    def forget(self) -> None:
        self._held.clear()


class ProcessLeases:
    """The leases that all share, as one process reaches them; or not, where it is ``cut`` off or they
    ``hang``. Where ``deaf``, what it asks is done, and the answer lost."""

    def __init__(self, leases: SharedLeases, gate: Gate, clock: ProcessClock) -> None:
        self.cut = False
        self.hang = False
        self.deaf = False
        self._leases = leases
        self._gate = gate
        self._clock = clock

    async def acquire(self, name: str, owner: str, ttl_s: float) -> Lease | None:
        await self._reach()
        lease = await self._leases.acquire(name, owner, ttl_s)
        await self._answer()
        return lease

    async def renew(self, leases: Sequence[Lease], ttl_s: float) -> Sequence[bool | None]:
        await self._reach()
        answers = await self._leases.renew(leases, ttl_s)
        await self._answer()
        return answers

    async def release(self, lease: Lease) -> None:
        await self._reach()
        await self._leases.release(lease)
        await self._answer()

    async def _reach(self) -> None:
        await self._gate.passed()
        if self.hang:
            await self._clock.sleep(30.0)
        if self.cut:
            raise LeasesUnavailable("cut off")

    async def _answer(self) -> None:
        await self._gate.passed()
        if self.deaf:
            raise LeasesUnavailable("the answer was lost")


class ProcessPlugin(ScriptedPlugin):
    """One process's connections to the venue."""

    def __init__(self, setup: PluginSetup, venue: Venue, gate: Gate) -> None:
        super().__init__(setup, venue)
        self.open_now: Counter[StreamKind] = Counter()
        self._gate = gate

    async def fetch_ohlcv(
        self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
    ) -> Bars:
        bars = await super().fetch_ohlcv(symbol, timeframe, start_ms=start_ms, end_ms=end_ms, limit=limit)
        await self._gate.passed()
        return bars

    async def fetch_trades(self, symbol: str, limit: int) -> Sequence[Trade]:
        trades = await super().fetch_trades(symbol, limit)
        await self._gate.passed()
        return trades

    def watch_ohlcv(self, symbol: str, timeframe: Timeframe) -> AsyncIterator[BarUpdate]:
        return self._listen("ohlcv")

    def watch_ticker(self, symbol: str) -> AsyncIterator[Ticker]:
        return self._listen("ticker")

    def watch_order_book(self, symbol: str) -> AsyncIterator[OrderBook]:
        return self._listen("order_book")

    def watch_trades(self, symbol: str) -> AsyncIterator[Sequence[Trade]]:
        return self._listen("trades")

    async def _listen(self, kind: StreamKind) -> AsyncGenerator[Any, None]:
        await self._gate.passed()
        self.open_now[kind] += 1
        try:
            async with aclosing(cast("AsyncGenerator[Any, None]", self.venue.listen(kind))) as stream:
                async for item in stream:
                    await self._gate.passed()
                    yield item
        except NetworkPluginError:
            await self._gate.passed()
            raise
        finally:
            self.open_now[kind] -= 1


class _ProcessMarkets(Markets):
    def __init__(self, venue: Venue, plugin: ProcessPlugin) -> None:
        super().__init__(venue)
        self.mine = plugin

    @asynccontextmanager
    async def plugin(self, market: str, provider: str) -> AsyncIterator[MarketPlugin]:
        yield self.mine


@dataclass
class TapeViewer(Viewer):
    """A viewer of trades that starts its list anew at each snapshot, and remembers on its tape what it was
    ever told."""

    tape: dict[str, Trade] = field(default_factory=dict)
    resynced: int = 0

    def offer_resync(self, topic: str, kind: StreamKind, reason: ResyncReason) -> None:
        super().offer_resync(topic, kind, reason)
        self.resynced += 1

    def _begin(self, snapshot: Snapshot) -> None:
        self.trades = []
        super()._begin(snapshot)
        self.tape.update({trade.id: trade for trade in self.trades})

    def take(self, data: bytes) -> None:
        super().take(data)
        if self.updates and isinstance(self.updates[-1].trades, tuple):
            self.tape.update({trade.id: trade for trade in self.updates[-1].trades})


class Process:
    """One server process: its manager of streams and its views."""

    def __init__(self, hall: Hall, name: str) -> None:
        self.name = name
        self._time = hall.clock
        self.gate = Gate()
        self.clock = ProcessClock(hall.clock, self.gate)
        self.bus = ProcessBus(hall.network, self.gate, hall.clock)
        self.leases = ProcessLeases(hall.leases, self.gate, self.clock)
        self.plugin = ProcessPlugin(PluginSetup(provider="scripted", clock=self.clock), hall.venue, self.gate)
        self.streaming = StreamingManager(
            _ProcessMarkets(hall.venue, self.plugin),
            hall.history,
            self.bus,
            self.leases,
            self.clock,
            rng=random.Random(hall.seed),
            process=hall.process_id(),
        )
        self.registry = SubscriptionRegistry(GENEROUS)
        self.service = SubscriptionService(self.bus, self.streaming, hall.history, self.registry, self.clock)
        self.viewers: dict[str, tuple[StreamKey, TapeViewer]] = {}
        self.alive = True
        self._openings: set[asyncio.Task[None]] = set()

    async def view(self, key: StreamKey) -> TapeViewer:
        """A new viewer; it gets its snapshot as time goes on."""
        viewer = TapeViewer()
        connection = self.service.connect(viewer, self.name)
        topic = await self.service.subscribe(connection, key)
        self.viewers[connection] = (key, viewer)
        opening = asyncio.create_task(self.service.open(connection, topic), name="open a view")
        self._openings.add(opening)
        opening.add_done_callback(self._openings.discard)
        return viewer

    def leave(self, connection: str) -> TapeViewer:
        """The viewer goes."""
        self.service.disconnect(connection)
        return self.viewers.pop(connection)[1]

    def keeps(self, kind: StreamKind = "ohlcv") -> bool:
        """Whether the process runs a feed of that kind."""
        return any(key.kind == kind for key in self.streaming.kept_feeds)

    def isolate(self) -> None:
        """Cut it off from the others and from the leases."""
        self.bus.cut = self.leases.cut = True

    def heal(self) -> None:
        """Undo whatever was done to it."""
        self.bus.cut = self.leases.cut = self.leases.hang = self.leases.deaf = False
        self.bus.delay_s = 0.0
        self.bus.lose_next = 0
        self.gate.resume()

    @property
    def disturbed(self) -> bool:
        """Whether anything is wrong with it."""
        bus, leases = self.bus, self.leases
        return bool(self.gate.paused or bus.cut or bus.delay_s or leases.cut or leases.hang or leases.deaf)

    async def kill(self) -> None:
        """End it without a word to anybody, which only the venue notices."""
        self.gate.resume()
        self.leases.hang = False
        self.isolate()
        await self.close()

    async def close(self) -> None:
        """End it in order."""
        ending = asyncio.create_task(self._end(), name=f"end {self.name}")
        await self._time.settle(200)
        while not ending.done():
            await self._time.advance(0.05)
        await ending

    async def _end(self) -> None:
        self.alive = False
        openings = list(self._openings)
        for opening in openings:
            opening.cancel()
        await asyncio.gather(*openings, return_exceptions=True)
        await self.service.close()
        await self.streaming.close()
        await self.bus.close()
        assert not self.bus.channels, "it listens to nothing any more"


class Hall:
    """A venue, and processes around it."""

    def __init__(self, processes: int = 2, *, seed: int = 1, flags: bool = True) -> None:
        self.seed = seed
        self._chance = random.Random(seed)
        self.clock = DrivenClock(START_MS)
        self.venue = Venue(self.clock, flags=flags)
        self.history = VenueHistory(self.venue)
        self.network: list[ProcessBus] = []
        self.leases = SharedLeases(self.clock)
        self.processes: list[Process] = []
        for _ in range(processes):
            self.begin()

    def process_id(self) -> str:
        """Ids are as they may be, in no order, but the same for each seed."""
        return f"{self._chance.getrandbits(32):08x}"

    def begin(self) -> Process:
        """One more process."""
        process = Process(self, f"process {len(self.processes) + 1}")
        self.processes.append(process)
        return process

    async def __aenter__(self) -> Hall:
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self.living:
            process.heal()
            await process.close()
        viewers = [viewer for process in self.processes for _, viewer in process.viewers.values()]
        assert [violation for viewer in viewers for violation in viewer.violations] == []

    @property
    def living(self) -> list[Process]:
        """The processes that have not ended."""
        return [process for process in self.processes if process.alive]

    def keepers(self, kind: StreamKind = "ohlcv") -> list[Process]:
        """The processes that run a feed of that kind."""
        return [process for process in self.living if process.keeps(kind)]

    def upstreams(self, kind: StreamKind = "ohlcv") -> int:
        """How many connections of that kind the venue has."""
        return sum(process.plugin.open_now[kind] for process in self.processes)

    def wanted(self) -> set[FeedKey]:
        """The feeds that anybody wants."""
        return {
            FeedKey(key.kind, key.instrument)
            for process in self.living
            for key in process.streaming.references
        }

    async def until(self, condition: Any, *, within_s: float = 10.0) -> float:
        """Let time pass until the condition holds; how long that took. Fails where it takes longer."""
        began_s = self.clock.monotonic()
        await self.clock.settle()
        while not condition():
            assert self.clock.monotonic() < began_s + within_s, "it did not happen in time"
            await self.clock.advance(0.05)
        return self.clock.monotonic() - began_s
