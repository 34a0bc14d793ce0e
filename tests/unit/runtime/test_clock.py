"""The driven clock moves when told, and wakes everybody at their own moment."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tradewright.runtime.clock import Clock, SystemClock
from tradewright.testing import DrivenClock


async def test_it_stands_still_until_it_is_moved() -> None:
    clock = DrivenClock(1_000)
    assert (clock.now_ms(), clock.monotonic()) == (1_000, 0.0)
    await clock.advance(2.5)
    assert (clock.now_ms(), clock.monotonic()) == (3_500, 2.5)


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=15),
    st.lists(st.integers(1, 40), min_size=1, max_size=6),
)
def test_sleepers_wake_in_order_at_their_own_moment(delays: list[int], steps: list[int]) -> None:
    async def scenario() -> list[tuple[int, int, int]]:
        clock = DrivenClock(0)
        woken: list[tuple[int, int, int]] = []

        async def sleeper(number: int, delay_s: int) -> None:
            await clock.sleep(delay_s)
            woken.append((clock.now_ms(), delay_s * 1000, number))

        async with asyncio.TaskGroup() as group:
            for number, delay_s in enumerate(delays):
                group.create_task(sleeper(number, delay_s))
            for step_s in steps:
                await clock.advance(step_s)
                assert [number for _, _, number in woken] == sorted(
                    (number for number, delay_s in enumerate(delays) if delay_s * 1000 <= clock.now_ms()),
                    key=lambda number: (delays[number], number),
                )
                assert clock.sleepers == len(delays) - len(woken)
            await clock.advance(60)
        return woken

    for at_ms, due_ms, _ in asyncio.run(scenario()):
        assert at_ms == due_ms


async def test_who_sleeps_again_while_time_moves_is_woken_again() -> None:
    clock = DrivenClock(0)
    beats: list[int] = []

    async def heart() -> None:
        while len(beats) < 10:
            await clock.sleep(1)
            beats.append(clock.now_ms())

    async with asyncio.TaskGroup() as group:
        group.create_task(heart())
        await clock.advance(10)
    assert beats == [1_000 * beat for beat in range(1, 11)]


async def test_the_wall_clock_jumps_and_durations_do_not_notice() -> None:
    clock = DrivenClock(100_000)
    clock.jump_wall(-60_000)
    assert (clock.now_ms(), clock.monotonic()) == (40_000, 0.0)
    await clock.advance(1)
    assert (clock.now_ms(), clock.monotonic()) == (41_000, 1.0)


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = DrivenClock(0)
    task = asyncio.create_task(clock.sleep(5))
    await clock.settle()
    assert clock.sleepers == 1
    task.cancel()
    await clock.settle()
    assert clock.sleepers == 0
    await clock.advance(10)
    assert task.cancelled()


async def test_no_delay_gives_way_and_returns() -> None:
    clock = DrivenClock(0)
    await clock.sleep(0)
    await clock.sleep(-1)
    assert clock.sleepers == 0


async def test_the_machine_s_clock_is_a_clock() -> None:
    clock: Clock = SystemClock()
    assert isinstance(DrivenClock(), Clock)
    assert clock.now_ms() > 1_700_000_000_000
    began = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= began
