"""A Redis that is killed, frozen, or closes connections, below the bus of two servers under load.

    python -m bench.soak_bus_faults [kills] [freezes] [closings] [seed]

Prints what was lost, how soon whoever listens knew it, and how long it took until all heard all again; ends
with a status other than 0 where a message was lost without a word, came twice or out of order, or it took
too long.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

from tests.support.bus_faults import KINDS, break_redis
from tools.private_servers import own_redis

TIMES, SEED = (50, 20, 200), 11


def main(arguments: list[str]) -> int:
    """Run the counts that were asked for."""
    *times, seed = [int(each) for each in arguments] + [*TIMES, SEED][len(arguments) :]
    kept = True
    with own_redis() as redis, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for kind, count in zip(KINDS, times, strict=True):
            outcome = runner.run(break_redis(redis, kind, count, seed))
            print(outcome, flush=True)
            kept = kept and outcome.kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
