"""Breaks the Redis below a bus in random ways, and measures what its listeners notice of it."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from redis.asyncio import Redis

from tests.support.bus_load import DEADLINE_S, bus_load, eventually
from tools.private_servers import OwnRedis

Kind: TypeAlias = Literal["killed", "frozen", "closed"]
KINDS: Final[tuple[Kind, ...]] = ("killed", "frozen", "closed")

BACK_S_MAX, TOLD_S_MAX = 5.0, 10.0
AWAY_S_MAX, FROZEN_S_MAX = 1.0, 6.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one kind of fault did."""

    kind: Kind
    times: int
    received: int
    lost: int
    back_s: float
    told_s: float
    unannounced: int
    disorder: int

    @property
    def kept(self) -> bool:
        """Whether all promises hold."""
        in_time = self.back_s <= BACK_S_MAX and self.told_s <= TOLD_S_MAX
        return in_time and not self.unannounced and not self.disorder

    def __str__(self) -> str:
        return (
            f"{self.kind} x {self.times}: {self.received:,} received, {self.lost:,} lost,"
            f" {self.unannounced} of them without a word, {self.disorder} twice or out of order;"
            f" told within {self.told_s:.2f} s, all hear again within {self.back_s:.2f} s"
            f"{'' if self.kept else '  BROKEN'}"
        )


async def break_redis(redis: OwnRedis, kind: Kind, times: int, seed: int) -> Outcome:
    """Break it so many times under two servers that publish and listen."""
    rng, back_s = random.Random(f"{kind} {seed}"), 0.0
    async with bus_load(redis.url) as load:
        for _ in range(times):
            await load.until_all_hear()
            losses = load.losses
            await strike(redis, kind, rng)
            if kind == "closed":
                await eventually(lambda losses=losses: load.has_lost_more_than(losses), "it is seen")  # type: ignore[misc]
            back_s = max(back_s, await load.until_all_hear())
        return Outcome(
            kind=kind,
            times=times,
            received=load.received,
            lost=sum(bus.lost for bus in load.buses),
            back_s=back_s,
            told_s=load.silent_s_max,
            unannounced=load.unannounced(),
            disorder=load.disorder,
        )


async def strike(redis: OwnRedis, kind: Kind, rng: random.Random) -> None:
    """Break it once, and mend it. Of connections at least one is closed that brings messages."""
    match kind:
        case "killed":
            redis.kill()
            await asyncio.sleep(rng.uniform(0, AWAY_S_MAX))
            redis.start()
        case "frozen":
            redis.freeze()
            await asyncio.sleep(rng.uniform(0, FROZEN_S_MAX))
            redis.thaw()
        case "closed":
            async with Redis.from_url(redis.url) as admin:
                listening, others = await _connections(admin)
                first = rng.choice(listening)
                others = [each for each in (*listening, *others) if each != first]
                for each in (first, *rng.sample(others, rng.randint(0, len(others)))):
                    await admin.client_kill_filter(_id=each)


async def _connections(admin: Redis) -> tuple[list[str], list[str]]:
    """The product's connections by their ids: those of buses, and those that listen to nothing, as of leases.

    Only the loss of one of the first kind can cost a message, so one of them is waited for.
    """
    async with asyncio.timeout(DEADLINE_S):
        while True:
            ours = [each for each in await admin.client_list() if each["name"] == "tradewright"]
            listening = [each["id"] for each in ours if int(each["sub"]) + int(each.get("ssub", 0))]
            if listening:
                return listening, [each["id"] for each in ours if each["id"] not in listening]
            await asyncio.sleep(0.005)
