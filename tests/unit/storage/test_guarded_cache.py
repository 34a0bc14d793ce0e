"""A cache that fails is left alone, probed in the background, and used again; the log says so twice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

import pytest

from tradewright.domain.ports import CacheRefused, CacheUnavailable
from tradewright.runtime.metrics import Metrics
from tradewright.storage.guarded_cache import GuardedCache
from tradewright.storage.memory_cache import MemoryCache
from tradewright.testing.clock import DrivenClock


class FailingCache(MemoryCache):
    """A cache in memory that fails as it is told, after some time of the driven clock."""

    def __init__(self, clock: DrivenClock) -> None:
        super().__init__(clock)
        self._driven = clock
        self.takes_s = 0.0
        self.down = self.full = False
        self.calls = 0

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        await self._fail(self.down)
        return await super().get_many(keys)

    async def set_many(self, items: Mapping[str, bytes], ttl_s: float) -> None:
        await self._fail(self.down)
        if self.full:
            raise CacheRefused("It is full.")
        await super().set_many(items, ttl_s)

    async def _fail(self, down: bool) -> None:
        self.calls += 1
        await self._driven.sleep(self.takes_s)
        if down:
            raise CacheUnavailable("It is down.")


class Rig:
    """A guard over a failing cache."""

    def __init__(self) -> None:
        self.clock = DrivenClock()
        self.metrics = Metrics()
        self.inner = FailingCache(self.clock)
        self.cache = GuardedCache(self.inner, self.clock, self.metrics.cache)

    async def fails(self, operation: str) -> bool:
        """Make one call; whether it failed."""
        work = self.cache.get_many(["a"]) if operation == "get" else self.cache.set_many({"a": b"1"}, 60)
        task = asyncio.create_task(self._outcome(work), name=operation)
        while not task.done():
            await self.clock.advance(0.01)
        return task.result()

    async def _outcome(self, work: object) -> bool:
        try:
            await work  # type: ignore[misc]
        except CacheUnavailable:
            return True
        return False

    def value(self, sample: str) -> float:
        """Return one number of the rendered metrics."""
        lines = self.metrics.render().decode().splitlines()
        return float(
            next(line for line in lines if line.startswith(f"tradewright_cache_{sample} ")).split()[-1]
        )


@pytest.fixture
async def rig(caplog: pytest.LogCaptureFixture) -> Rig:
    caplog.set_level(logging.INFO, "tradewright")
    return Rig()


async def test_five_failures_and_it_is_left_alone_until_a_probe_succeeds(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    assert not await rig.fails("set")
    rig.inner.down = True
    assert [await rig.fails("get") for _ in range(50)] == [True] * 50
    assert rig.inner.calls == 1 + 5
    assert await rig.fails("set"), "what is out of reach is so for every kind of call"
    assert rig.inner.calls == 1 + 5
    assert rig.value('breaker_open{operation="get"}') == rig.value('breaker_open{operation="set"}') == 1
    assert rig.value('errors_total{operation="get",problem="unavailable"}') == 5
    assert rig.value('seconds_count{operation="get"}') == 5
    await rig.clock.advance(1)
    assert await rig.fails("get"), "no caller waits for the probe"
    await rig.clock.settle()
    assert rig.inner.calls == 1 + 6
    rig.inner.down = False
    assert await rig.fails("get")
    await rig.clock.advance(1)
    assert await rig.fails("get")
    await rig.clock.settle()
    assert not await rig.fails("get")
    assert not await rig.fails("set")
    assert rig.value('breaker_open{operation="get"}') == rig.value('breaker_open{operation="set"}') == 0
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "It is down." in caplog.text
    await rig.cache.close()


async def test_one_call_that_hangs_is_enough(rig: Rig) -> None:
    rig.inner.down, rig.inner.takes_s = True, 0.25
    began_s = rig.clock.monotonic()
    assert [await rig.fails("get") for _ in range(50)] == [True] * 50
    assert await rig.fails("set")
    assert rig.clock.monotonic() - began_s < 0.3 + 51 * 0.01
    assert rig.inner.calls == 1
    await rig.cache.close()


async def test_a_full_cache_is_still_read(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.inner.full = True
    for _ in range(20):
        assert await rig.fails("set")
        assert not await rig.fails("get")
    assert rig.inner.calls == 20 + 5
    assert rig.value('breaker_open{operation="get"}') == 0
    assert rig.value('breaker_open{operation="set"}') == 1
    assert rig.value('errors_total{operation="set",problem="refused"}') == 5
    for _ in range(3):
        await rig.clock.advance(1)
        assert await rig.fails("set")
        assert not await rig.fails("get"), "an answer to a reader does not make it less full"
    rig.inner.full = False
    await rig.clock.advance(1)
    assert await rig.fails("set")
    await rig.clock.settle()
    assert not await rig.fails("set")
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    await rig.cache.close()


async def test_closing_ends_a_probe_that_hangs(rig: Rig) -> None:
    rig.inner.down, rig.inner.takes_s = True, 0.25
    await rig.fails("get")
    rig.inner.takes_s = 1e9
    await rig.clock.advance(1)
    assert await rig.fails("get")
    await rig.clock.settle()
    assert rig.clock.sleepers == 1
    await rig.cache.close()
    await rig.cache.close()
    assert rig.clock.sleepers == 0
    await rig.clock.advance(1)
    assert await rig.fails("get"), "after that nothing begins"
    assert await rig.fails("set")
    assert rig.inner.calls == 2
