"""A venue that can't be reached a thousand times: how soon readers have what happened meanwhile.

    python -m bench.soak_history_gaps [gaps] [first seed]

An emulated Binance behind real CCXT code refuses connections or answers 503 for one to thirty minutes of a
driven clock, while its market goes on and readers come. Once it is back, a reader who asks each second must
have every minute and what is made of minutes within sixty seconds, and the store must know them for good.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time

from tests.support.history_cuts import CLOSED_S_MAX, HistoryCuts

GAPS, FIRST_SEED = 1_000, 1
GAPS_OF_A_SEED = 20


async def soak(gaps: int, first_seed: int) -> int:
    """Cut, and print how long the gaps took."""
    began_s, closed_s, minutes, seed = time.monotonic(), list[float](), 0, first_seed
    while len(closed_s) < gaps:
        one = HistoryCuts(seed)
        await one.run(min(GAPS_OF_A_SEED, gaps - len(closed_s)))
        closed_s += one.closed_s
        minutes += one.minutes
        seed += 1
    closed_s.sort()
    in_time = sum(each <= CLOSED_S_MAX for each in closed_s)
    print(f"seeds {first_seed} to {seed - 1}, {time.monotonic() - began_s:.0f} s:")
    print(f"{in_time} of {len(closed_s)} gaps with {minutes:,} minutes closed within {CLOSED_S_MAX:.0f} s;")
    print(
        f"p50 {closed_s[len(closed_s) // 2]:.1f} s, p99 {closed_s[len(closed_s) * 99 // 100]:.1f} s,", end=" "
    )
    print(f"longest {closed_s[-1]:.1f} s.")
    return int(in_time < len(closed_s))


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # that the venue is away is what is wanted here
    given = [int(each) for each in sys.argv[1:3]]
    sys.exit(asyncio.run(soak(*given, *(GAPS, FIRST_SEED)[len(given) :])))
