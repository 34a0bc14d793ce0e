"""A clock that moves only when told."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class DrivenClock:
    """Starts at ``start_ms`` and stands still until ``advance`` is awaited."""

    def __init__(self, start_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = float(start_ms)
        self._monotonic_s = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        return int(self._now_ms)

    def monotonic(self) -> float:
        return self._monotonic_s

    async def sleep(self, delay_s: float) -> None:
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic_s + delay_s, next(self._order), future))
        await future

    @property
    def sleepers(self) -> int:
        """How many tasks wait for this clock."""
        return sum(not future.done() for _, _, future in self._sleepers)

    def jump_wall(self, delta_ms: int) -> None:
        """Set the wall clock forth or back; monotonic time does not notice."""
        self._now_ms += delta_ms

    async def advance(self, delta_s: float) -> None:
        """Move time on, waking each sleeper at its own moment and letting it run before going on."""
        target = self._monotonic_s + delta_s
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, future = heapq.heappop(self._sleepers)
            if future.done():
                continue  # who slept was cancelled
            self._now_ms += (due - self._monotonic_s) * 1000
            self._monotonic_s = due
            future.set_result(None)
            await self.settle()
        self._now_ms += (target - self._monotonic_s) * 1000
        self._monotonic_s = target
        await self.settle()

    @staticmethod
    async def settle(rounds: int = 20) -> None:
        """Let every task that is ready run for some rounds of the loop."""
        for _ in range(rounds):
            await asyncio.sleep(0)
