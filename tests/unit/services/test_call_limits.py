"""Limits that hold whether the servers' common count answers or not."""

from __future__ import annotations

import asyncio

import pytest

from tradewright.domain.call_counts import CountUnavailable, Quota
from tradewright.domain.errors import LimitExceeded
from tradewright.services.call_limits import CallLimits, CallQuotas
from tradewright.storage.memory_call_counter import MemoryCallCounter
from tradewright.testing.clock import DrivenClock


class Together(MemoryCallCounter):
    """The count of all servers, which can be out of reach."""

    lost = False
    asked = 0

    async def take(self, key: str, quota: Quota, cost: int = 1) -> float | None:
        self.asked += 1
        if self.lost:
            raise CountUnavailable("Nobody answers.")
        return await super().take(key, quota, cost)


class Servers:
    def __init__(self) -> None:
        self.clock = DrivenClock()
        self.together = Together(self.clock)
        self.one, self.two = (
            CallLimits(
                MemoryCallCounter(self.clock).take_now, self.clock, CallQuotas.of_rate(1), self.together
            )
            for _ in range(2)
        )


async def passes(limits: CallLimits, calls: int) -> int:
    async def one() -> bool:
        try:
            await limits.take_for_user("anna", 1)
        except LimitExceeded as error:
            return not 0 < (error.retry_after_s or 0) <= 10
        return True

    return sum(await asyncio.gather(*(one() for _ in range(calls))))


async def test_servers_that_count_together_let_through_as_much_as_one() -> None:
    servers = Servers()
    assert await passes(servers.one, 6) + await passes(servers.two, 200) == 10


async def test_while_redis_is_lost_each_server_holds_the_limit_itself() -> None:
    servers = Servers()
    assert await passes(servers.one, 6) == 6
    servers.together.lost = True
    assert await passes(servers.one, 200) == 4, "what was counted before counts on"
    asked = servers.together.asked
    await passes(servers.two, 200)
    assert servers.together.asked <= asked + 5, "who fails is left alone"
    servers.together.lost = False
    await servers.clock.advance(11)
    assert await passes(servers.one, 1) == 1
    assert await passes(servers.two, 200) == 9, "they count together again"


async def test_an_address_is_limited_for_each_kind_of_page() -> None:
    clock = DrivenClock()
    limits = CallLimits(MemoryCallCounter(clock).take_now, clock, CallQuotas.of_rate(1))
    await limits.take_for_address("api", "home", 20)
    with pytest.raises(LimitExceeded):
        await limits.take_for_address("api", "home", 1)
    assert not limits.take_here("home")
    await limits.take_for_address("pages", "home", 100)
    with pytest.raises(LimitExceeded):
        await limits.take_for_address("pages", "home", 1)
    await limits.take_for_address("operations", "home", 1)
    assert limits.take_here("elsewhere")
