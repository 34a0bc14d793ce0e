"""Names of markets, providers, symbols and timeframes as an attacker writes them, sent byte for byte."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote_from_bytes

SEEDS: Final = (
    "'; DROP TABLE bars;--",
    '" OR 1=1 --',
    "../../../../etc/passwd",
    "..\\..\\windows",
    "*",
    "?",
    "%",
    "_",
    "BTC/USDT\r\nSet-Cookie: a=b",
    "\r\nFLUSHALL\r\n",
    "*3\r\n$3\r\nSET\r\n",
    "__class__",
    "__init__",
    "Exchange",
    "base_exchange",
    "async_support",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "%00",
    "\x00",
    "\u202e",
    "ＢＴＣ/ＵＳＤＴ",
    "btc/usdt",
    "BTC/USDT ",
    "BTC//USDT",
    "BTC/USDT:",
    "<script>alert(1)</script>",
    "A" * 65,
    "A" * 3_000,
    "-1",
    "0",
    "1e400",
    "NaN",
    "true",
    "[]",
    "{}",
    "1m\n",
    "1M ",
    "１m",
    "60",
    "1mm",
    "999999999w",
    "0m",
    "-1m",
    "~",
    ".",
    "",
)
RIGHT: Final = {"market": "crypto", "provider": "simulated", "symbol": "BTC/USDT", "timeframe": "1h"}
PATHS: Final = {
    "ohlcv": ("market", "provider", "symbol", "timeframe"),
    "ticker": ("market", "provider", "symbol"),
    "order_book": ("market", "provider", "symbol"),
    "trades": ("market", "provider", "symbol"),
    "symbols": ("market", "provider"),
    "providers": ("market",),
    "coverage": ("market", "provider", "symbol"),
    "coverage/strip": ("market", "provider", "symbol"),
    "export": ("market", "provider", "symbol", "timeframe"),
}
_DEADLINE_S: Final = 30.0


def hostile_name(chance: random.Random) -> bytes:
    """Something that is no name of anything here."""
    while True:
        name = chance.choice(SEEDS).encode()
        match chance.randrange(5):
            case 0:
                name = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 40)))
            case 1:
                name += chance.choice(SEEDS).encode()
            case 2:
                cut = chance.randrange(len(name) + 1)
                name = name[:cut] + bytes([chance.randrange(256)]) + name[cut:]
            case 3:
                name = chance.choice(list(RIGHT.values())).encode() + name
        if name.decode("utf-8", "replace") not in RIGHT.values():
            return name


@dataclass(frozen=True, slots=True)
class Hostile:
    """A request whose ``wrong`` parameter names nothing."""

    head: bytes
    wrong: str


def hostile_request(chance: random.Random) -> Hostile:
    """One of a path with names, one of them wrong."""
    path = chance.choice(list(PATHS))
    wrong = chance.choice(PATHS[path])
    values = {name: RIGHT[name].encode() for name in PATHS[path]}
    values[wrong] = hostile_name(chance)
    if path == "ohlcv":
        values["limit"] = b"5"
    query = "&".join(f"{name}={_written(chance, value)}" for name, value in values.items())
    head = f"GET /api/v1/market/{path}?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    return Hostile(head.encode("latin-1"), wrong)


def _written(chance: random.Random, value: bytes) -> str:
    """Percent signs for all, for what needs it, or for nearly nothing: bytes as they are."""
    match chance.randrange(3):
        case 0:
            return "".join(f"%{byte:02X}" for byte in value)
        case 1:
            return quote_from_bytes(value, safe="")
    # What would end the line or the parameter is written so that it arrives.
    return "".join(chr(byte) if byte > 32 and byte not in b"#&%+\x7f" else f"%{byte:02x}" for byte in value)


@dataclass
class Attack:
    """What a server said: how often each status, and the requests that passed or broke something."""

    host: str
    port: int
    statuses: Counter[int] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)

    async def run(self, seeds: Iterable[int], requests_of_a_seed: int, connections: int = 8) -> None:
        """Send them all over so many connections."""
        waiting = iter(seeds)

        async def lane() -> None:
            for seed in waiting:
                await self._run_one(random.Random(seed), requests_of_a_seed)

        async with asyncio.TaskGroup() as group:
            for number in range(connections):
                group.create_task(lane(), name=f"attacker {number}")

    async def _run_one(self, chance: random.Random, count: int) -> None:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        for _ in range(count):
            request = hostile_request(chance)
            async with asyncio.timeout(_DEADLINE_S):
                writer.write(request.head)
                status, body, goes_on = await read_answer(reader)
            self.statuses[status] += 1
            if not 400 <= status < 500 or b"Traceback" in body:
                self.bad.append(f"{status} for {request.head[:200]!r}: {body[:200]!r}")
            if not goes_on:
                writer.close()
                reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.close()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """The status, the body, and whether the connection goes on; the status is 0 where nothing came."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0, b"", False
    lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    body = b""
    if headers.get("transfer-encoding") == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(lines[0].split()[1]), body, headers.get("connection") != "close"
