"""Clients of two servers on one Redis that is killed, frozen, or closes connections: what they end up with.

    python -m bench.soak_client_states [closings] [kills] [freezes] [seed]

Twenty topics of a market that trades fifty times a second, each watched at both servers. After each fault the
market rests, so that nothing which follows tells a client that it lacks something; within ten seconds each of
the forty must have what the market has: its newest bars, ticker and order book, and every one of its last 200
trades, none twice or out of order.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time

from tests.support.bus_faults import Kind
from tests.support.client_states import TRUE_WITHIN_S_MAX, ClientStates
from tools.private_servers import own_redis

TIMES, SEED = (15, 7, 3), 1
KINDS: tuple[Kind, ...] = ("closed", "killed", "frozen")


def main(arguments: list[str]) -> int:
    """Run the counts that were asked for."""
    *times, seed = [int(each) for each in arguments] + [*TIMES, SEED][len(arguments) :]
    kept, compared, began_s = True, 0, time.monotonic()
    with own_redis() as redis:
        for kind, count in zip(KINDS, times, strict=True):
            if not count:
                continue
            one = ClientStates(kind, seed)
            asyncio.run(one.run(redis, count))
            kept, compared = kept and max(one.true_s) <= TRUE_WITHIN_S_MAX, compared + one.compared
            print(f"{kind} x {count}: {one.compared} states of clients, {one.resyncs} resyncs told,", end=" ")
            print(f"all as the market is after {max(one.true_s):.2f} s at most", flush=True)
    print(f"{compared} states compared with the market, none other ({time.monotonic() - began_s:.0f} s)")
    return 0 if kept else 1


if __name__ == "__main__":
    logging.disable(logging.ERROR)  # that Redis is away is what is wanted here
    sys.exit(main(sys.argv[1:]))
