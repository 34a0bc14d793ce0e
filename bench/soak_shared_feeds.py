"""Processes that share feeds, while everything happens to them: one keeper, and the truth everywhere.

    python -m bench.soak_shared_feeds [storms] [first seed]

A storm pauses, cuts off, delays, kills and ends three processes at random, and lets the leases fail in
every way, while a market goes on; its viewers check number and order of all they get, and must end with
every bar and trade of the market, all of one keeper, with one connection to the venue, which ends when all
have left. Beside the storms keepers are killed or leave at any moment, and wants come and go by the ten
thousand. The clock is driven; all code between venue and viewer is real.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
from collections import Counter

from tests.support.feed_storms import FOLLOWED_S, CountedWants, FeedStorm, KilledKeepers

STORMS, FIRST_SEED = 200, 1
STEPS = 100
KILLS, WANTS = 100, 10_000


async def storms(count: int, first_seed: int) -> None:
    """Print what was done and seen; ``AssertionError`` where a storm breaks a promise."""
    faults: Counter[str] = Counter()
    viewers = resyncs = most = calm = 0
    for seed in range(first_seed, first_seed + count):
        storm = FeedStorm(seed)
        await storm.run(STEPS)
        faults.update(storm.faults)
        viewers, resyncs = viewers + storm.viewers, resyncs + storm.resyncs
        most, calm = max(most, storm.most_upstreams), calm + storm.checked_alone
    told = ", ".join(f"{name} {number}" for name, number in sorted(faults.items()))
    print(f"{count} storms of {STEPS} steps, seeds from {first_seed}; {faults.total()} faults: {told}")
    print(f"{viewers} viewers, each with the market's bars and trades at the end; {resyncs} resyncs told")
    print(f"connections at once: at most {most} while faults last, never more than 1 in {calm} looks after")


async def kills(times: int, seed: int) -> bool:
    """Whether every keeper that was killed was followed in time."""
    killing = KilledKeepers(seed)
    await killing.run(times)
    slowest_s = max(killing.killed_s + killing.moving_s)
    middle_s = statistics.median(killing.killed_s)
    print(f"{len(killing.killed_s)} keepers killed: followed after {middle_s:.2f} s (median)")
    print(f"  viewers moved again after {slowest_s:.2f} s at the latest, limit {FOLLOWED_S:.0f} s")
    print(f"{len(killing.left_s)} keepers left in order: followed after {max(killing.left_s):.2f} s at most")
    return slowest_s <= FOLLOWED_S


async def wants(operations: int, seed: int) -> None:
    """``AssertionError`` where connections differ from wants."""
    counting = CountedWants(seed)
    await counting.run(operations)
    print(
        f"{counting.operations} wants begun or ended, {counting.crashes} processes ended: connections equal"
        f" to the model in {counting.compared} looks, none left over"
    )


def soak(count: int, first_seed: int) -> int:
    """Run all of it."""
    asyncio.run(storms(count, first_seed))
    in_time = asyncio.run(kills(KILLS, first_seed))
    asyncio.run(wants(WANTS, first_seed))
    return 0 if in_time else 1


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # that feeds fail is what is wanted here
    given = [int(each) for each in sys.argv[1:3]]
    sys.exit(soak(*given, *(STORMS, FIRST_SEED)[len(given) :]))
