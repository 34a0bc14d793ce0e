"""A hundred thousand requests with names that name nothing: none may pass, none may break anything.

    python -m bench.soak_hostile_names [requests] [first seed]

A real server process, its real HTTP parser: quotes, paths, control characters, halves of UTF-8, Python's and
Redis's words, in place of a market, provider, symbol or timeframe. Every answer must have a status of 4xx.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.hostile_requests import Attack
from tests.support.processes import serving

REQUESTS, FIRST_SEED = 100_000, 1
REQUESTS_OF_A_SEED = 100


def main(requests: int, first_seed: int) -> int:
    """Attack, and print what was said."""
    seeds = range(first_seed, first_seed + requests // REQUESTS_OF_A_SEED)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        address = urlsplit(server.url)
        attack = Attack(address.hostname or "", address.port or 0)
        began_s = time.monotonic()
        asyncio.run(attack.run(seeds, REQUESTS_OF_A_SEED))
        taken_s = time.monotonic() - began_s
        alive = server.get("/healthz") is not None
    told = ", ".join(f"{count:,} x {status}" for status, count in sorted(attack.statuses.items()))
    sent = sum(attack.statuses.values())
    print(f"{sent:,} requests, seeds {seeds[0]} to {seeds[-1]}, {taken_s:.0f} s: {told};")
    print(f"{len(attack.bad)} passed or broke something.")
    for each in attack.bad[:5]:
        print(each)
    return int(bool(attack.bad) or not alive)


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:3]]
    sys.exit(main(*given, *(REQUESTS, FIRST_SEED)[len(given) :]))
