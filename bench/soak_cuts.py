"""Random cuts of everything between a venue and a chart, over two servers: what the charts have in the end.

    python -m bench.soak_cuts [seconds] [seed]

Two server processes share a Redis and a PostgreSQL in front of an emulated Binance; each has two charts (1m
and 5m) in a real Chromium, and a page of each follows every trade. For ten minutes, one after the other,
upstream sockets are cut, silenced and fed with garbage, the venue refuses connections, or answers no
question while its sockets live or are cut, Redis is killed and frozen, PostgreSQL is killed, servers are
killed, frozen and restarted, and browsers lose their line. After each the charts have to be live and whole
again; in the end each final bar must be the venue's, once and in order, and each trade must have come once,
but for those that a stream left out while nobody could be asked for them: a page must have been told so.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tests.browser.conftest import launched_browser
from tests.support.cut_house import LEAD_IN_S, CutHouse, cut_house
from tests.support.own_postgres import own_postgres
from tests.venues.binance import BinanceVenue, generate_capture
from tools.private_servers import OwnRedis, PrivatePostgres, own_redis

SECONDS, SEED = 600, 7
SETTLE_S = 20.0


async def cut(house: CutHouse, seconds: float, chance: random.Random) -> tuple[Counter[str], list[float]]:
    """Cut at random for so long; how often each, and how long until all was whole again."""
    done: Counter[str] = Counter()
    whole_s: list[float] = []
    until_s = time.monotonic() + seconds
    kinds = list(house.cuts)
    while time.monotonic() < until_s:
        if not kinds:
            kinds = list(house.cuts)
        kind = kinds.pop(chance.randrange(len(kinds)))  # each of them before any comes again
        await house.cuts[kind](chance)
        done[kind] += 1
        if chance.random() < 0.3:
            continue  # the next one comes before this one is mended
        whole_s.append(await house.whole())
        print(f"{kind}: whole after {whole_s[-1]:.1f} s", flush=True)
        await asyncio.sleep(chance.uniform(0, 3))
    return done, whole_s


@contextmanager
def _servers() -> Iterator[tuple[Path, OwnRedis, PrivatePostgres]]:
    with (
        tempfile.TemporaryDirectory(prefix="tradewright-cuts-") as folder,
        own_redis() as redis,
        own_postgres() as postgres,
    ):
        yield Path(folder), redis, postgres


async def soak(seconds: float, seed: int) -> int:
    """Cut, and print what the charts have."""
    chance = random.Random(seed)
    capture = generate_capture(seed, int(seconds + LEAD_IN_S + 300))
    with _servers() as (folder, redis, sql):
        async with (
            BinanceVenue(capture, lead_in_s=LEAD_IN_S) as venue,
            launched_browser() as browser,
            cut_house(folder, venue, redis, sql, browser) as house,
        ):
            await house.whole()
            done, whole_s = await cut(house, seconds, chance)
            await asyncio.sleep(SETTLE_S)
            whole_s.append(await house.whole())
            verdict = await house.verdict()
            complaints = [each for chart in house.charts for each in chart.complaints]
    print(f"seed {seed}, {sum(done.values())} cuts in {seconds:.0f} s: ", end="")
    print(", ".join(f"{times} x {kind}" for kind, times in done.items()))
    print(f"whole again after {max(whole_s):.1f} s at most, {median(whole_s):.1f} s in the middle")
    print(f"{len(house.charts)} charts: {verdict}")
    for each in complaints:
        print(f"a page failed: {each}")
    return int(bool(verdict.faults or complaints))


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    given = [int(each) for each in sys.argv[1:3]]
    sys.exit(asyncio.run(soak(*given, *(SECONDS, SEED)[len(given) :])))
