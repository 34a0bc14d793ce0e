"""The cache of a walk, and what happens to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from redis.asyncio import Redis

from tools.private_servers import OwnRedis
from tradewright.app_extensions.redis_manager import RedisManager
from tradewright.domain.ports import Cache
from tradewright.runtime.clock import Clock
from tradewright.storage.memory_cache import MemoryCache


class CacheHome(ABC):
    """A cache that outlives the processes, and may lose everything at any time."""

    troubles: ClassVar[tuple[str, ...]]

    @abstractmethod
    def open(self, clock: Clock) -> Cache:
        """The cache as a process has it; the process closes it."""

    @abstractmethod
    async def leave(self, cache: Cache) -> None:
        """A process is done with it."""

    @abstractmethod
    async def trouble(self, what: str) -> None:
        """One of ``troubles`` happens to it."""


class MemoryCacheHome(CacheHome):
    """In memory."""

    troubles = ("forget",)

    def __init__(self) -> None:
        self._cache: MemoryCache | None = None

    def open(self, clock: Clock) -> Cache:
        if self._cache is None:
            self._cache = MemoryCache(clock)
        return self._cache

    async def leave(self, cache: Cache) -> None:
        """It stays, so that what is stale in it would be found by the next process."""

    async def trouble(self, what: str) -> None:
        assert self._cache is not None
        await self._cache.close()  # which forgets everything


class RedisCacheHome(CacheHome):
    """A Redis of the walk's own."""

    troubles = ("flush", "kill", "start", "freeze", "start")

    def __init__(self, redis: OwnRedis) -> None:
        self._redis = redis
        self._state = "running"

    def open(self, clock: Clock) -> Cache:
        return RedisManager(self._redis.url, clock).cache

    async def leave(self, cache: Cache) -> None:
        await cache.close()

    async def trouble(self, what: str) -> None:
        if what == "start" or self._state != "running":
            self._bring_back()
        elif what == "flush":
            client = Redis.from_url(self._redis.url)
            try:
                await client.flushdb()
            finally:
                await client.aclose()
        elif what == "kill":
            self._redis.kill()
            self._state = "killed"
        else:
            self._redis.freeze()
            self._state = "frozen"

    def _bring_back(self) -> None:
        if self._state == "killed":
            self._redis.start_and_wait()
        elif self._state == "frozen":
            self._redis.thaw()
        self._state = "running"
