"""Counting calls: in memory on a driven clock, and in a real Redis."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from tradewright.domain.call_counts import CallCounter, CountUnavailable, Quota
from tradewright.runtime.clock import SystemClock
from tradewright.storage.memory_call_counter import MemoryCallCounter
from tradewright.storage.redis.call_counter import RedisCallCounter
from tradewright.storage.redis.client import make_client
from tradewright.testing.clock import DrivenClock

TEN = Quota(10, 10)


@pytest.fixture(params=["memory", "redis"])
async def counters(request: pytest.FixtureRequest) -> AsyncIterator[tuple[CallCounter, CallCounter]]:
    """Two that count together, and are connected."""
    if request.param == "memory":
        counter = MemoryCallCounter(SystemClock())
        yield counter, counter
        return
    prefix, url = f"t{uuid.uuid4().hex}", request.getfixturevalue("redis_url")
    one, two = (
        RedisCallCounter(
            make_client(url, step_timeout_s=None, connections_max=1),
            SystemClock(),
            prefix=prefix,
            deadline_s=10,
        )
        for _ in range(2)
    )
    for each in (one, two):
        assert await each.take("somebody", TEN) is None
    yield one, two
    for each in (one, two):
        await each.close()


async def test_of_two_hundred_at_once_as_many_pass_as_may(counters: tuple[CallCounter, CallCounter]) -> None:
    quota = Quota(100, 60)
    answers = await asyncio.gather(*(counters[number % 2].take("anna", quota) for number in range(200)))
    assert answers.count(None) == 100
    waits = [answer for answer in answers if answer is not None]
    assert all(0 < wait <= 60 for wait in waits)
    assert await counters[0].take("berta", quota) is None, "who else calls is not held up"


async def test_what_costs_more_is_counted_for_more(counters: tuple[CallCounter, CallCounter]) -> None:
    counter, _ = counters
    assert [await counter.take("anna", TEN, 3) is None for _ in range(4)] == [True, True, True, False]
    assert await counter.take("anna", TEN) is None
    assert await counter.take("anna", TEN) is not None
    assert await counter.take("berta", TEN, 50) is None, "what costs more than all there is can still be had"
    assert await counter.take("berta", TEN) is not None


async def test_the_window_moves() -> None:
    clock = DrivenClock()
    counter = MemoryCallCounter(clock)
    for _ in range(10):
        assert counter.take_now("anna", TEN) is None
        await clock.advance(0.5)
    assert counter.take_now("anna", TEN) == pytest.approx(5.0)
    await clock.advance(4.9)
    assert counter.take_now("anna", TEN) is not None
    assert counter.take_now("anna", TEN, 2) == pytest.approx(0.6)
    await clock.advance(0.1)
    assert counter.take_now("anna", TEN) is None
    assert counter.take_now("anna", TEN) is not None


async def test_in_no_ten_seconds_passes_more_than_may() -> None:
    clock = DrivenClock()
    counter = MemoryCallCounter(clock)
    passed = []
    for step in range(6_000):
        await clock.advance(0.01)
        if counter.take_now("anna", TEN, 1 + step % 2) is None:
            passed.append((clock.monotonic(), 1 + step % 2))
    assert len(passed) > 30
    for at, _ in passed:
        assert sum(cost for when, cost in passed if at <= when < at + 10) <= 10


async def test_the_wall_clock_shuts_nobody_out() -> None:
    clock = DrivenClock()
    counter = MemoryCallCounter(clock)
    assert counter.take_now("anna", TEN, 10) is None
    clock.jump_wall(-86_400_000)
    await clock.advance(10)
    assert counter.take_now("anna", TEN) is None


def test_strangers_do_not_fill_the_memory() -> None:
    counter = MemoryCallCounter(DrivenClock(), keys_max=100, entries_max=50)
    for number in range(1_000):
        assert counter.take_now(f"stranger {number}", TEN) is None
    assert len(counter._windows) == counter._entries == 50


async def test_a_redis_that_is_not_there_is_said_without_its_address() -> None:
    counter = RedisCallCounter(make_client("redis://:secret@127.0.0.1:1/0"), SystemClock(), prefix="t")
    with pytest.raises(CountUnavailable) as caught:
        await counter.take("anna", TEN)
    assert "secret" not in str(caught.value)
    await counter.close()
