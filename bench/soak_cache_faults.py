"""A Redis that is killed, frozen and flushed again and again under load costs time, never values.

    python -m bench.soak_cache_faults [kills] [freezes] [seconds of flushing]

Prints how long reads took, the longest it took until the cache was used again, and how many answers
were wrong, for each kind of fault; ends with a status other than 0 where a promise is broken.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

import uvloop
from redis.asyncio import Redis

from tests.support.cache_load import CacheLoad, eventually, load
from tools.private_servers import OwnRedis, own_redis
from tradewright.app_extensions.redis_manager import RedisManager
from tradewright.runtime.clock import SystemClock
from tradewright.services.cache_manager import CacheManager

KILLS, FREEZES, FLUSH_S = 50, 20, 60.0
READS = 400
P99_S_MAX, BACK_S_MAX = 0.35, 5.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one kind of fault did."""

    name: str
    times: int
    p99_s: float
    slowest_s: float
    back_s: float
    wrong: int

    @property
    def kept(self) -> bool:
        """Whether all promises hold."""
        return not self.wrong and self.p99_s <= P99_S_MAX and self.back_s <= BACK_S_MAX

    def __str__(self) -> str:
        times = f"p99 {self.p99_s * 1000:.1f} ms, slowest {self.slowest_s * 1000:.0f} ms"
        verdict = "" if self.kept else "  BROKEN"
        return (
            f"{self.name} x {self.times}: {times}, back in {self.back_s:.2f} s, {self.wrong} wrong{verdict}"
        )


async def strike(users: CacheLoad, redis: OwnRedis, name: str, times: int) -> Outcome:
    """Break Redis under load, look at the reads meanwhile, and mend it, again and again."""
    back_s, during_s = 0.0, []
    for number in range(times):
        users.revision = number % 3
        await users.until_hit()
        users.gets_s.clear()
        if name == "kill":
            redis.kill()
        else:
            redis.freeze()
        await eventually(lambda: len(users.gets_s) > READS, "the load goes on")
        during_s += users.gets_s
        if name == "kill":
            redis.start()
        else:
            redis.thaw()
        back_s = max(back_s, await users.until_hit())
    during_s.sort()
    return Outcome(name, times, during_s[len(during_s) * 99 // 100], during_s[-1], back_s, users.wrong)


async def flush(users: CacheLoad, redis: OwnRedis, seconds: float) -> Outcome:
    """Empty Redis each second."""
    clock, admin = SystemClock(), Redis.from_url(redis.url)
    users.gets_s.clear()
    back_s, times, end_s = 0.0, 0, clock.monotonic() + seconds
    while clock.monotonic() < end_s:
        await admin.flushall()
        users.revision = times % 3
        times += 1
        back_s = max(back_s, await users.until_hit())
        await clock.sleep(1.0)
    await admin.aclose()
    taken_s = sorted(users.gets_s)
    return Outcome("flush", times, taken_s[len(taken_s) * 99 // 100], taken_s[-1], back_s, users.wrong)


async def run(redis: OwnRedis, kills: int, freezes: int, flush_s: float) -> list[Outcome]:
    """All faults, one kind after the other."""
    clock = SystemClock()
    opened = RedisManager(redis.url, clock)
    async with load(CacheManager(opened.cache, clock)) as users:
        outcomes = [await strike(users, redis, "kill", kills), await strike(users, redis, "freeze", freezes)]
        outcomes.append(await flush(users, redis, flush_s))
    await opened.close()
    return outcomes


def main(arguments: list[str]) -> int:
    """Run the counts that were asked for."""
    given = [float(each) for each in arguments] + [KILLS, FREEZES, FLUSH_S][len(arguments) :]
    with own_redis() as redis, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcomes = runner.run(run(redis, int(given[0]), int(given[1]), given[2]))
    for outcome in outcomes:
        print(outcome)
    return 0 if all(outcome.kept for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
