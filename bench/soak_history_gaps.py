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

from bench.closed_gaps import count_closed_gaps
from tests.support.history_cuts import CLOSED_S_MAX, HistoryCuts

GAPS, FIRST_SEED = 1_000, 1
GAPS_OF_A_SEED = 20


def soak(gaps: int, first_seed: int) -> int:
    """Cut, and print how long the gaps took."""
    counting = count_closed_gaps(
        HistoryCuts, gaps, first_seed, of_a_seed=GAPS_OF_A_SEED, within_s=CLOSED_S_MAX
    )
    return asyncio.run(counting)


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # that the venue is away is what is wanted here
    given = [int(each) for each in sys.argv[1:3]]
    sys.exit(soak(*given, *(GAPS, FIRST_SEED)[len(given) :]))
