"""The cache manager over caches that forget, refuse and lie: always a subset of the truth."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from bench.generated import minute_bars
from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import Cache, CacheUnavailable, Coverage
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import MINUTE_MS, TIMEFRAMES, Timeframe
from tradewright.runtime.metrics import Metrics
from tradewright.services.cache_manager import CHUNKS_MAX, NOTHING, PARTIAL_TTL_S, WHOLE_TTL_S, CacheManager
from tradewright.services.cached_chunks import CHUNK_BARS, chunk_index, chunk_start
from tradewright.storage.memory_cache import MemoryCache
from tradewright.testing.clock import DrivenClock

MARKET = InstrumentKey("crypto", "kraken", "BTC/USD")
BARS = minute_bars(6_000)
FIRST_MS = int(BARS.time[0])


class CountingCache(MemoryCache):
    """A cache in memory that remembers what it was asked."""

    def __init__(self, clock: DrivenClock) -> None:
        super().__init__(clock)
        self.reads: list[int] = []
        self.writes: list[tuple[int, float]] = []

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        self.reads.append(len(keys))
        return await super().get_many(keys)

    async def set_many(self, items: Mapping[str, bytes], ttl_s: float) -> None:
        self.writes.append((len(items), ttl_s))
        await super().set_many(items, ttl_s)


def span(first: int, last: int) -> tuple[int, int]:
    """Return the interval from one minute of the bars to another."""
    return FIRST_MS + first * MINUTE_MS, FIRST_MS + last * MINUTE_MS


def complete(*spans: tuple[int, int]) -> Coverage:
    """Return a coverage that knows these stretches of minutes."""
    return Coverage(IntervalSet.of(span(*each) for each in spans))


async def store(manager: CacheManager, *spans: tuple[int, int], revision: int = 0) -> None:
    """Store what there is in these stretches."""
    coverage = complete(*spans)
    bars = Bars.concat([BARS.between(*each) for each in coverage.complete])
    await manager.store_1m_bars(MARKET, revision, bars, coverage)


async def test_what_was_stored_comes_back_clipped_with_its_coverage() -> None:
    manager = CacheManager(MemoryCache(DrivenClock()), DrivenClock())
    await store(manager, (0, 3_000), (3_500, 4_000))
    found = await manager.get_1m_bars(MARKET, 0, *span(100, 3_600))
    assert found.coverage == complete((100, 3_000), (3_500, 3_600))
    assert found.bars.equals(Bars.concat([BARS[100:3_000], BARS[3_500:3_600]]))
    off_the_minute = FIRST_MS + 10 * MINUTE_MS + 1, FIRST_MS + 12 * MINUTE_MS + 1
    found = await manager.get_1m_bars(MARKET, 0, *off_the_minute)
    assert found.bars.equals(BARS[11:13])
    assert found.coverage.complete.items == (off_the_minute,)
    assert await manager.get_1m_bars(MARKET, 0, *span(5, 5)) == NOTHING
    assert await manager.get_1m_bars(MARKET, 0, *span(6, 5)) == NOTHING


async def test_outages_are_kept_as_such() -> None:
    manager = CacheManager(MemoryCache(DrivenClock()), DrivenClock())
    down = IntervalSet.single(*span(10, 20))
    await store(manager, (0, 10))
    await manager.store_1m_bars(MARKET, 0, Bars.empty(), Coverage(outage=down))
    await store(manager, (20, 30))
    found = await manager.get_1m_bars(MARKET, 0, *span(5, 25))
    assert found.coverage == Coverage(complete((5, 10), (20, 25)).complete, down)
    assert found.bars.equals(Bars.concat([BARS[5:10], BARS[20:25]]))


async def test_a_correction_makes_older_entries_unreachable() -> None:
    manager = CacheManager(MemoryCache(DrivenClock()), DrivenClock())
    await store(manager, (0, 100), revision=1)
    assert (await manager.get_1m_bars(MARKET, 2, *span(0, 100))).coverage == Coverage()
    await store(manager, (0, 50), revision=2)
    assert (await manager.get_1m_bars(MARKET, 2, *span(0, 100))).coverage == complete((0, 50))


@pytest.mark.parametrize("name", [name for name in TIMEFRAMES if name != "1m"])
async def test_resampled_bars_of_every_timeframe(name: str) -> None:
    timeframe = TIMEFRAMES[name]
    minutes = minute_bars(200_000)
    bars = resample(minutes, timeframe)[:50_000]
    key = MARKET.series(timeframe)
    start, end = int(bars.time[0]), timeframe.end(int(bars.time[-1]))
    manager = CacheManager(MemoryCache(DrivenClock()), DrivenClock())
    await manager.set_resampled(key, 3, bars, Coverage(IntervalSet.single(start, end)))
    found = await manager.get_resampled(key, 3, start, end)
    assert found.bars.equals(bars)
    assert found.coverage == Coverage(IntervalSet.single(start, end))
    assert (await manager.get_1m_bars(MARKET, 3, start, start + 1_000 * MINUTE_MS)).coverage == Coverage()


async def test_series_do_not_share_entries_however_they_are_named() -> None:
    manager = CacheManager(MemoryCache(DrivenClock()), DrivenClock())
    one, other = SeriesKey("crypto", "a", "b:c", "5m"), SeriesKey("crypto", "a", "c", "5m")
    await manager.set_resampled(one, 0, Bars.empty(), complete((0, 5)))
    assert (await manager.get_resampled(one, 0, *span(0, 5))).coverage == complete((0, 5))
    assert (await manager.get_resampled(other, 0, *span(0, 5))).coverage == Coverage()


async def test_one_read_and_no_needless_write() -> None:
    cache = CountingCache(DrivenClock())
    manager = CacheManager(cache, DrivenClock())
    await store(manager, (0, 3_000))
    whole = [ttl_s for _, ttl_s in cache.writes if ttl_s == WHOLE_TTL_S]
    assert len(cache.writes) == 2
    assert len(whole) == 1
    assert WHOLE_TTL_S > PARTIAL_TTL_S
    cache.reads.clear()
    cache.writes.clear()
    await store(manager, (100, 2_000))
    await store(manager, (0, 3_000))
    assert cache.writes == [], "nothing was new"
    assert len(cache.reads) == 2
    await store(manager, (2_990, 3_001))
    assert cache.writes == [(1, PARTIAL_TTL_S)]
    cache.reads.clear()
    await manager.get_1m_bars(MARKET, 0, *span(0, 3_000))
    assert cache.reads == [len({chunk_index(TIMEFRAMES["1m"], int(time)) for time in BARS.time[:3_000]})]


async def test_requests_over_too_many_chunks_leave_the_cache_alone() -> None:
    cache = CountingCache(DrivenClock())
    manager = CacheManager(cache, DrivenClock())
    start = chunk_start(TIMEFRAMES["1m"], 1_000)
    length = CHUNKS_MAX * CHUNK_BARS * MINUTE_MS
    much = Coverage(IntervalSet.single(start, start + length + 1))
    await manager.store_1m_bars(MARKET, 0, Bars.empty(), much)
    assert await manager.get_1m_bars(MARKET, 0, start, start + length + 1) == NOTHING
    assert (cache.reads, cache.writes) == ([], [])
    less = Coverage(much.complete.clip(start, start + length))
    await manager.store_1m_bars(MARKET, 0, Bars.empty(), less)
    assert (await manager.get_1m_bars(MARKET, 0, start, start + length)).coverage == less


class UnreadableCache(MemoryCache):
    """A cache whose values come back with the last byte gone."""

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return [value and value[:-1] for value in await super().get_many(keys)]


async def test_hits_misses_and_what_cannot_be_read_are_counted() -> None:
    metrics = Metrics()
    clock = DrivenClock()
    good = CacheManager(MemoryCache(clock), clock, metrics.cache)
    start = chunk_start(TIMEFRAMES["1m"], chunk_index(TIMEFRAMES["1m"], FIRST_MS) + 1)
    first = (start - FIRST_MS) // MINUTE_MS
    await store(good, (first, first + CHUNK_BARS + 10))
    await good.get_1m_bars(MARKET, 0, *span(first + 5, first + CHUNK_BARS + 11))
    await good.get_1m_bars(MARKET, 0, *span(first + 5, first + CHUNK_BARS + 10))
    lines = metrics.render().decode().splitlines()
    assert "tradewright_cache_hits_total 3.0" in lines
    assert "tradewright_cache_misses_total 1.0" in lines
    assert 'tradewright_cache_seconds_count{operation="get"} 3.0' in lines
    assert 'tradewright_cache_seconds_count{operation="set"} 2.0' in lines
    bad = CacheManager(UnreadableCache(clock), clock, metrics.cache)
    await store(bad, (0, 10))
    assert (await bad.get_1m_bars(MARKET, 0, *span(0, 10))).coverage == Coverage()
    sample = 'tradewright_cache_errors_total{operation="get",problem="undecodable"} 1.0'
    assert sample in metrics.render().decode().splitlines()


async def test_two_that_store_at_once_lose_at_most_what_one_of_them_added() -> None:
    class SlowCache(MemoryCache):
        async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
            values = await super().get_many(keys)
            await asyncio.sleep(0)
            return values

    manager = CacheManager(SlowCache(DrivenClock()), DrivenClock())
    await store(manager, (0, 10))
    await asyncio.gather(store(manager, (5, 20)), store(manager, (20, 30)))
    found = await manager.get_1m_bars(MARKET, 0, *span(0, 30))
    assert found.coverage in (complete((0, 20)), complete((0, 10), (20, 30)))
    assert found.bars.equals(Bars.concat([BARS.between(*each) for each in found.coverage.complete]))


class UnreliableCache(Cache):
    """Fails, forgets, damages and mixes up, as chance has it."""

    def __init__(self, inner: Cache, rng: random.Random) -> None:
        self._inner = inner
        self._rng = rng

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        self._perhaps_fail()
        values = await self._inner.get_many(keys)
        return [self._perhaps_spoil(value, values) for value in values]

    async def set_many(self, items: Mapping[str, bytes], ttl_s: float) -> None:
        if self._rng.random() < 0.3:
            items = {key: value for key, value in items.items() if self._rng.random() < 0.5}
        await self._inner.set_many(items, ttl_s)
        self._perhaps_fail()

    async def close(self) -> None:
        await self._inner.close()

    def _perhaps_fail(self) -> None:
        if self._rng.random() < 0.1:
            raise CacheUnavailable("It has its moods.")

    def _perhaps_spoil(self, value: bytes | None, values: list[bytes | None]) -> bytes | None:
        if value is None or self._rng.random() < 0.8:
            return value
        damaged = bytearray(value)
        damaged[self._rng.randrange(len(damaged))] ^= 1 << self._rng.randrange(8)
        other = self._rng.choice(values)
        return self._rng.choice(
            [None, bytes(damaged), bytes(damaged), value[: self._rng.randrange(len(value))], b"", other]
        )


_COUNT = 3_000
_REVISIONS = 2


@lru_cache(maxsize=8)
def _truth(revision: int, timeframe: Timeframe) -> Bars:
    """The bars of one revision: a third of the time without any, some of that in outage."""
    rng = np.random.default_rng(revision)
    times = FIRST_MS + timeframe.length_ms * np.flatnonzero(rng.random(_COUNT) > 0.3).astype(np.int64)
    bars = Bars(times, *(100 + rng.random(len(times)) for _ in range(5)))
    down = _outage(revision, timeframe)
    keep = np.ones(len(bars), dtype=bool)
    for start, end in down:
        keep &= (bars.time < start) | (bars.time >= end)
    return bars.take(keep)


def _outage(revision: int, timeframe: Timeframe) -> IntervalSet:
    rng = random.Random(revision)
    starts = [rng.randrange(600) for _ in range(4)]
    return IntervalSet.of(
        (FIRST_MS + start * timeframe.length_ms, FIRST_MS + (start + 9) * timeframe.length_ms)
        for start in starts
    )


_stretch = st.tuples(st.integers(0, 1_500), st.integers(0, 1_500))


class CacheHistory(RuleBasedStateMachine):
    """Stores and reads in any order: nothing wrong, nothing missing inside what is vouched for."""

    @initialize(seed=st.integers(0, 2**32), entries=st.integers(2, 12))
    def start(self, seed: int, entries: int) -> None:
        self._runner = asyncio.Runner()
        self._clock = DrivenClock()
        inner = MemoryCache(self._clock, entries_max=entries, bytes_max=300_000)
        self._manager = CacheManager(UnreliableCache(inner, random.Random(seed)), self._clock)
        self._stored: dict[tuple[int, str], IntervalSet] = {}

    def _known(self, revision: int, timeframe: Timeframe, stretches: list[tuple[int, int]]) -> Coverage:
        unit = timeframe.length_ms
        asked = IntervalSet.of(
            (FIRST_MS + first * unit, FIRST_MS + (first + length) * unit) for first, length in stretches
        )
        down = _outage(revision, timeframe)
        return Coverage(asked.subtract(down), asked.intersect(down))

    @rule(
        revision=st.integers(0, _REVISIONS - 1),
        name=st.sampled_from(["1m", "1h"]),
        stretches=st.lists(_stretch, max_size=4),
    )
    def store(self, revision: int, name: str, stretches: list[tuple[int, int]]) -> None:
        timeframe = TIMEFRAMES[name]
        coverage = self._known(revision, timeframe, stretches)
        truth = _truth(revision, timeframe)
        bars = Bars.concat([truth.between(*each) for each in coverage.known])
        key = (revision, name)
        self._stored[key] = self._stored.get(key, IntervalSet()).union(coverage.known)
        if name == "1m":
            self._runner.run(self._manager.store_1m_bars(MARKET, revision, bars, coverage))
        else:
            self._runner.run(self._manager.set_resampled(MARKET.series(timeframe), revision, bars, coverage))

    @rule(revision=st.integers(0, _REVISIONS - 1), name=st.sampled_from(["1m", "1h"]), stretch=_stretch)
    def get(self, revision: int, name: str, stretch: tuple[int, int]) -> None:
        timeframe = TIMEFRAMES[name]
        start = FIRST_MS + stretch[0] * timeframe.length_ms
        end = start + stretch[1] * timeframe.length_ms
        if name == "1m":
            found = self._runner.run(self._manager.get_1m_bars(MARKET, revision, start, end))
        else:
            key = MARKET.series(timeframe)
            found = self._runner.run(self._manager.get_resampled(key, revision, start, end))
        known = found.coverage.known
        stored = self._stored.get((revision, name), IntervalSet())
        assert not known.subtract(stored.clip(start, end)), "nothing is vouched for that was not stored"
        down = _outage(revision, timeframe)
        assert found.coverage.outage == known.intersect(down)
        assert not found.coverage.complete.intersect(down)
        truth = _truth(revision, timeframe)
        expected = Bars.concat([truth.between(*each) for each in known])
        assert found.bars.equals(expected), "no bar is wrong and none is missing where it is vouched for"

    @rule(seconds=st.sampled_from([1.0, 1.0, 1.0, PARTIAL_TTL_S]))
    def wait(self, seconds: float) -> None:
        self._runner.run(self._clock.advance(seconds))

    def teardown(self) -> None:
        if hasattr(self, "_runner"):
            self._runner.run(self._manager.close())
            self._runner.close()


CacheHistory.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
test_any_history = CacheHistory.TestCase
