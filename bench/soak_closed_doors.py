"""A venue that wants no request for a while, or is being worked on: how often it is asked, when it is back.

    python -m bench.soak_closed_doors [windows] [maintenances] [first seed] [windows that name no time]

Three readers at once, again and again, of an emulated Binance that answers 429 or 418 with `Retry-After` of
2 to 120 seconds, or 503 for thirty minutes of a driven clock. Inside a window nobody may ask any more once
the first refusal was read; what was under way already is counted. In other windows the refusal names no
time, and some are an answer of 200 with the venue's own words: there nobody may ask in the ten seconds after
each refusal. While the venue is worked on, it may get two requests a minute from all who ask for bars,
symbols and tickers. Sixty seconds after its end at most there must be answers again.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time

from tests.support.closed_doors import RESUME_S_MAX, ClosedDoors
from tradewright.services.data_sources.door import TOO_OFTEN_S

WINDOWS, MAINTENANCES, FIRST_SEED, UNNAMED = 500, 10, 1, 100
WINDOWS_OF_A_SEED = 50
REQUESTS_PER_MINUTE_MAX = 2.0
TIMER_S = 0.5
"""So much of the clock may go by between a refusal's way out and its being read."""


async def soak(windows: int, maintenances: int, first_seed: int, unnamed: int) -> int:
    """Refuse, and print what was met."""
    began_s, seeds = time.monotonic(), range(first_seed, first_seed + max(1, windows // WINDOWS_OF_A_SEED))
    all_of_them = [ClosedDoors(seed) for seed in seeds]
    for number, one in enumerate(all_of_them):
        mine = maintenances // len(seeds) + (number < maintenances % len(seeds))
        nameless = unnamed // len(seeds) + (number < unnamed % len(seeds))
        await one.run(min(windows, WINDOWS_OF_A_SEED), mine, unnamed=nameless)
    print(f"seeds {seeds[0]} to {seeds[-1]}, {time.monotonic() - began_s:.0f} s:")
    later = 0
    for status in (429, 418):
        met = sum(one.windows[status] for one in all_of_them)
        late = sum(one.later[status] for one in all_of_them)
        later += late
        print(f"{met} windows of {status}: {late} requests after the first refusal was read;")
    gaps_s = [gap_s for one in all_of_them for gap_s in one.unnamed_s] or [float("inf")]
    print(f"{sum(one.unnamed for one in all_of_them)} windows that name no time:", end=" ")
    print(f"{min(gaps_s):.1f} s between two requests at least;")
    under_way = max(max(one.under_way, default=0) for one in all_of_them)
    resumed_s = max(max(one.resumed_s) for one in all_of_them)
    rates = [rate for one in all_of_them for rate in one.per_minute] or [0.0]
    print(f"at most {under_way} requests under way at once;")
    print(f"{len(rates)} maintenances: at most {max(rates):.1f} requests a minute;", end=" ")
    print(f"answers again after {resumed_s:.1f} s at most.")
    hasty = later > 0 or min(gaps_s) < TOO_OFTEN_S - TIMER_S
    return int(hasty or resumed_s > RESUME_S_MAX or max(rates) > REQUESTS_PER_MINUTE_MAX)


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    given = [int(each) for each in sys.argv[1:5]]
    sys.exit(asyncio.run(soak(*given, *(WINDOWS, MAINTENANCES, FIRST_SEED, UNNAMED)[len(given) :])))
