"""A hundred thousand spoiled answers of venues: read or refused by one of our errors, in time.

    python -m bench.soak_malformed_answers [answers] [first seed]

Right answers with values replaced, left out, repeated or nested, and texts that are no JSON, too deep or cut,
from an emulated Binance and an emulated Alpaca over HTTP, through whole plugins. Nothing but a value or an
error of ours may come, and nothing may take ten seconds: the first thing else ends the program.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import Counter

from tests.support.malformed_answers import Malformed

ANSWERS, FIRST_SEED = 100_000, 1
ANSWERS_OF_A_SEED = 2_000


async def soak(answers: int, first_seed: int) -> int:
    """Read them, and print what came of it."""
    began_s, met, seed = time.monotonic(), Counter[str](), first_seed
    while sum(met.values()) < answers:
        one = Malformed(seed)
        await one.run(min(ANSWERS_OF_A_SEED, answers))
        met.update(one.met)
        seed += 1
    told = ", ".join(f"{count:,} {code}" for code, count in met.most_common())
    taken_s = time.monotonic() - began_s
    print(f"{sum(met.values()):,} answers, seeds {first_seed} to {seed - 1}, {taken_s:.0f} s:")
    print(f"{told}; 0 crashes, 0 hangs.")
    return 0


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    given = [int(each) for each in sys.argv[1:3]]
    sys.exit(asyncio.run(soak(*given, *(ANSWERS, FIRST_SEED)[len(given) :])))
