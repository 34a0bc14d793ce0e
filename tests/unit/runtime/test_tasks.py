"""No supervised task dies unseen, and none survives its owner."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tradewright.runtime.tasks import TaskSupervisor


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
