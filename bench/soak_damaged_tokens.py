"""A hundred thousand access tokens with one to four letters changed: none may be taken or break anything.

python -m bench.soak_damaged_tokens [tokens] [first seed]
"""

from __future__ import annotations

import asyncio
import sys
import time

from tests.support.damaged_tokens import damage

TOKENS, FIRST_SEED = 100_000, 1
TOKENS_OF_A_SEED = 10_000


def main(tokens: int, first_seed: int) -> int:
    """Try them, and print what came of it."""
    began_s = time.monotonic()
    seeds = range(first_seed, first_seed + max(1, tokens // TOKENS_OF_A_SEED))
    done = [asyncio.run(damage(min(tokens, TOKENS_OF_A_SEED), seed)) for seed in seeds]
    refused, same, taken = (
        sum(getattr(each, name) for each in done) for name in ("refused", "same", "taken")
    )
    print(
        f"{refused + same + taken:,} damaged tokens, seeds {seeds[0]} to {seeds[-1]}, "
        f"{time.monotonic() - began_s:.0f} s: {refused:,} refused, {same:,} the same in another spelling, "
        f"{taken} taken"
    )
    return int(taken > 0)


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:3]]
    sys.exit(main(*given, *(TOKENS, FIRST_SEED)[len(given) :]))
