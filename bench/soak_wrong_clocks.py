"""Orders by clocks that are set by up to thirty seconds: ours at half the orders, the venue's at a tenth.

    python -m bench.soak_wrong_clocks [orders] [first seed]

An order may be refused for its time only where the venue's own clock was set since the one before, nothing
is done then, and the next one has to pass. The venue's books have to hold every order that it confirmed, and
each once. The clock is driven, the venue is an emulated Binance over HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time

from tests.support.wrong_clocks import WrongClocks

ORDERS, FIRST_SEED = 10_000, 1
ORDERS_OF_A_SEED = 500


async def soak(orders: int, first_seed: int) -> int:
    """Place them, and print what came of it; what must not be ends the program."""
    began_s, wanted, seed = time.monotonic(), 0, first_seed
    placed = refused = ours = theirs = 0
    while wanted < orders:
        one = WrongClocks(seed)
        await one.run(min(ORDERS_OF_A_SEED, orders - wanted))
        wanted += ORDERS_OF_A_SEED
        placed, refused = placed + len(one.placed), refused + one.refused
        ours, theirs = ours + one.ours_set, theirs + one.theirs_set
        seed += 1
    print(f"seeds {first_seed} to {seed - 1}, {time.monotonic() - began_s:.0f} s:")
    print(f"{placed:,} orders placed, each once; our clock was set {ours:,} times, the venue's {theirs:,}.")
    print(f"{refused} refused for their time, each after the venue's clock was set, and passed as the next.")
    return 0


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    given = [int(each) for each in sys.argv[1:3]]
    sys.exit(asyncio.run(soak(*given, *(ORDERS, FIRST_SEED)[len(given) :])))
