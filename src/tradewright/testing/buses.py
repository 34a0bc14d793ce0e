"""What every message bus must keep to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from tradewright.domain.ports import BusGap, MessageBus

_DEADLINE_S: Final = 10.0


async def check_message_bus(bus: MessageBus, *, overflow: int) -> None:
    """Raise ``AssertionError`` where ``bus`` breaks a promise of ``MessageBus``.

    ``overflow`` is a number of messages that is certainly more than one subscription buffers.
    """
    async with asyncio.timeout(_DEADLINE_S):
        await _check_order_and_channels(bus)
        await _check_every_subscriber_gets_all(bus)
        await _check_memoryless(bus)
    await _check_gap(bus, overflow)


async def _take(messages: AsyncIterator[bytes], count: int) -> list[bytes]:
    return [await anext(messages) for _ in range(count)]


async def _check_order_and_channels(bus: MessageBus) -> None:
    async with bus.subscribe("a:1/2") as one, bus.subscribe("b") as other:
        for number in range(100):
            await bus.publish("a:1/2", b"a%d" % number)
            await bus.publish("b", b"b%d" % number)
        assert await _take(aiter(one), 100) == [b"a%d" % n for n in range(100)], "messages arrive in order"
        assert await _take(aiter(other), 100) == [b"b%d" % n for n in range(100)], "channels are apart"


async def _check_every_subscriber_gets_all(bus: MessageBus) -> None:
    async with bus.subscribe("shared") as one, bus.subscribe("shared") as two:
        await bus.publish("shared", b"\x00binary\xff")
        assert await anext(aiter(one)) == b"\x00binary\xff", "bytes arrive as they were"
        assert await anext(aiter(two)) == b"\x00binary\xff", "every subscriber gets every message"


async def _check_memoryless(bus: MessageBus) -> None:
    await bus.publish("late", b"before")
    async with bus.subscribe("late") as late:
        await bus.publish("late", b"after")
        assert await anext(aiter(late)) == b"after", "a subscription begins when it is entered"
    await bus.publish("late", b"nobody listens")


async def _check_gap(bus: MessageBus, overflow: int) -> None:
    async with bus.subscribe("flood") as subscription:
        await _flood(bus, overflow)
        received, gaps = [b""], 0
        messages = aiter(subscription)
        while received[-1] != b"last":
            try:
                async with asyncio.timeout(_DEADLINE_S):
                    received.append(await anext(messages))
            except BusGap:
                gaps += 1
                assert len(received) == 1 or gaps == 1, "a gap is announced once"
        assert gaps == 1, "lost messages are announced, once"
        numbers = [int(message) for message in received[1:-1]]
        assert numbers == sorted(set(numbers)), "what is left is in order"
        await bus.publish("flood", b"again")
        async with asyncio.timeout(_DEADLINE_S):
            assert await anext(messages) == b"again", "the subscription goes on after a gap"


async def _flood(bus: MessageBus, overflow: int) -> None:
    """Publish so many messages and a last one, and return when all have arrived at another subscriber,
    who takes them."""
    async with bus.subscribe("flood") as witness, asyncio.timeout(_DEADLINE_S):
        for number in range(overflow):
            await bus.publish("flood", b"%d" % number)
        await bus.publish("flood", b"last")
        messages, seen = aiter(witness), b""
        while seen != b"last":
            try:
                seen = await anext(messages)
            except BusGap:
                continue
