"""Numbered messages on the buses of several servers, and listeners who notice whatever goes wrong.

Each server publishes on channels of its own and listens to those of all. A message may be lost only where
the listener is told by ``BusGap`` before the next, or where the server that published it counts it as lost,
as one does that was alone; none may come twice or out of order.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tradewright.domain.ports import BusGap
from tradewright.runtime.clock import SystemClock
from tradewright.storage.redis.address import RedisAddress
from tradewright.storage.redis.bus import RedisBus

CHANNELS = 3
PERIOD_S = 0.002
DEADLINE_S = 30.0


@dataclass
class Publisher:
    """What one server says on one channel."""

    bus: RedisBus
    channel: str
    number: int = 0

    async def run(self) -> None:
        """Publish the next number again and again."""
        clock = SystemClock()
        while True:
            await self.bus.publish(self.channel, b"%d" % self.number)
            self.number += 1
            await clock.sleep(PERIOD_S)


@dataclass
class Listener:
    """What one server hears on one channel."""

    bus: RedisBus
    publisher: Publisher
    last: int = -1
    gaps: int = 0
    disorder: int = 0
    unannounced: int = 0
    received: int = 0
    silent_s_max: float = 0.0
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Listen, and compare each message with the one before."""
        clock, told = SystemClock(), True
        async with self.bus.subscribe(self.publisher.channel) as subscription:
            self.entered.set()
            messages, heard_s = aiter(subscription), clock.monotonic()
            while True:
                try:
                    number = int(await anext(messages))
                except BusGap:
                    self.gaps += 1
                    self.noticed(clock.monotonic() - heard_s)
                    told = True
                    continue
                if number > self.last + 1 and not told:
                    self.unannounced += number - self.last - 1
                    self.noticed(clock.monotonic() - heard_s)
                self.received += 1
                self.disorder += number <= self.last
                told, self.last, heard_s = False, max(self.last, number), clock.monotonic()

    def noticed(self, silent_s: float) -> None:
        """A loss is told, so long after the last message before it."""
        self.silent_s_max = max(self.silent_s_max, silent_s)


class BusLoad:
    """Servers on one Redis; each has a bus of its own, as each process has."""

    def __init__(self, url: str, servers: int = 2, channels: int = CHANNELS) -> None:
        address = RedisAddress.of_url(url)
        self.clock = SystemClock()
        self.buses = [RedisBus(address, self.clock) for _ in range(servers)]
        self.publishers = [
            Publisher(bus, f"{server}:{number}")
            for server, bus in enumerate(self.buses)
            for number in range(channels)
        ]
        self.listeners = [Listener(bus, publisher) for bus in self.buses for publisher in self.publishers]

    @property
    def received(self) -> int:
        """Messages that arrived at all listeners."""
        return sum(each.received for each in self.listeners)

    @property
    def silent_s_max(self) -> float:
        """The longest time from the last message before a loss until the listener knew of the loss."""
        return max(each.silent_s_max for each in self.listeners)

    @property
    def disorder(self) -> int:
        """Messages that came twice or out of order."""
        return sum(each.disorder for each in self.listeners)

    def unannounced(self) -> int:
        """Messages that were lost without a word: a server's own, and those of another, on all of its
        channels together, that does not count so many as lost."""
        missed: Counter[tuple[RedisBus, RedisBus]] = Counter()
        for each in self.listeners:
            missed[each.bus, each.publisher.bus] += each.unannounced
        return sum(
            count if listening is publishing else max(0, count - publishing.lost)
            for (listening, publishing), count in missed.items()
        )

    @property
    def losses(self) -> int:
        """Connections that were lost."""
        return sum(bus.losses for bus in self.buses)

    def has_lost_more_than(self, losses: int) -> bool:
        """Whether more connections were lost than so many."""
        return self.losses > losses

    def alone(self, bus: RedisBus) -> list[Listener]:
        """Those who listen to what their own server publishes."""
        return [each for each in self.listeners if each.bus is bus and each.publisher.bus is bus]

    async def until_all_hear(self) -> float:
        """Wait until whatever is published from now on arrives everywhere; seconds that took."""
        began_s = self.clock.monotonic()
        numbers = {id(each): each.publisher.number for each in self.listeners}
        await eventually(lambda: all(each.last > numbers[id(each)] for each in self.listeners), "all hear")
        return self.clock.monotonic() - began_s

    async def until_own_heard(self) -> float:
        """Wait until each server hears itself; seconds that took."""
        began_s = self.clock.monotonic()
        own = [each for bus in self.buses for each in self.alone(bus)]
        numbers = {id(each): each.publisher.number for each in own}
        await eventually(lambda: all(each.last > numbers[id(each)] for each in own), "each hears itself")
        return self.clock.monotonic() - began_s

    async def until_told(self, gaps: dict[int, int]) -> float:
        """Wait until every listener has been told of a loss after it had been of so many; seconds."""
        began_s = self.clock.monotonic()
        await eventually(lambda: all(each.gaps > gaps[id(each)] for each in self.listeners), "all are told")
        return self.clock.monotonic() - began_s

    def gaps(self) -> dict[int, int]:
        """How often each listener has been told of a loss."""
        return {id(each): each.gaps for each in self.listeners}


@asynccontextmanager
async def bus_load(url: str, servers: int = 2, channels: int = CHANNELS) -> AsyncIterator[BusLoad]:
    """Servers at work; they end with the block, and their failure is its failure."""
    load = BusLoad(url, servers, channels)
    listening = [asyncio.create_task(each.run(), name="listener") for each in load.listeners]
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(each.entered.wait() for each in load.listeners))
    tasks = [*listening, *(asyncio.create_task(each.run(), name="publisher") for each in load.publishers)]
    try:
        yield load
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for bus in load.buses:
            await bus.close()
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


async def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait for a condition, with a deadline."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not holds():  # noqa: ASYNC110  what is waited for has no event
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE_S:.0f} s: {what}") from None
