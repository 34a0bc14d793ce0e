"""Waiting with a deadline that the program's clock keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from tradewright.runtime.clock import Clock

T = TypeVar("T")


async def within(clock: Clock, timeout_s: float, work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` returns or raises; ``TimeoutError``, with ``work`` cancelled, after ``timeout_s``."""
    task = asyncio.create_task(work, name=f"within {timeout_s} s")
    timer = asyncio.create_task(clock.sleep(timeout_s), name=f"deadline of {timeout_s} s")
    try:
        await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        timer.cancel()
        task.cancel()
        await asyncio.gather(task, timer, return_exceptions=True)


async def until_first(clock: Clock, timeout_s: float, *works: Coroutine[Any, Any, object]) -> None:
    """Return when the first of them has ended, raising what it raised, or after ``timeout_s``; the others
    are cancelled."""
    tasks = [asyncio.create_task(work, name=f"until first in {timeout_s} s") for work in works]
    tasks.append(asyncio.create_task(clock.sleep(timeout_s), name=f"deadline of {timeout_s} s"))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Wakeup:
    """Something to wait for that is either told or comes with time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = asyncio.Event()

    def set(self) -> None:
        """End the present or the next wait."""
        self._event.set()

    async def wait(self, timeout_s: float) -> None:
        """Return when told, or after ``timeout_s`` seconds."""
        if not self._event.is_set() and timeout_s > 0:
            timer = asyncio.create_task(self._fire_after(timeout_s), name=f"wake up in {timeout_s:.3f} s")
            try:
                await self._event.wait()
            finally:
                timer.cancel()
        else:
            await asyncio.sleep(0)  # a loop that always has work must still let others run
        self._event.clear()

    async def _fire_after(self, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        self._event.set()
