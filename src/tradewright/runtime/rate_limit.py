"""A rate limiter on monotonic time, so that a jump of the wall clock can't freeze it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tradewright.runtime.clock import Clock


class RateLimiter:
    """Lets ``per_second`` calls through on average, ``burst`` at once, in the order they came.

    ``pause`` holds everybody back for as long as a venue asked. ``max_waiting`` bounds the queue:
    ``acquire`` raises what ``overflow`` makes when more would wait.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        per_second: float,
        burst: int = 1,
        max_waiting: int = 1_000,
        overflow: Callable[[], Exception] = lambda: TimeoutError("too many calls wait for the rate limit"),
    ) -> None:
        self._clock = clock
        self._interval_s = 1 / per_second
        self._tolerance_s = self._interval_s * (burst - 1)
        self._next_s = clock.monotonic()
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._max_waiting = max_waiting
        self._overflow = overflow

    def pause(self, delay_s: float) -> None:
        """Let nothing through for ``delay_s`` seconds from now."""
        self._next_s = max(self._next_s, self._clock.monotonic() + delay_s + self._tolerance_s)

    async def acquire_ahead(self, cost: float = 1.0) -> None:
        """``acquire`` ahead of all who wait, for what must not; cancelling gives the place back."""
        begins_s = max(self._next_s, self._clock.monotonic())
        self._next_s = begins_s + self._interval_s * cost
        passed = False
        try:
            ahead_s = begins_s - self._tolerance_s - self._clock.monotonic()
            if ahead_s > 0:
                await self._clock.sleep(ahead_s)
            passed = True
        finally:
            if not passed:
                self._next_s -= self._interval_s * cost

    async def acquire(self, cost: float = 1.0) -> None:
        """Return when a call of that cost may be made; cancelling gives the place back."""
        if self._waiting >= self._max_waiting:
            raise self._overflow()
        self._waiting += 1
        try:
            async with self._lock:
                late_s_max = 0.0
                while (ahead_s := self._next_s - self._tolerance_s - self._clock.monotonic()) > 0:
                    await self._clock.sleep(ahead_s)
                    # A timer is always a little late; were that lost, the rate would never be reached.
                    late_s_max = self._interval_s
                begins_s = max(self._next_s, self._clock.monotonic() - late_s_max)
                self._next_s = begins_s + self._interval_s * cost
        finally:
            self._waiting -= 1
