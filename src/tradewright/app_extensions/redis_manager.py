"""The connections to Redis, from a URL: opened, asked whether it answers, and closed.

Redis makes things faster and is never needed: the server starts and serves without it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from tradewright.domain.ports import Cache, CacheUnavailable
from tradewright.runtime.clock import Clock
from tradewright.runtime.metrics import BusMetrics, CacheMetrics
from tradewright.storage.guarded_cache import GuardedCache
from tradewright.storage.redis.address import RedisAddress
from tradewright.storage.redis.bus import RedisBus
from tradewright.storage.redis.cache import PREFIX, RedisCache
from tradewright.storage.redis.call_counter import RedisCallCounter
from tradewright.storage.redis.client import make_client
from tradewright.storage.redis.leases import RedisLeases

_log = logging.getLogger(__name__)

_REMEMBERED_S: Final = 2.0


class RedisManager:
    """Owns the clients of one Redis: the cache, the bus, the leases and the count of calls, which may be
    used at any time, before ``open`` as well. The bus and the leases are made when they are first asked for.

    Makes no connection in ``__init__``; ``ConfigError`` where the URL is none. The URL, which may hold a
    password, is kept nowhere but in the client and said nowhere.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        metrics: CacheMetrics | None = None,
        bus_metrics: BusMetrics | None = None,
        *,
        prefix: str = PREFIX,
    ) -> None:
        self._clock = clock
        # The cache gives each call a deadline as a whole, so its client needs none for its steps.
        self._redis_cache = RedisCache(make_client(url, step_timeout_s=None), clock, prefix=prefix)
        self._cache = GuardedCache(self._redis_cache, clock, metrics)
        self._prefix = prefix
        # Lends and closes its own connections: who counts must not wait for the cache.
        self._call_counter = RedisCallCounter(
            make_client(url, step_timeout_s=None), clock, prefix=f"{prefix}:calls"
        )
        self._address = RedisAddress.of_url(url)
        self._bus_metrics = bus_metrics
        self._bus: RedisBus | None = None
        self._leases: RedisLeases | None = None
        self._one_at_a_time = asyncio.Lock()
        self._looked_s: float | None = None
        self._problem: str | None = None

    @property
    def cache(self) -> Cache:
        """The cache in Redis, left alone while it fails."""
        return self._cache

    @property
    def call_counter(self) -> RedisCallCounter:
        """Counts calls among all servers with this Redis and prefix."""
        return self._call_counter

    @property
    def bus(self) -> RedisBus:
        """The message bus of all servers with this Redis and prefix."""
        if self._bus is None:
            self._bus = RedisBus(self._address, self._clock, self._bus_metrics, prefix=self._prefix)
        return self._bus

    @property
    def leases(self) -> RedisLeases:
        """The leases of all servers with this Redis and prefix."""
        if self._leases is None:
            self._leases = RedisLeases(self._address, self._clock, prefix=self._prefix)
        return self._leases

    async def open(self) -> None:
        """Connect the bus, where there is one, and look whether Redis answers; where it does not, that is
        said in the log. Raises nothing."""
        if self._bus is not None:
            self._bus.start()
        problem = await self.problem()
        if problem is not None:
            _log.warning("The server starts without Redis: %s", problem)

    async def close(self) -> None:
        """Close every connection; may be called twice."""
        if self._bus is not None:
            await self._bus.close()
        if self._leases is not None:
            await self._leases.close()
        await self._call_counter.close()
        await self._cache.close()

    async def ping(self) -> None:
        """Return where Redis answers now; else ``CacheUnavailable``, within the deadline of a call."""
        await self._redis_cache.ping()

    async def problem(self) -> str | None:
        """Why Redis can't be used, as of at most two seconds ago; None where it can."""
        async with self._one_at_a_time:
            if self._looked_s is None or self._clock.monotonic() - self._looked_s >= _REMEMBERED_S:
                try:
                    await self.ping()
                except CacheUnavailable as error:
                    self._problem = error.message
                else:
                    self._problem = None
                self._looked_s = self._clock.monotonic()
            if self._problem is None and self._bus is not None and self._bus.problem is not None:
                return f"Messages do not reach other servers: {self._bus.problem}"
            return self._problem

    async def message_problem(self) -> str | None:
        """Why messages do not reach other servers, as of now; None where they do."""
        async with self.bus.subscribe("reach"):
            await self.bus.settled()
            return self.bus.problem or ("Redis did not answer in time." if self.bus.alone else None)
