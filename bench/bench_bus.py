"""The bus in Redis beside redis-py: messages sent and received, and what reading costs.

Sending is measured to the end, until a subscriber has every message. Reading is measured in processor time
of the reader, since on an idle machine any reader keeps up; the messages come from another process.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import uvloop
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from bench.bus_feeder import MESSAGE, channel
from bench.measuring import Result, report
from tools.private_servers import own_redis
from tradewright.domain.ports import BusSubscription
from tradewright.runtime.clock import SystemClock
from tradewright.storage.redis.address import RedisAddress
from tradewright.storage.redis.bus import RedisBus

RUNS = 5
SENT, SENT_SINGLY = 100_000, 4_000
UNDER_WAY = 2_000
READ = 32_000  # so much fits into what Redis keeps for a reader
READ_CHANNELS = (1, 200)
SENT_PER_S_MIN, SENT_RATIO_MIN, READ_RATIO_MIN = 40_000, 4.0, 10.0
PREFIX = "bench"


@dataclass(frozen=True, slots=True)
class Feeder:
    """The other process."""

    process: subprocess.Popen[str]

    def feed(self, channels: int) -> None:
        """Return when it has published all; nothing else happens in this process meanwhile."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(channels, READ, file=self.process.stdin, flush=True)
        if self.process.stdout.readline() != "done\n":
            raise SystemExit("The feeder ended.")


async def take(subscription: BusSubscription, count: int) -> None:
    """Receive so many messages."""
    messages = aiter(subscription)
    for _ in range(count):
        if len(await anext(messages)) != len(MESSAGE):
            raise SystemExit("A message is not what was sent.")


async def send_by_bus(sender: RedisBus, receiver: RedisBus) -> float:
    """Seconds that a thousand messages take on the bus, from one connection to another."""
    async with receiver.subscribe("sent") as subscription:
        began = time.perf_counter()
        for first in range(0, SENT, UNDER_WAY):
            receiving = asyncio.create_task(take(subscription, UNDER_WAY), name="receiving")
            for _ in range(first, first + UNDER_WAY):
                await sender.publish("sent", MESSAGE)
            await receiving
        return 1_000 * (time.perf_counter() - began) / SENT


async def send_singly(client: Redis, pubsub: PubSub) -> float:
    """Seconds that a thousand messages take by redis-py, published one after the other."""
    await pubsub.subscribe("singly")
    while not await pubsub.get_message(timeout=1):
        continue
    began = time.perf_counter()
    receiving = asyncio.create_task(get_messages(pubsub, SENT_SINGLY), name="receiving")
    for _ in range(SENT_SINGLY):
        await client.publish("singly", MESSAGE)
    await receiving
    return 1_000 * (time.perf_counter() - began) / SENT_SINGLY


async def get_messages(pubsub: PubSub, count: int) -> None:
    """Receive so many messages by ``get_message``."""
    while count:
        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=1)
        if message is not None:
            if len(message["data"]) != len(MESSAGE):
                raise SystemExit("A message is not what was sent.")
            count -= 1


async def processor_time(feeder: Feeder, channels: int, read: Callable[[], Awaitable[object]]) -> float:
    """Seconds of the processor that reading a thousand messages takes. All are waiting when it begins, since
    what reading costs matters when there is much to read."""
    feeder.feed(channels)
    began = time.process_time()
    await read()
    return 1_000 * (time.process_time() - began) / READ


async def read_by_bus(url: str, feeder: Feeder, channels: int) -> float:
    """The cost of messages that subscribers of the bus take, one task for each channel."""
    bus = RedisBus(RedisAddress.of_url(url), SystemClock(), prefix=PREFIX, buffered_max=READ)
    async with AsyncExitStack() as stack:
        entered = [await stack.enter_async_context(bus.subscribe(str(each))) for each in range(channels)]

        async def read() -> None:
            await asyncio.gather(*(take(each, READ // channels) for each in entered))

        cost = await processor_time(feeder, channels, read)
    await bus.close()
    return cost


async def read_singly(url: str, feeder: Feeder, channels: int) -> float:
    """The cost of messages that ``get_message`` returns, all channels on one connection."""
    async with Redis.from_url(url) as client, client.pubsub() as pubsub:
        await pubsub.subscribe(*(channel(PREFIX, number) for number in range(channels)))
        confirmed = 0
        while confirmed < channels:
            confirmed += await pubsub.get_message(timeout=1) is not None

        async def read() -> None:
            await get_messages(pubsub, READ)

        return await processor_time(feeder, channels, read)


async def sending(url: str) -> Result:
    """Both ways of sending, in pairs."""
    address, clock = RedisAddress.of_url(url), SystemClock()
    ours, limit = [], []
    sender, receiver = RedisBus(address, clock, prefix=PREFIX), RedisBus(address, clock, prefix=PREFIX)
    async with Redis.from_url(url) as client, client.pubsub() as pubsub, sender.subscribe("connected"):
        for _ in range(RUNS):
            ours.append(await send_by_bus(sender, receiver))
            limit.append(await send_singly(client, pubsub))
    await sender.close()
    await receiver.close()
    return Result.of_pairs("1,000 messages sent and received", ours, limit, ratio_min=SENT_RATIO_MIN)


async def reading(url: str, feeder: Feeder, channels: int) -> Result:
    """Both ways of reading, in pairs."""
    ours, limit = [], []
    for _ in range(RUNS):
        ours.append(await read_by_bus(url, feeder, channels))
        limit.append(await read_singly(url, feeder, channels))
    name = f"1,000 messages read on {channels} channel{'s'[: channels - 1]}, processor"
    return Result.of_pairs(name, ours, limit, ratio_min=READ_RATIO_MIN)


def main() -> int:
    """Measure against a Redis of our own."""
    with own_redis() as redis, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        results = [runner.run(sending(redis.url))]
        feeding = subprocess.Popen(
            [sys.executable, "-m", "bench.bus_feeder", redis.url, PREFIX],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with feeding:
            results += [runner.run(reading(redis.url, Feeder(feeding), each)) for each in READ_CHANNELS]
            assert feeding.stdin is not None
            feeding.stdin.close()
    sent_per_s = 1_000 / results[0].ours_s
    broken = sent_per_s < SENT_PER_S_MIN
    print(f"{sent_per_s:,.0f} messages a second sent and received{'  BROKEN' if broken else ''}")
    print("The limit is PUBLISH and get_message of redis-py.")
    return 1 if report(results) or broken else 0


if __name__ == "__main__":
    sys.exit(main())
