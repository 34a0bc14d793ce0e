"""The whole application while Redis, PostgreSQL and the venue are killed and frozen: how long answers take.

    python -m bench.soak_engine_faults [times of each fault]

Six readers ask an application over HTTP for bars of an emulated Binance and compare each answer with the
truth. No answer may be wrong, none may take longer than five seconds. With Redis or the venue away none may
be refused either, and what the venue was needed for is labelled. Whole answers must be back within ten
seconds of PostgreSQL's and the venue's return, five of Redis's; a start without Redis may take ten seconds,
and `/readyz` must say afterwards that the server serves and that Redis is away.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.integration.test_engine_faults import Load, loaded
from tests.support.own_postgres import own_postgres
from tools.private_servers import OwnRedis, PrivatePostgres, own_redis
from tradewright.domain.timeframes import DAY_MS

TIMES, SEED = 10, 11
FROZEN_S_MAX = 15.0
ANSWER_S_MAX, START_S_MAX = 5.0, 10.0
BACK_S_MAX = {"redis": 5.0, "postgresql": 10.0, "venue": 10.0}
MOVED_MS = 3 * DAY_MS
"""By so much readers go on to what nobody has read yet, each time that the venue goes away."""


@dataclass(slots=True)
class Outcome:
    """What one kind of fault did."""

    name: str
    times: int = 0
    answers: int = 0
    refused: int = 0
    labelled: int = 0
    slowest_s: float = 0.0
    back_s: float = 0.0

    @property
    def kept(self) -> bool:
        """Whether all promises hold."""
        which = self.name.split()[0]
        needless = self.refused and which != "postgresql"
        unlabelled = which == "venue" and not self.labelled
        return (
            not (needless or unlabelled)
            and self.slowest_s <= ANSWER_S_MAX
            and self.back_s <= BACK_S_MAX[which]
        )

    def __str__(self) -> str:
        verdict = "" if self.kept else "  BROKEN"
        return (
            f"{self.name} x {self.times}: {self.answers:,} answers, {self.refused:,} refused, "
            f"{self.labelled:,} with a label, slowest {self.slowest_s:.2f} s, "
            f"whole again after {self.back_s:.2f} s{verdict}"
        )


async def strike(
    load: Load, name: str, times: int, breaking: Callable[[], None], mending: Callable[[], Awaitable[None]]
) -> Outcome:
    """Break it under load, let it be broken for a while, and mend it; so often."""
    outcome, chance = Outcome(name, times), random.Random(SEED)
    frozen = "frozen" in name
    for _ in range(times):
        load.slowest_s, answers, refused, labelled = 0.0, load.answers, load.refused, load.labelled

        async def mistreat() -> None:
            await load.answered(20)
            breaking()
            await asyncio.sleep(chance.uniform(1, FROZEN_S_MAX if frozen else 3))
            await mending()

        await load.while_doing(mistreat)
        outcome.back_s = max(outcome.back_s, await load.until_whole())
        outcome.slowest_s = max(outcome.slowest_s, load.slowest_s)
        outcome.answers += load.answers - answers
        outcome.refused += load.refused - refused
        outcome.labelled += load.labelled - labelled
    return outcome


async def soak(folder: Path, redis: OwnRedis, postgres: PrivatePostgres, times: int) -> list[Outcome]:
    """All faults, one kind after the other."""

    async def start_redis() -> None:
        redis.start()

    async def thaw_redis() -> None:
        redis.thaw()

    async def start_postgres() -> None:
        postgres.launch()  # for the main thread
        await asyncio.to_thread(postgres.wait)

    async def thaw_postgres() -> None:
        postgres.thaw()

    async with loaded(folder, redis, postgres) as (load, _venue):
        return [
            await strike(load, "redis killed", times, redis.kill, start_redis),
            await strike(load, "redis frozen", times, redis.freeze, thaw_redis),
            await strike(load, "postgresql killed", times, postgres.kill, start_postgres),
            await strike(load, "postgresql frozen", times, postgres.freeze, thaw_postgres),
        ]


async def without_venue(folder: Path, redis: OwnRedis, postgres: PrivatePostgres, times: int) -> Outcome:
    """The venue alone."""
    async with loaded(folder, redis, postgres, days=5 + times * MOVED_MS // DAY_MS) as (load, venue):

        def kill() -> None:
            venue.faults.refuse_connections()
            load.start_ms += MOVED_MS

        return await strike(load, "venue killed", times, kill, venue.faults.accept_connections)


async def start_without_redis(folder: Path, redis: OwnRedis, postgres: PrivatePostgres) -> tuple[float, bool]:
    """How long a start takes whose Redis is away, until the first whole answers; and whether ``/readyz``
    says then that the server can serve, and that Redis is away."""
    redis.kill()
    began_s = time.monotonic()
    async with loaded(folder, redis, postgres) as (load, _venue):
        took_s = time.monotonic() - began_s
        ready = await load.app.get("/readyz")
        states = {each["name"]: each["ok"] for each in ready.body["dependencies"]}
        return took_s, ready.status == 200 and states["redis"] is False


def main(times: int) -> int:
    """Strike, and print what came of it."""
    logging.disable(logging.ERROR)
    began_s = time.monotonic()
    with own_redis() as redis, own_postgres() as postgres, tempfile.TemporaryDirectory() as folder:
        outcomes = asyncio.run(soak(Path(folder) / "a", redis, postgres, times))
        starts = [
            asyncio.run(start_without_redis(Path(folder) / f"start {number}", redis, postgres))
            for number in range(times)
        ]
    # Over more days there are other bars, which servers that hold those from before would not ask for.
    with own_redis() as redis, own_postgres() as postgres, tempfile.TemporaryDirectory() as folder:
        outcomes.append(asyncio.run(without_venue(Path(folder), redis, postgres, times)))
    for outcome in outcomes:
        print(outcome)
    start_s, told = max((took_s for took_s, _ in starts), default=0.0), sum(truly for _, truly in starts)
    print(f"Starts without Redis: {start_s:.2f} s at most, told by /readyz {told} times;", end=" ")
    print(f"no answer was wrong ({time.monotonic() - began_s:.0f} s).")
    kept = all(outcome.kept for outcome in outcomes) and start_s <= START_S_MAX and told == len(starts)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else TIMES))
