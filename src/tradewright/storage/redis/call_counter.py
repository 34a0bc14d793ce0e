"""Counting calls in Redis, for all servers that use the same one."""

from __future__ import annotations

import asyncio
import math
from typing import Any, Final

from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from redis.asyncio import Redis

from tradewright.domain.call_counts import CallCounter, CountUnavailable, Quota
from tradewright.runtime.clock import Clock

DEADLINE_S: Final = 0.1


class RedisCallCounter(CallCounter):
    """The moving window of the library ``limits``: one script for each call, within ``deadline_s``."""

    def __init__(self, client: Redis, clock: Clock, *, prefix: str, deadline_s: float = DEADLINE_S) -> None:
        self._client = client
        self._clock = clock
        self._deadline_s = deadline_s
        options: dict[str, Any] = {"connection_pool": client.connection_pool}
        storage = RedisStorage(
            "async+redis://", wrap_exceptions=True, implementation="redispy", key_prefix=prefix, **options
        )
        self._windows = MovingWindowRateLimiter(storage)

    async def take(self, key: str, quota: Quota, cost: int = 1) -> float | None:
        """Count a call under the key, unless it must wait."""
        item = RateLimitItemPerSecond(quota.amount, quota.window_s)
        try:
            async with asyncio.timeout(self._deadline_s):
                if await self._windows.hit(item, key, cost=min(cost, quota.amount)):
                    return None
                ends_s = (await self._windows.get_window_stats(item, key)).reset_time
        except (StorageError, OSError) as error:  # of the kind alone: the text may hold the address
            kind = type(error.storage_error if isinstance(error, StorageError) else error).__name__
            raise CountUnavailable(f"Redis does not count: {kind}.") from None
        # The library keeps the wall clock's time, in seconds.
        left_s = ends_s - self._clock.now_ms() / 1000
        return left_s if math.isfinite(left_s) and 0 < left_s < quota.window_s else float(quota.window_s)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()
