"""Requests for ten years of minutes, huge pages and negative offsets: how long they take, and what they cost.

    python -m bench.soak_wide_requests [requests] [seed]

A real server process over HTTP, four clients at once, the built-in simulated market with ten years of
minutes. No answer may take longer than a second (p99). Once its two caches of answers and of bars are full,
which hold 64 MB each, the server may grow by less than 50 MB.
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from tests.support.hostile_requests import read_answer
from tests.support.processes import serving

REQUESTS, SEED = 2_000, 1
CLIENTS = 4
P99_S_MAX, GROWTH_MB_MAX = 1.0, 50.0
YEARS_MS = 10 * 366 * 86_400_000
WARM_UP = 2_800
HUGE = (5_001, 10**6, 10**15, 10**40, -1, 0)


@dataclass
class Seen:
    """What the clients saw."""

    taken_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)


def wide_request(chance: random.Random, now_ms: int) -> tuple[str, bool]:
    """A path and query, and whether it is one that is to be refused."""
    names: dict[str, object] = {"market": "crypto", "provider": "simulated", "symbol": "BTC/USDT"}
    start, end = now_ms - YEARS_MS, now_ms
    match chance.randrange(6):
        case 0:  # ten years of minutes, a page of them
            start += chance.randrange(YEARS_MS // 2)
            query = {**names, "timeframe": "1m", "start": start, "end": end, "limit": 5_000}
        case 1:
            frame = chance.choice(("5m", "1h", "4h", "1d", "1w"))
            query = {**names, "timeframe": frame, "start": start, "end": end, "limit": 5_000}
        case 2:
            query = {**names, "timeframe": "1m", "end": start + chance.randrange(YEARS_MS), "limit": 5_000}
        case 3:
            query = {**names, "start": start, "end": end, "buckets": chance.choice((1, 500, 2_000))}
            return f"/api/v1/market/coverage/strip?{urlencode(query)}", False
        case 4:
            query = {**names, "timeframe": "1m", "limit": chance.choice(HUGE)}
            return f"/api/v1/market/ohlcv?{urlencode(query)}", True
        case _:
            wrong = chance.choice(("start", "end", "cursor", "offset"))
            query = {**names, "timeframe": "1m", wrong: chance.choice((-1, -(10**30), 10**30))}
            return f"/api/v1/market/ohlcv?{urlencode(query)}", True
    return f"/api/v1/market/ohlcv?{urlencode(query)}", False


async def ask(host: str, port: int, seeds: range, now_ms: int, seen: Seen) -> None:
    """One client's requests."""
    reader, writer = await asyncio.open_connection(host, port)
    for seed in seeds:
        path, refused = wide_request(random.Random(seed), now_ms)
        began_s = time.monotonic()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        status, body, _ = await asyncio.wait_for(read_answer(reader), 60)
        seen.taken_s.append(time.monotonic() - began_s)
        seen.statuses[status] += 1
        if (status not in (400, 404, 422)) if refused else status != 200:
            seen.bad.append(f"{status} for {path}: {body[:200]!r}")
    writer.close()


async def rounds(url: str, requests: int, seed: int) -> Seen:
    """All clients at once."""
    seen, address, now_ms = Seen(), urlsplit(url), int(time.time() * 1000)
    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            seeds = range(seed + number, seed + requests, CLIENTS)
            work = ask(address.hostname or "", address.port or 0, seeds, now_ms, seen)
            group.create_task(work, name=f"client {number}")
    return seen


def memory_mb(process_id: int) -> float:
    """The memory that the process holds now."""
    status = Path(f"/proc/{process_id}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def main(requests: int, seed: int) -> int:
    """Ask, and print what it cost."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        asyncio.run(rounds(server.url, WARM_UP, seed + requests))
        before_mb = memory_mb(server.process.pid)
        began_s = time.monotonic()
        seen = asyncio.run(rounds(server.url, requests, seed))
        took_s = time.monotonic() - began_s
        growth_mb = memory_mb(server.process.pid) - before_mb
    seen.taken_s.sort()
    p99_s = seen.taken_s[len(seen.taken_s) * 99 // 100]
    told = ", ".join(f"{count:,} x {status}" for status, count in sorted(seen.statuses.items()))
    print(f"{requests:,} requests, seeds {seed} to {seed + requests - 1}, {took_s:.0f} s: {told};")
    print(
        f"p99 {p99_s * 1000:.0f} ms, slowest {seen.taken_s[-1] * 1000:.0f} ms, grown by {growth_mb:.1f} to",
        end=" ",
    )
    print(f"{before_mb + growth_mb:.0f} MB;")
    print(f"{len(seen.bad)} wrong answers.")
    for each in seen.bad[:5]:
        print(each)
    return int(bool(seen.bad) or p99_s > P99_S_MAX or growth_mb >= GROWTH_MB_MAX)


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:3]]
    sys.exit(main(*given, *(REQUESTS, SEED)[len(given) :]))
