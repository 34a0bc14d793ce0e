"""Ten years of sessions in three time zones, and clocks that jump by an hour under a rate limiter and a feed.

    python -m bench.soak_calendars [minutes of the feed] [first seed]

Each session of New York, London and Tokyo must open and close at the local hours that the exchange keeps, in
summer and in winter, with no two sessions on one day and none that overlap. While the wall clock jumps by an
hour forth and back, a rate limiter must let through what it may, and a feed must close every minute once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from datetime import time as hour_of_day
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from tests.unit.services.streaming_rig import Rig, stream
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, TIMEFRAMES
from tradewright.runtime.calendars import load_session_calendar
from tradewright.runtime.rate_limit import RateLimiter
from tradewright.testing.clock import DrivenClock

MINUTES, FIRST_SEED = 3_000, 1
MINUTES_OF_A_SEED = 150
START_MS: Final = 1_420_070_400_000  # 2015-01-01
END_MS: Final = 1_735_689_600_000  # 2025-01-01
HOURS: Final = {
    "XNYS": ("America/New_York", hour_of_day(9, 30), hour_of_day(16)),
    "XLON": ("Europe/London", hour_of_day(8), hour_of_day(16, 30)),
    "XTKS": ("Asia/Tokyo", hour_of_day(9), hour_of_day(15, 30)),
}


def sessions(name: str) -> tuple[int, int, int]:
    """How many sessions, how many of them opened at another hour, and how many closed late or doubled."""
    zone_name, opens, closes = HOURS[name]
    zone, wrong_opens, wrong = ZoneInfo(zone_name), 0, 0
    found = load_session_calendar(name, END_MS).open_intervals(START_MS, END_MS).items
    dates: Counter[object] = Counter()
    for start, end in found:
        first, last = (datetime.fromtimestamp(each / 1000, UTC).astimezone(zone) for each in (start, end))
        dates[first.date()] += 1
        wrong_opens += first.time() != opens
        wrong += last.date() != first.date() or last.time() > closes
    wrong += sum(count > 1 for count in dates.values())
    wrong += sum(before.end > after.start for before, after in pairwise(found))
    return len(found), wrong_opens, wrong


def timeframes() -> int:
    """How many bars of ten years do not begin where the one before ended."""
    broken = 0
    for timeframe in TIMEFRAMES.values():
        if timeframe.length_ms < HOUR_MS:
            continue
        at = timeframe.floor(START_MS)
        while at < END_MS:
            end = timeframe.end(at)
            broken += timeframe.floor(end) != end or timeframe.floor(end - 1) != at
            at = end
    return broken


async def limiter(chance: random.Random) -> float:
    """The longest that one of a thousand calls waited beyond its turn, in seconds."""
    clock = DrivenClock(START_MS)
    limits, longest_s = RateLimiter(clock, per_second=10), 0.0
    for _ in range(1_000):
        clock.jump_wall(chance.choice((-HOUR_MS, HOUR_MS, 0, DAY_MS, -1_000)))
        asked_s = clock.monotonic()
        turn = asyncio.create_task(limits.acquire(), name="turn")
        while not turn.done():
            await clock.advance(0.01)
        longest_s = max(longest_s, clock.monotonic() - asked_s - 0.1)
    return longest_s


async def feed(chance: random.Random, minutes: int) -> tuple[int, int, int]:
    """Minutes traded, closed twice, and never closed, while our wall clock jumps; the venue's does not."""
    async with Rig(flags=True) as rig:
        venue_clock = DrivenClock(rig.clock.now_ms())
        rig.venue.clock = venue_clock
        rig.venue.trade(100)
        viewer = await rig.view(stream())
        closed: Counter[int] = Counter()
        for _ in range(minutes * 4):
            await venue_clock.advance(15)
            rig.venue.trade(round(chance.uniform(90, 110), 2))
            if chance.random() < 0.02:
                rig.clock.jump_wall(chance.choice((-HOUR_MS, HOUR_MS)))
            before = len(viewer.finals)
            snapshots = len(viewer.snapshots)
            await rig.clock.advance(15)
            closed.update(viewer.finals if len(viewer.snapshots) > snapshots else viewer.finals[before:])
        await rig.clock.advance(120)
        expected = {row[0]: row for row in rig.venue.bars("1m")[:-2]}
        missing = sum(viewer.rows.get(at) != row for at, row in expected.items())
        return len(expected), sum(count > 1 for count in closed.values()), missing


async def soak(minutes: int, seed: int) -> int:
    """Count, and print what was found."""
    began_s, broken = time.monotonic(), 0
    seeds = range(seed, seed + max(1, minutes // MINUTES_OF_A_SEED))
    for name in HOURS:
        count, wrong_opens, wrong = sessions(name)
        broken += wrong + wrong_opens
        print(f"{name}: {count:,} sessions of ten years, {wrong_opens} open at another hour, {wrong} wrong;")
    unjoined = timeframes()
    stall_s = await limiter(random.Random(seed))
    feeds = [await feed(random.Random(each), MINUTES_OF_A_SEED) for each in seeds]
    traded, twice, missing = (sum(counts) for counts in zip(*feeds, strict=True))
    print(f"{unjoined} bars of an hour to a month do not join; the limiter stalls {stall_s:.2f} s at most;")
    print(f"{traded:,} minutes under a clock that jumps: {twice} closed twice, {missing} not as they were")
    print(f"(seeds {seeds[0]} to {seeds[-1]}, {time.monotonic() - began_s:.0f} s).")
    return int(bool(broken or unjoined or twice or missing or stall_s >= 1.0))


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    given = [int(each) for each in sys.argv[1:3]]
    sys.exit(asyncio.run(soak(*given, *(MINUTES, FIRST_SEED)[len(given) :])))
