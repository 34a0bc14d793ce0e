"""No supervised task dies unseen, and none survives its owner."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise

import pytest

from tradewright.runtime.metrics import Metrics
from tradewright.runtime.tasks import AGAIN, STEADY_S, TaskSupervisor, restarts
from tradewright.testing.clock import DrivenClock


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_failure_is_logged_with_the_name_of_the_task(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise KeyError("gone")

    supervisor = TaskSupervisor("feeds")
    task = supervisor.start("btc", fail())
    await asyncio.wait((task,))
    assert task.exception() is None
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "task feeds/btc failed"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)
    assert len(supervisor) == 0


async def test_tasks_are_named_and_kept_until_they_end() -> None:
    supervisor = TaskSupervisor("feeds")
    done = asyncio.Event()

    async def wait() -> None:
        await done.wait()

    task = supervisor.start("btc", wait())
    assert task.get_name() == "feeds/btc"
    assert len(supervisor) == 1
    done.set()
    await asyncio.wait((task,))
    await asyncio.sleep(0)
    assert len(supervisor) == 0


async def test_closing_ends_all_of_them_and_waits_for_their_last_words() -> None:
    supervisor = TaskSupervisor("feeds")
    ended = []

    async def tidy(number: int) -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0.001)
            ended.append(number)

    for number in range(20):
        supervisor.start(f"feed {number}", tidy(number))
    await asyncio.sleep(0)
    await supervisor.close()
    assert sorted(ended) == list(range(20))
    assert len(supervisor) == 0
    await supervisor.close()


async def test_a_task_that_is_cancelled_before_it_began_leaves_no_warning() -> None:
    supervisor = TaskSupervisor("feeds")
    supervisor.start("never run", forever())
    await supervisor.close()  # a coroutine that was never awaited would warn, and warnings fail tests
    assert len(supervisor) == 0


async def test_a_closed_supervisor_starts_nothing() -> None:
    supervisor = TaskSupervisor("feeds")
    await supervisor.close()
    with pytest.raises(RuntimeError, match="feeds is closed"):
        supervisor.start("late", forever())


async def test_a_task_that_starts_another_while_closing_ends_as_well() -> None:
    supervisor = TaskSupervisor("feeds")
    refused = []

    async def stubborn() -> None:
        try:
            await forever()
        finally:
            try:
                supervisor.start("another", forever())
            except RuntimeError:
                refused.append(True)

    supervisor.start("stubborn", stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await supervisor.close()
    assert refused == [True]


async def test_a_loop_that_is_kept_goes_on_after_defects(caplog: pytest.LogCaptureFixture) -> None:
    clock, supervisor, began_s = DrivenClock(), TaskSupervisor("kept"), list[float]()

    async def loop() -> None:
        began_s.append(clock.monotonic())
        if len(began_s) == 11:
            await clock.sleep(STEADY_S + 1)
        if len(began_s) < 13:
            raise KeyError("a defect")
        await forever()

    before = restarts().get("kept/loop", 0)
    supervisor.keep("loop", loop, clock)
    await clock.advance(2 * STEADY_S)
    pauses_s = [later - earlier for earlier, later in pairwise(began_s)]
    assert len(began_s) == 13
    assert AGAIN.first_s <= min(pauses_s[:10]) <= max(pauses_s[:10]) <= AGAIN.max_s
    assert sum(pauses_s[:10]) > 30, "longer each time"
    assert pauses_s[11] <= 2 * AGAIN.first_s, "after a long time without one, as at first"
    assert restarts()["kept/loop"] == before + 12
    assert b'tradewright_loop_restarts_total{loop="kept/loop"}' in Metrics().render()
    assert [record.getMessage() for record in caplog.records] == ["task kept/loop failed"] * 12
    await supervisor.close()
    assert len(supervisor) == 0


async def test_a_loop_that_is_kept_may_end_of_itself_and_is_ended_while_it_waits() -> None:
    clock, supervisor = DrivenClock(), TaskSupervisor("kept")

    async def nothing() -> None:
        pass

    async def fail() -> None:
        raise KeyError("a defect")

    await asyncio.wait((supervisor.keep("short", nothing, clock),))
    assert len(supervisor) == 0
    supervisor.keep("failing", fail, clock)
    await clock.settle()
    assert len(supervisor) == 1
    await supervisor.close()
    assert len(supervisor) == 0
