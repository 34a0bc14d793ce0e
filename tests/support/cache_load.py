"""Readers and writers of a cache who know the truth, and remember what each call cost and answered."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import Coverage
from tradewright.domain.timeframes import MINUTE_MS
from tradewright.runtime.clock import SystemClock
from tradewright.services.cache_manager import CacheManager

START_MS = 1_700_000_000_000 // MINUTE_MS * MINUTE_MS
MINUTES = 4_000
MARKET = InstrumentKey("crypto", "kraken", "BTC/USD")
DEADLINE_S = 30.0


def truth(revision: int) -> Bars:
    """The minutes as they are in one revision; a fifth of them had no trade."""
    rng = np.random.default_rng(revision)
    times = START_MS + MINUTE_MS * np.flatnonzero(rng.random(MINUTES) > 0.2).astype(np.int64)
    return Bars(times, *(100 + rng.random(len(times)) for _ in range(5)))


class CacheLoad:
    """Asks a manager for random ranges and stores what is missing, as a source of bars does."""

    def __init__(self, manager: CacheManager, *, seed: int = 1) -> None:
        self._manager = manager
        self._clock = SystemClock()
        self._rng = random.Random(seed)
        self._truths = [truth(revision) for revision in range(3)]
        self.revision = 0
        self.gets_s: list[float] = []
        self.hits = 0
        self.wrong = 0
        self._last_hit = asyncio.Event()

    async def run(self) -> None:
        """Go on until it is cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(0)

    async def step(self) -> None:
        """One request, answered from the cache or put there."""
        first = self._rng.randrange(MINUTES - 100)
        start_ms = START_MS + first * MINUTE_MS
        end_ms = start_ms + self._rng.randrange(1, min(1_500, MINUTES - first)) * MINUTE_MS
        revision = self.revision
        began_s = self._clock.monotonic()
        found = await self._manager.get_1m_bars(MARKET, revision, start_ms, end_ms)
        self.gets_s.append(self._clock.monotonic() - began_s)
        expected = self._truths[revision].between(start_ms, end_ms)
        known = [expected.between(*interval) for interval in found.coverage.known]
        self.wrong += not Bars.concat(known).equals(found.bars)
        if found.coverage.complete.contains(start_ms, end_ms):
            self.hits += 1
            self._last_hit.set()
        else:
            covered = Coverage(IntervalSet.single(start_ms, end_ms))
            await self._manager.store_1m_bars(MARKET, revision, expected, covered)

    async def until_hit(self) -> float:
        """Wait until the cache answers again; seconds that took."""
        began_s = self._clock.monotonic()
        self._last_hit.clear()
        async with asyncio.timeout(DEADLINE_S):
            await self._last_hit.wait()
        return self._clock.monotonic() - began_s

    def slowest(self, share: float = 0.99) -> float:
        """The time that this share of the reads did not exceed, since this was asked last."""
        times = sorted(self.gets_s)
        self.gets_s.clear()
        return times[min(len(times) - 1, int(share * len(times)))]


@asynccontextmanager
async def load(manager: CacheManager, workers: int = 4) -> AsyncIterator[CacheLoad]:
    """Several at work on one manager; they end with the block, and their failure is its failure."""
    shared = CacheLoad(manager)
    tasks = [asyncio.create_task(shared.run(), name=f"load {number}") for number in range(workers)]
    try:
        yield shared
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


async def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.01)
    assert holds(), what
