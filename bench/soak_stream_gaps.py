"""A venue that is cut off a thousand times: how long each gap stays open at its viewers once it is back.

    python -m bench.soak_stream_gaps [gaps] [first seed]

The streams break or fall silent, alone or with all calls, or come back while nobody can be asked yet, for one
to thirty minutes and now and then for ten hours, while the market goes on. Two viewers, of minutes and of
five minutes, must show every bar of the gap at most sixty seconds after its end, and the minutes that are
stored must be the venue's. The clock is driven; all code between venue and viewer is real.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from bench.closed_gaps import count_closed_gaps
from tests.support.stream_cuts import CLOSED_S_MAX, CutStreams

GAPS, FIRST_SEED = 1_000, 1
GAPS_OF_A_SEED = 10


def soak(gaps: int, first_seed: int) -> int:
    """Cut, and print how long the gaps took."""
    counting = count_closed_gaps(
        CutStreams, gaps, first_seed, of_a_seed=GAPS_OF_A_SEED, within_s=CLOSED_S_MAX
    )
    return asyncio.run(counting)


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # that the venue is away is what is wanted here
    given = [int(each) for each in sys.argv[1:3]]
    sys.exit(soak(*given, *(GAPS, FIRST_SEED)[len(given) :]))
