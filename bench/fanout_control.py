"""What the servers of the fan-out bench have in common: they publish on command, and tell what it cost.

A command is a line of JSON on standard input, the answer a line on standard output.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec

FIRST_SEQ: Final = 1_000_000_000
MICROSECONDS_OFFSET: Final = 10**15
"""Added to times and numbers, so that every update has the same length."""

Publish = Callable[[int, int], Awaitable[None] | None]
"""Sends one update of a topic, by number, with that time in it, to all who watch the topic."""


class Command(msgspec.Struct, frozen=True):
    """Publish ``at_once`` updates, on so many topics in turn, at most ``rate`` times a second.

    What is late is not made up for, so that a peer that can't join updates does not lose by a busy machine.
    """

    topics: int
    at_once: int
    rate: float
    seconds: float


class Outcome(msgspec.Struct, frozen=True):
    """What was published, the server's processor seconds so far, and its resident memory."""

    updates: int
    cpu_s: float
    rss_bytes: int


def topic_name(number: int) -> str:
    """The topic of that number."""
    return f"ticker:crypto:bench:S{number:03d}/USDT"


def symbol(number: int) -> str:
    """Its symbol."""
    return f"S{number:03d}/USDT"


def stamp() -> int:
    """Now, in microseconds that two processes of one machine agree on."""
    return MICROSECONDS_OFFSET + time.monotonic_ns() // 1000


def update_of(topic: str, seq: int, time_us: int) -> dict[str, Any]:
    """One update as a dict, equal to what the product sends."""
    ticker = {"t": time_us, "last": 64_250.5, "bid": 64_250.0, "ask": 64_251.0, "high": None, "low": None}
    ticker |= {"volume": None, "quote_volume": None, "change_percent": None}
    return {"type": "update", "topic": topic, "epoch": "e", "seq": seq, "ticker": ticker}


def resident_bytes() -> int:
    """How much memory this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def obey(publish: Publish, port: int) -> None:
    """Say the port, then do what standard input says until it ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps({"port": port}), flush=True)
    while line := await reader.readline():
        outcome = await _publish(publish, msgspec.json.decode(line, type=Command))
        print(msgspec.json.encode(outcome).decode(), flush=True)


async def _publish(publish: Publish, command: Command) -> Outcome:
    ends_s = time.monotonic() + command.seconds
    updates = 0
    while (began_s := time.monotonic()) < ends_s:
        for _ in range(command.at_once):
            sent = publish(updates % command.topics, stamp())
            if sent is not None:
                await sent
            updates += 1
        await asyncio.sleep(max(0.0, began_s + 1 / command.rate - time.monotonic()))
    return Outcome(updates, time.process_time(), resident_bytes())
