"""Symbols that a venue delists and lists again, while readers ask for them and for others that stay.

    python -m bench.soak_delistings [answers] [first seed]

Five symbols of an emulated Binance, all read at once again and again, on a driven clock. A symbol that stays
must have every bar in every answer, whatever happens to the others. One that is gone has what is stored, and
the answer says why there is no more; once it is listed again it must be whole within 95 minutes: an hour
until the list is read anew, and the time until somebody asks. No bar may be another than the venue's.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time

from tests.support.delistings import BACK_S_MAX, BASES, Delistings

ANSWERS, FIRST_SEED = 10_000, 1
STEPS_OF_A_SEED = 200


async def soak(answers: int, first_seed: int) -> int:
    """Read, and print what came of it; what must not be ends the program."""
    began_s, seed = time.monotonic(), first_seed
    whole = told = gone = 0
    back_s = list[float]()
    while whole + told < answers:
        one = Delistings(seed)
        await one.run(min(STEPS_OF_A_SEED, 1 + (answers - whole - told) // len(BASES)))
        whole, told, gone = whole + one.whole, told + one.told, gone + one.gone
        back_s += one.back_s
        seed += 1
    print(f"seeds {first_seed} to {seed - 1}, {time.monotonic() - began_s:.0f} s:")
    print(f"{gone} delistings; {whole:,} answers were whole, {told:,} of symbols that were gone said so.")
    longest_s = max(back_s, default=0.0)  # few answers may see none come back
    print(f"0 of symbols that stay lacked anything; {len(back_s)} came back, within {longest_s:,.0f} s.")
    return int(longest_s > BACK_S_MAX)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    given = [int(each) for each in sys.argv[1:3]]
    sys.exit(asyncio.run(soak(*given, *(ANSWERS, FIRST_SEED)[len(given) :])))
