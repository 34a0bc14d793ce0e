"""Real servers that share feeds are killed, frozen and restarted, and their Redis too: who follows, and when.

    python -m bench.soak_servers_together [rounds] [seed]

Two server processes on one Redis and one PostgreSQL before an emulated Binance, and two hundred WebSocket
clients of bars, who check the number and order of every message and come back, to any server, when they
lose one. Each round does one thing to a server or to Redis. Then there must be one connection to the venue
again, and every client must follow the same epoch and have every bar that has ended, as the venue has it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import statistics
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Final

from tests.support.own_postgres import own_postgres
from tests.support.together import Together, together
from tools.private_servers import own_redis

ROUNDS, SEED = 12, 1
CLIENTS: Final = 200
KINDS: Final = (
    "a server is killed",
    "a server is frozen for 8 s",
    "a server ends in order",
    "Redis is killed for 6 s",
    "Redis is frozen for 6 s",
)
TAKEOVER_S: Final = 6.0
"""Five for the lease and its follower, one for the message and a busy machine."""


class Soak:
    """The rounds, and how long the clients stood still in each."""

    def __init__(self, house: Together, seed: int) -> None:
        self.house = house
        self.still_s: dict[str, list[float]] = defaultdict(list)
        self.settled_s: dict[str, list[float]] = defaultdict(list)
        self._chance = random.Random(seed)

    async def round(self, kind: str) -> None:
        """One of them, and what must follow."""
        house, unit = self.house, self._chance.choice(self.house.units)
        others = [client for client in house.clients if client.home is not unit]
        match kind:
            case "a server is killed":
                unit.kill()
                self.still_s[kind].append(await house.all_moved(20, others))
                unit.start()
                await unit.ready()
            case "a server is frozen for 8 s":
                unit.freeze()
                self.still_s[kind].append(await house.all_moved(20, others))
                await asyncio.sleep(max(0.0, 8 - self.still_s[kind][-1]))
                unit.thaw()
            case "a server ends in order":
                await unit.stop()
                self.still_s[kind].append(await house.all_moved(20, others))
                unit.start()
                await unit.ready()
            case "Redis is killed for 6 s":
                house.redis.kill()
                self.still_s[kind].append(await house.all_moved(20))
                await asyncio.sleep(max(0.0, 6 - self.still_s[kind][-1]))
                house.redis.start()
            case _:
                house.redis.freeze()
                self.still_s[kind].append(await house.all_moved(20))
                await asyncio.sleep(max(0.0, 6 - self.still_s[kind][-1]))
                house.redis.thaw()
        settled_s = await house.until(lambda: house.upstream == 1, 20, "one keeper")
        self.settled_s[kind].append(settled_s)
        await house.until(lambda: house.upstream == 1 == len(house.epochs), 60, "all follow one keeper")
        await house.all_moved(20)
        await house.all_whole()
        assert house.violations == [], house.violations
        print(
            f"{kind}: stood still {self.still_s[kind][-1]:.1f} s, one keeper {settled_s:.1f} s after its end"
        )


async def soak(rounds: int, seed: int) -> int:
    """All rounds; 1 where clients elsewhere stood still for too long."""
    with (
        tempfile.TemporaryDirectory(prefix="tradewright-together-") as folder,
        own_postgres() as postgres,
        own_redis() as redis,
    ):
        async with together(Path(folder), redis, postgres.url) as house:
            for index, unit in enumerate(house.units):
                house.add_clients(CLIENTS // len(house.units), unit)
                await house.all_moved(60)
                assert house.upstream == 1, f"one connection with {index + 1} servers"
            one = Soak(house, seed)
            for number in range(rounds):
                await one.round(KINDS[number % len(KINDS)])
            bars = len(house.truth("1m"))
            problems = sum((client.problems for client in house.clients), Counter[str]())
    print(f"{rounds} rounds, {len(house.clients)} clients with {bars} bars each, seed {seed}:")
    print(f"  every bar is the venue's; problems told with snapshots: {dict(problems)}")
    for kind in one.still_s:
        middle, most = statistics.median(one.still_s[kind]), max(one.still_s[kind])
        print(f"  {kind}: no update for {middle:.1f} s (median), {most:.1f} s at most")
    slowest_s = max(most for kind in KINDS[:3] for most in one.still_s.get(kind, [0.0]))
    print(
        f"  behind another server no client stood still for more than {slowest_s:.1f} s, limit {TAKEOVER_S} s"
    )
    return 0 if slowest_s <= TAKEOVER_S else 1


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # that servers are gone is what is wanted here
    given = [int(each) for each in sys.argv[1:3]]
    sys.exit(asyncio.run(soak(*given, *(ROUNDS, SEED)[len(given) :])))
