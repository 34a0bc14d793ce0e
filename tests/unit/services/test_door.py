"""A venue that can't be reached is left alone, longer each time, and then asked by one alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from tests.support.loop_time import driven_loop
from tradewright.domain.errors import (
    MalformedAnswerPluginError,
    NetworkPluginError,
    PluginError,
    RateLimitPluginError,
    TimeoutPluginError,
)
from tradewright.services.data_sources.door import CLOSED_S, PATIENCE_S, TOO_OFTEN_S, Door, DoorClosed, Doors
from tradewright.testing.clock import DrivenClock

GONE = NetworkPluginError("gone")


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock()


@pytest.fixture
def door(clock: DrivenClock) -> Door:
    return Door("venue", clock, random.Random(1))


async def ask(
    door: Door, error: Exception | None = None, *, within_s: float = 5.0, proves: bool = True
) -> None:
    """One call that ends at once."""
    async with door.call(asyncio.get_running_loop().time() + within_s, proves=proves):
        if error is not None:
            raise error


async def fail(door: Door, error: PluginError = GONE) -> None:
    with pytest.raises(type(error)):
        await ask(door, error)


class Knocker:
    """A call that is under way until it is told how it ends."""

    def __init__(self, door: Door, within_s: float = 5.0) -> None:
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._call(door, within_s))
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _call(self, door: Door, within_s: float) -> None:
        async with door.call(asyncio.get_running_loop().time() + within_s):
            await self._ended

    async def end(self, error: Exception | None = None) -> None:
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)
        await asyncio.wait({self.task})

    async def cancel(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


async def closed(door: Door, clock: DrivenClock) -> None:
    """Close it, and let the time pass until somebody may knock."""
    await fail(door)
    await clock.advance(door.left_s)


async def test_the_memory_grows_to_less_than_a_minute_and_an_answer_ends_it(
    door: Door, clock: DrivenClock
) -> None:
    for _ in range(2):
        for longest_s in (*CLOSED_S, CLOSED_S[-1], CLOSED_S[-1]):
            await fail(door)
            assert 0.8 * longest_s <= door.left_s <= longest_s <= 55
            await clock.advance(door.left_s)
        await ask(door)
        assert door.is_open
        assert door.refusal() is None


async def test_while_it_is_closed_nobody_asks_and_all_are_told_why(door: Door, clock: DrivenClock) -> None:
    await fail(door)
    await clock.advance(door.left_s - 0.1)
    with pytest.raises(DoorClosed) as caught:
        await ask(door)
    assert caught.value.error is GONE
    again = caught.value.again()
    assert (type(again), again.message) == (NetworkPluginError, "gone")
    assert again.retry_after_s == pytest.approx(0.1)
    await clock.advance(0.1)
    await ask(door)


async def test_one_alone_knocks(door: Door, clock: DrivenClock) -> None:
    await closed(door, clock)
    knocker = Knocker(door)
    await clock.settle()
    for _ in range(3):
        with pytest.raises(DoorClosed):
            await ask(door)
    await knocker.end(GONE)
    assert door.left_s > CLOSED_S[0], "it failed a second time"
    await clock.advance(door.left_s)
    knocker = Knocker(door)
    await clock.settle()
    await knocker.end()
    await asyncio.gather(ask(door), ask(door), ask(door))


@pytest.mark.parametrize("how", ["cancelled", "out of time", "malformed", "says nothing"])
async def test_a_knock_that_tells_nothing_is_given_back(door: Door, clock: DrivenClock, how: str) -> None:
    await closed(door, clock)
    match how:
        case "cancelled":
            knocker = Knocker(door)
            await clock.settle()
            await knocker.cancel()
        case "out of time":
            knocker = Knocker(door, within_s=0.01)
            await asyncio.wait({knocker.task})
            assert isinstance(knocker.task.exception(), TimeoutError)
        case "malformed":
            await fail(door, MalformedAnswerPluginError("?"))
        case _:
            await ask(door, proves=False)
    assert not door.is_open
    assert door.left_s == 0
    assert door.refusal() is None, "the next one may knock at once"
    await fail(door)
    assert 0.8 * CLOSED_S[1] <= door.left_s <= CLOSED_S[1], "and counts as the second"


async def test_a_venue_that_was_waited_for_long_enough_has_failed(door: Door) -> None:
    with driven_loop() as time:
        slow = Knocker(door, within_s=PATIENCE_S + 0.5)
        await time.advance(PATIENCE_S + 1)
        await asyncio.wait({slow.task})
        assert isinstance(slow.task.exception(), TimeoutPluginError)
        assert isinstance(door.refusal(), TimeoutPluginError)


async def test_calls_that_fail_together_are_one_failure(door: Door, clock: DrivenClock) -> None:
    calls = [Knocker(door) for _ in range(3)]
    await clock.settle()
    await calls[0].end(GONE)
    left_s = door.left_s
    for each in calls[1:]:
        await each.end(GONE)
    assert door.left_s == left_s <= CLOSED_S[0]


async def test_what_was_under_way_when_it_was_opened_does_not_close_it(
    door: Door, clock: DrivenClock
) -> None:
    late = Knocker(door)
    await clock.settle()
    await closed(door, clock)
    await ask(door)
    await late.end(GONE)
    assert door.is_open


async def test_how_long_the_venue_wants_no_call_is_kept_to(door: Door, clock: DrivenClock) -> None:
    late = Knocker(door)
    await clock.settle()
    await fail(door, PluginError("slow down", 120.0))
    assert door.left_s == 120
    await late.end(PluginError("slow down", 300.0))
    assert door.left_s == 300, "said last"
    await clock.advance(300)
    await ask(door)


async def test_a_venue_that_was_asked_too_often_and_names_no_time_is_left_alone(
    door: Door, clock: DrivenClock
) -> None:
    late = Knocker(door)
    await clock.settle()
    await fail(door, RateLimitPluginError("too often"))
    assert door.left_s == TOO_OFTEN_S
    await clock.advance(4)
    await late.end(RateLimitPluginError("too often"))
    assert door.left_s == TOO_OFTEN_S, "said last"
    for longest_s in CLOSED_S[1:]:
        await clock.advance(door.left_s)
        await fail(door, RateLimitPluginError("too often"))
        assert max(TOO_OFTEN_S, 0.8 * longest_s) <= door.left_s <= longest_s
    await clock.advance(door.left_s)
    await ask(door)
    assert door.is_open


@pytest.mark.parametrize("end", [Knocker.end, Knocker.cancel])
async def test_who_waits_is_let_in_when_the_knock_is_over(
    door: Door, clock: DrivenClock, end: Callable[[Knocker], Awaitable[None]]
) -> None:
    await fail(door)
    waiting = asyncio.create_task(door.passable())
    await clock.advance(door.left_s / 2)
    assert not waiting.done()
    await clock.advance(door.left_s)
    assert waiting.done()
    knocker = Knocker(door)
    await clock.settle()
    waiting = asyncio.create_task(door.passable())
    await clock.settle()
    assert not waiting.done()
    await end(knocker)
    await clock.settle()
    assert waiting.done()


async def test_each_market_of_a_provider_has_its_own(clock: DrivenClock) -> None:
    doors = Doors(clock)
    await fail(doors.of("crypto", "alpaca"))
    assert doors.of("stocks", "alpaca").is_open
    assert not doors.of("crypto", "alpaca").is_open


async def test_by_chance_whatever_happens_one_knocks_and_none_is_left_out(clock: DrivenClock) -> None:
    """Calls that end in every way, many at once: the door never stays shut for good."""
    chance = random.Random(5)
    door = Door("venue", clock, chance)
    running: list[Knocker] = []
    for _ in range(2_000):
        running = [one for one in running if not one.task.done()]
        if chance.random() < 0.5:
            running.append(Knocker(door))
            await clock.settle(2)
        elif running:
            one = running.pop(chance.randrange(len(running)))
            if not one.task.done():
                how = chance.choice(("answered", "cancelled", "gone", "malformed"))
                if how == "cancelled":
                    await one.cancel()
                else:
                    await one.end({"gone": GONE, "malformed": MalformedAnswerPluginError("?")}.get(how))
        await clock.advance(chance.choice((0.0, 1.0, 20.0)))
    for knocker in running:
        await knocker.cancel()
    await clock.advance(CLOSED_S[-1])
    await ask(door)
    assert door.is_open
