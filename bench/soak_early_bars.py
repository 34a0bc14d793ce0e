"""Bars called closed before they are, and clocks that are thirty seconds off: none may become final early.

    python -m bench.soak_early_bars [cases] [first seed]

Half of the cases are frames of a stream that call the minute at work closed, half are pages of a venue that
hold it without a word, read at any moment of the minute; the venue's clock or ours is up to thirty seconds
off. No final bar may be published more than two seconds before its end, and none stored or answered as
closed that had not ended at the venue, or differs from what it ended as. The clock is driven.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time

from tests.support.early_bars import EarlyPages, EarlyStream

CASES, FIRST_SEED = 10_000, 1
CASES_OF_A_SEED = 100


async def soak(cases: int, first_seed: int) -> int:
    """Send and read, and print what became final too early."""
    began_s, done, early, seed = time.monotonic(), [0, 0], [0, 0], first_seed
    while sum(done) < cases:
        stream, pages = EarlyStream(seed), EarlyPages(seed)
        await stream.run(CASES_OF_A_SEED)
        await pages.run(CASES_OF_A_SEED)
        done = [done[0] + stream.cases, done[1] + pages.cases]
        early = [early[0] + stream.too_early, early[1] + pages.too_early]
        seed += 1
    print(f"seeds {first_seed} to {seed - 1}, {time.monotonic() - began_s:.0f} s:")
    print(f"{early[0]} of {done[0]:,} frames and {early[1]} of {done[1]:,} pages made a bar final too early.")
    return int(sum(early) > 0)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    given = [int(each) for each in sys.argv[1:3]]
    sys.exit(asyncio.run(soak(*given, *(CASES, FIRST_SEED)[len(given) :])))
