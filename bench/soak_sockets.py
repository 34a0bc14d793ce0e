"""What clients do to the live socket that mean it ill, or come all at once, counted.

    python -m bench.soak_sockets [share]

`share` (1 by default) multiplies every count: 0.1 is a tenth of everything. Prints a line for each storm and
ends with a status other than 0 where a promise is broken.
"""

from __future__ import annotations

import asyncio
import random
import sys
import traceback
from collections.abc import Awaitable, Callable

import uvloop

from tests.support import socket_storms as storms

Storm = Callable[[float], Awaitable[str]]
LEFT_BYTES_MAX = 5 * 2**20
STORM_DEADLINE_S = 900


async def reads_nothing(share: float) -> str:
    """Closed in time, cheap, and not felt by the others."""
    found = await storms.deaf(100, max(2, round(5 * share)))
    line = (
        f"{len(found.closed_s)} clients that read nothing among 100: closed after at most"
        f" {max(found.closed_s):.1f} s, {max(found.bytes_of_it) / 2**20:.1f} MB each at most,"
        f" p99 of the others x {found.growth.real:.2f}, in processor time x {found.growth.work:.2f}"
    )
    # In processor time: what other programs do on the machine is no delay by this client.
    assert found.growth.work <= storms.DELAY_GROWTH_MAX, line
    assert max(found.bytes_of_it) < storms.DEAF_BYTES_MAX, line
    return line


async def slow_ones(share: float) -> str:
    """The others get everything."""
    total, slow = round(1_000 * share), round(200 * share)
    updates = await storms.slow_among_many(total, slow, 20.0)
    return f"{slow} slow among {total:,}: the others have 100 % of {updates} trades and of all bars, unjoined"


async def wants_everything(share: float) -> str:
    """Its share and no more."""
    topics, errors = await storms.greedy(round(10_000 * share))
    return f"{round(10_000 * share):,} subscriptions from one client: {topics} granted, {errors:,} refused"


async def gone(share: float) -> str:
    """Cut off in time, by the clock that the server has."""
    count = round(100 * share)
    last_s = await storms.half_open(count, interval_s=20, timeout_s=25)
    line = f"{count} peers that are gone: the last was kept for {last_s:.1f} s"
    assert last_s <= 50, line
    return line


async def all_at_once(share: float) -> str:
    """Everybody is back in time, and the feeds did not notice."""
    count = round(1_000 * share)
    took_s, attempts = await storms.reconnect(count, random.Random(1))
    back = f"all back after {took_s:.1f} s in {attempts:,} handshakes"
    return f"{count:,} clients cut off at once: {back}, 0 feeds begun anew"


async def nonsense(share: float) -> str:
    """No trace in the log, and the server lives."""
    count = round(100_000 * share)
    closes = await storms.garbage(count, random.Random(2))
    told = ", ".join(f"{code}: {times:,}" for code, times in sorted(closes.items(), key=str))
    return f"{count:,} inputs of garbage: 0 traces; sockets closed with {told}"


async def lost_lines(share: float) -> str:
    """Clients end with what the server has."""
    times, anew = await storms.resumes(50, max(1, round(20 * share)), random.Random(3))
    return f"{times:,} reconnects with resume: every client has what the server has; {anew} began anew"


async def tokens(share: float) -> str:
    """Closed within a second."""
    count = round(200 * share)
    late_s = await storms.logins(count, random.Random(4))
    return f"{count} tokens that ran out and sessions that ended: closed {late_s:.2f} s later at most"


async def comings_and_goings(share: float) -> str:
    """Nothing is left."""
    count = round(1_000 * share)
    tasks, left = await storms.churn(count, 20, random.Random(5))
    line = f"{count:,} connections of 20 views come and go: {tasks} tasks and {left / 2**20:.1f} MB are left"
    assert tasks <= 0, line
    assert left < LEFT_BYTES_MAX, line
    return line


STORMS: tuple[Storm, ...] = (
    reads_nothing,
    slow_ones,
    wants_everything,
    gone,
    all_at_once,
    nonsense,
    lost_lines,
    tokens,
    comings_and_goings,
)


def main(arguments: list[str]) -> int:
    """Run every storm, or those whose names hold a word."""
    words = [word for word in arguments if not word.replace(".", "").isdigit()]
    share = next((float(word) for word in arguments if word not in words), 1.0)
    broken = 0
    for storm in STORMS:
        if words and not any(word in storm.__name__ for word in words):
            continue
        try:
            line = uvloop.run(_in_time(storm, share))
        except (AssertionError, TimeoutError) as error:
            broken += 1
            line = f"{storm.__name__}: BROKEN {error}"
            traceback.print_exc()
        print(line, flush=True)
    return 1 if broken else 0


async def _in_time(storm: Storm, share: float) -> str:
    async with asyncio.timeout(STORM_DEADLINE_S):
        return await storm(share)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
