"""When a breaker opens, when it lets a probe through, and when it closes."""

from __future__ import annotations

from tradewright.runtime.circuit_breaker import CircuitBreaker
from tradewright.testing.clock import DrivenClock


def test_it_opens_after_five_failures_in_a_row() -> None:
    breaker = CircuitBreaker(DrivenClock())
    for _ in range(3):
        assert [breaker.failed(0.001) for _ in range(4)] == [False] * 4
        breaker.succeeded()
        assert not breaker.is_open
    assert [breaker.failed(0.001) for _ in range(6)] == [False] * 4 + [True, False], "it opens once"
    assert breaker.is_open


def test_it_opens_at_once_when_failing_takes_long() -> None:
    breaker = CircuitBreaker(DrivenClock())
    assert breaker.failed(0.25)
    breaker.succeeded()
    assert not breaker.failed(0.1)
    assert breaker.failed(0.1)


async def test_one_probe_is_let_through_in_a_period() -> None:
    clock = DrivenClock()
    breaker = CircuitBreaker(clock)
    assert not breaker.may_probe(), "nothing to probe"
    breaker.failed(1)
    assert not breaker.may_probe()
    await clock.advance(0.99)
    assert not breaker.may_probe()
    await clock.advance(0.01)
    assert [breaker.may_probe() for _ in range(3)] == [True, False, False]
    clock.jump_wall(-3_600_000)
    await clock.advance(1)
    assert breaker.may_probe(), "a probe that never reports holds up nothing"
    assert not breaker.failed(0.25), "a failed probe leaves it open"
    assert breaker.is_open
    breaker.succeeded()
    assert not breaker.is_open
    assert not breaker.failed(0.001), "it begins to count anew"
