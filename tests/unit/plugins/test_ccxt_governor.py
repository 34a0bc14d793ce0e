"""The pace of calls to an exchange, and obeying when it wants none."""

from __future__ import annotations

import asyncio

import pytest

from tradewright.domain.errors import RateLimitPluginError
from tradewright.plugins._ccxt_governor import STAY_AWAY_S_MAX, Governor
from tradewright.testing.clock import DrivenClock

START_MS = 1_730_980_800_000  # 2024-11-07 12:00 UTC


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock(START_MS)


async def passed(governor: Governor, clock: DrivenClock, calls: int, seconds: float, cost: float = 1) -> int:
    """How many of the calls got through in that time."""
    done = 0

    async def call() -> None:
        nonlocal done
        await governor.acquire(cost)
        done += 1

    tasks = [asyncio.create_task(call()) for _ in range(calls)]
    await clock.advance(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return done


async def test_calls_are_spaced_by_their_cost(clock: DrivenClock) -> None:
    assert await passed(Governor("x", clock, per_second=10), clock, 100, 2.05) == 21
    assert await passed(Governor("x", clock, per_second=10), clock, 100, 2.05, cost=5) == 5


async def test_setting_the_wall_clock_back_does_not_freeze_it(clock: DrivenClock) -> None:
    governor = Governor("x", clock, per_second=10)
    await governor.acquire(1)
    clock.jump_wall(-3_600_000)
    assert await passed(governor, clock, 100, 1.05) == 10


@pytest.mark.parametrize("status", [418, 429, 503])
async def test_who_is_told_to_stay_away_is_refused_at_once_and_later_let_in(
    clock: DrivenClock, status: int
) -> None:
    governor = Governor("Binance", clock, per_second=10)
    governor.heed(status, {"retry-after": "30"})
    with pytest.raises(RateLimitPluginError, match="Binance") as refused:
        await governor.acquire(1)
    assert refused.value.retry_after_s == pytest.approx(30)
    await governor.acquire_message(1)  # sockets go on
    await clock.advance(29)
    assert governor.retry_after_s == pytest.approx(1)
    await clock.advance(1)
    assert governor.retry_after_s is None
    await governor.acquire(1)


async def test_who_waits_when_it_closes_is_refused_too(clock: DrivenClock) -> None:
    governor = Governor("x", clock, per_second=1)
    await governor.acquire(1)
    waiting = asyncio.create_task(governor.acquire(1))
    await clock.settle()
    governor.heed(429, {"Retry-After": "60"})
    await clock.advance(1.5)
    with pytest.raises(RateLimitPluginError):
        await waiting


async def test_a_date_is_understood(clock: DrivenClock) -> None:
    governor = Governor("x", clock, per_second=1)
    governor.heed(503, {"Retry-After": "Thu, 07 Nov 2024 12:01:00 GMT"})
    assert governor.retry_after_s == pytest.approx(60)


@pytest.mark.parametrize("value", ["", "soon", "-5", "1e9", "²"])
async def test_nonsense_is_not_obeyed(clock: DrivenClock, value: str) -> None:
    governor = Governor("x", clock, per_second=1)
    governor.heed(429, {"Retry-After": value})
    assert governor.retry_after_s is None


async def test_other_answers_close_nothing_and_no_answer_closes_for_ever(clock: DrivenClock) -> None:
    governor = Governor("x", clock, per_second=1)
    governor.heed(200, {"Retry-After": "30"})
    assert governor.retry_after_s is None
    governor.heed(429, {"Retry-After": "9" * 30})
    assert governor.retry_after_s == STAY_AWAY_S_MAX
