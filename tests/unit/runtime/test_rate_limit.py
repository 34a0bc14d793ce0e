"""The rate limiter lets through what it says, in order, whatever the wall clock does."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewright.runtime.rate_limit import RateLimiter
from tradewright.testing import DrivenClock


async def admitted(
    clock: DrivenClock, limiter: RateLimiter, costs: list[float], run_s: float, cancel: tuple[int, ...] = ()
) -> list[tuple[float, int]]:
    """When each of the calls, all made at once, was let through."""
    passed: list[tuple[float, int]] = []

    async def call(number: int, cost: float) -> None:
        await limiter.acquire(cost)
        passed.append((clock.monotonic(), number))

    tasks = [asyncio.create_task(call(number, cost)) for number, cost in enumerate(costs)]
    await clock.settle()
    for number in cancel:
        tasks[number].cancel()
    await clock.advance(run_s)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return passed


async def test_the_first_burst_passes_and_then_one_after_the_other() -> None:
    clock = DrivenClock()
    passed = await admitted(clock, RateLimiter(clock, per_second=2, burst=3), [1.0] * 6, 10)
    assert passed == [(0.0, 0), (0.0, 1), (0.0, 2), (0.5, 3), (1.0, 4), (1.5, 5)]


@settings(deadline=None)
@given(
    st.sampled_from((0.5, 1.0, 4.0, 10.0)),
    st.integers(1, 5),
    st.lists(st.sampled_from((1.0, 1.0, 2.0, 5.0)), min_size=1, max_size=12),
)
def test_in_no_stretch_of_time_passes_more_than_allowed(rate: float, burst: int, costs: list[float]) -> None:
    async def scenario() -> list[tuple[float, int]]:
        clock = DrivenClock()
        return await admitted(clock, RateLimiter(clock, per_second=rate, burst=burst), costs, 1_000)

    passed = asyncio.run(scenario())
    assert [number for _, number in passed] == list(range(len(costs)))
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            spent = sum(costs[first:last])  # what was spent before the last one was let through
            assert spent <= rate * (passed[last][0] - passed[first][0]) + burst - 1 + 1e-6


async def test_a_pause_holds_everybody_back_even_a_burst() -> None:
    clock = DrivenClock()
    limiter = RateLimiter(clock, per_second=10, burst=5)
    limiter.pause(3)
    passed = await admitted(clock, limiter, [1.0] * 3, 10)
    assert passed[0][0] == pytest.approx(3.0)
    assert [at - passed[0][0] for at, _ in passed] == pytest.approx([0.0, 0.1, 0.2])


async def test_a_pause_reaches_those_who_wait_already() -> None:
    clock = DrivenClock()
    limiter = RateLimiter(clock, per_second=1)
    await limiter.acquire()
    waiting = asyncio.create_task(limiter.acquire())
    await clock.advance(0.5)
    limiter.pause(5)
    await clock.advance(4.9)
    assert not waiting.done()
    await clock.advance(0.2)
    assert waiting.done()


async def test_a_jump_of_the_wall_clock_does_not_freeze_it() -> None:
    clock = DrivenClock()
    limiter = RateLimiter(clock, per_second=1)
    await limiter.acquire()
    clock.jump_wall(-3_600_000)
    waiting = asyncio.create_task(limiter.acquire())
    await clock.advance(1)
    assert waiting.done()


async def test_who_gives_up_gives_the_place_back() -> None:
    clock = DrivenClock()
    limiter = RateLimiter(clock, per_second=1)
    passed = await admitted(clock, limiter, [1.0] * 5, 20, cancel=(1, 2))
    assert passed == [(0.0, 0), (1.0, 3), (2.0, 4)]


class _LateClock(DrivenClock):
    """Wakes every sleeper a little late, as timers do."""

    async def sleep(self, delay_s: float) -> None:
        await super().sleep(delay_s + 0.03)


async def test_a_timer_that_is_late_costs_nothing_of_the_rate() -> None:
    clock = _LateClock()
    passed = await admitted(clock, RateLimiter(clock, per_second=10), [1.0] * 101, 20)
    assert len(passed) == 101
    assert passed[-1][0] == pytest.approx(10.03)


async def test_of_a_long_stall_no_more_than_one_call_is_made_up_for() -> None:
    class Stalling(DrivenClock):
        async def sleep(self, delay_s: float) -> None:
            await super().sleep(delay_s + (5.0 if self.monotonic() < 0.1 else 0.0))

    clock = Stalling()
    passed = await admitted(clock, RateLimiter(clock, per_second=10), [1.0] * 5, 20)
    assert [at for at, _ in passed] == pytest.approx([0.0, 5.1, 5.1, 5.2, 5.3])


async def test_the_queue_is_bounded() -> None:
    clock = DrivenClock()
    limiter = RateLimiter(clock, per_second=1, max_waiting=2, overflow=lambda: ValueError("full"))
    await limiter.acquire()
    waiting = [asyncio.create_task(limiter.acquire()) for _ in range(2)]
    await clock.settle()
    with pytest.raises(ValueError, match="full"):
        await limiter.acquire()
    await clock.advance(1)
    third = asyncio.create_task(limiter.acquire())
    await clock.advance(2)
    assert all(task.done() for task in (*waiting, third))


async def test_who_goes_ahead_waits_for_none_that_wait_and_keeps_the_rate() -> None:
    clock = DrivenClock()
    limiter = RateLimiter(clock, per_second=1)
    passed: list[tuple[float, str]] = []

    async def call(name: str, *, ahead: bool = False) -> None:
        await (limiter.acquire_ahead() if ahead else limiter.acquire())
        passed.append((clock.monotonic(), name))

    tasks = [asyncio.create_task(call(str(number))) for number in range(4)]
    await clock.advance(0.5)
    tasks += [asyncio.create_task(call("ahead", ahead=True)), asyncio.create_task(call("gone", ahead=True))]
    await clock.settle()
    tasks[-1].cancel()
    await clock.advance(10)
    assert passed == [(0.0, "0"), (1.0, "ahead"), (2.0, "1"), (3.0, "2"), (4.0, "3")]
    await asyncio.wait(tasks)
