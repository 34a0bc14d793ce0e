"""Gaps that the venue really has: how often it is asked because of one of them.

    python -m bench.soak_silent_venue [gaps] [first seed]

Half an hour to eighty hours of a symbol, or of all symbols, are missing at an emulated Binance. Four readers
ask for the gap, parts of it and what is around it for two days of a driven clock. The venue may be asked for
the symbol's candles at most three times a day, and as often for those of the symbols with which it is
compared; when the symbol was listed is found out once.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import Counter

from tests.support.silent_venue import SilentVenue

GAPS, FIRST_SEED = 50, 1
OWN_MAX, OTHERS_MAX = 3, 3


async def soak(gaps: int, first_seed: int) -> int:
    """Read around the gaps, and print how often the venue was asked."""
    began_s, own, others, reads = time.monotonic(), list[int](), list[int](), 0
    listing, labels = 0, Counter[str]()
    for seed in range(first_seed, first_seed + gaps):
        one = SilentVenue(seed)
        await one.run()
        own.append(max(one.own.values(), default=0))
        others.append(max(one.others.values(), default=0))
        listing = max(listing, one.listing)
        reads += one.reads
        labels.update(one.labels)
    taken_s = time.monotonic() - began_s
    print(f"{gaps} gaps, seeds {first_seed} to {first_seed + gaps - 1}, {reads:,} reads, {taken_s:.0f} s;")
    print(f"at most {max(own)} requests for one gap in a day (mean {sum(own) / gaps:.2f}),", end=" ")
    print(f"at most {max(others)} for symbols it was compared with, at most {listing} for the listing;")
    print("labels: " + ", ".join(f"{count:,} {reason}" for reason, count in sorted(labels.items())))
    return int(max(own) > OWN_MAX or max(others) > OTHERS_MAX)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    given = [int(each) for each in sys.argv[1:3]]
    sys.exit(asyncio.run(soak(*given, *(GAPS, FIRST_SEED)[len(given) :])))
