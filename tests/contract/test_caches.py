"""Every cache against the suite that is shipped, alone and behind its guard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import pytest
from redis.asyncio import Redis

from tradewright.domain.ports import Cache
from tradewright.runtime.clock import SystemClock
from tradewright.runtime.ids import new_id
from tradewright.storage.guarded_cache import GuardedCache
from tradewright.storage.memory_cache import MemoryCache
from tradewright.storage.redis.cache import RedisCache
from tradewright.storage.redis.client import make_client
from tradewright.testing.caches import LARGE_BYTES, check_cache
from tradewright.testing.clock import DrivenClock

TOO_LARGE = LARGE_BYTES + 1


def redis_cache(url: str) -> RedisCache:
    """Return a cache in a Redis that others use too, which waits for as long as a busy machine may take."""
    client = make_client(url, step_timeout_s=10)
    return RedisCache(client, SystemClock(), prefix=new_id(), deadline_s=10, value_bytes_max=LARGE_BYTES)


@pytest.fixture
async def cache_url(redis_url: str) -> AsyncIterator[str]:
    """Return the URL of a database of these tests' own in the shared Redis, empty before and after."""
    url = redis_url.removesuffix("/0") + "/1"
    yield url
    async with Redis.from_url(url) as admin:
        await admin.flushdb()


@pytest.mark.parametrize("guarded", [False, True])
async def test_the_cache_in_memory_keeps_the_contract(guarded: bool) -> None:
    clock = DrivenClock()
    cache: Cache = MemoryCache(clock, value_bytes_max=LARGE_BYTES)
    if guarded:
        cache = GuardedCache(cache, clock)
    await check_cache(cache, too_large_bytes=TOO_LARGE, wait=clock.advance)


@pytest.mark.parametrize("guarded", [False, True])
async def test_the_cache_in_redis_keeps_the_contract(cache_url: str, guarded: bool) -> None:
    cache: Cache = redis_cache(cache_url)
    if guarded:
        cache = GuardedCache(cache, SystemClock())
    await check_cache(cache, too_large_bytes=TOO_LARGE, wait=asyncio.sleep)


async def test_two_prefixes_are_two_caches(cache_url: str) -> None:
    one, other = redis_cache(cache_url), redis_cache(cache_url)
    await one.set_many({"key": b"one"}, 60)
    assert await other.get_many(["key"]) == [None]
    await one.close()
    await other.close()


class _NeverForgets(MemoryCache):
    """A cache with one fault: it knows no time."""

    async def set_many(self, items: Mapping[str, bytes], ttl_s: float) -> None:
        await super().set_many(items, ttl_s * 1e6)


class _MixesUp(MemoryCache):
    """A cache with one fault: it answers in an order of its own."""

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return await super().get_many(sorted(keys))


@pytest.mark.parametrize("faulty", [_NeverForgets, _MixesUp])
async def test_the_suite_finds_a_fault(faulty: Callable[..., Cache]) -> None:
    clock = DrivenClock()
    wait: Callable[[float], Awaitable[None]] = clock.advance
    with pytest.raises(AssertionError):
        await check_cache(faulty(clock, value_bytes_max=LARGE_BYTES), too_large_bytes=TOO_LARGE, wait=wait)
