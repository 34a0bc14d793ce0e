"""Work that goes on to its end though whoever asked for it has left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

_log = logging.getLogger(__name__)

LEFT_MAX: Final = 256
LEFT_S_MAX: Final = 60.0
DRAIN_S: Final = 5.0

ResultT = TypeVar("ResultT")


class Finisher:
    """Owns work that must not stop halfway, such as a change of several steps.

    Who awaits ``see_through`` may be cancelled: the work goes on without them, for ``left_s_max`` at most.
    ``is_full`` says that ``left_max`` were left behind and still run; begin no more then.
    """

    def __init__(self, name: str, *, left_max: int = LEFT_MAX, left_s_max: float = LEFT_S_MAX) -> None:
        self._name = name
        self._left_max = left_max
        self._left_s_max = left_s_max
        self._running: set[asyncio.Task[Any]] = set()
        self._left: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    @property
    def is_full(self) -> bool:
        """Whether so many were left behind that no more should begin."""
        return len(self._left) >= self._left_max

    async def see_through(
        self, name: str, work: Coroutine[Any, Any, ResultT], left: Callable[[], None] | None = None
    ) -> ResultT:
        """What ``work`` returns or raises; ``left`` is called where the caller is cancelled before that."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self._name}/{name}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                self._leave(task)
                if left is not None:
                    left()
            raise

    def _leave(self, task: asyncio.Task[Any]) -> None:
        self._left.add(task)
        deadline = asyncio.get_running_loop().call_later(self._left_s_max, task.cancel)
        task.add_done_callback(lambda _: deadline.cancel())
        task.add_done_callback(self._ended_alone)

    def _ended_alone(self, task: asyncio.Task[Any]) -> None:
        self._left.discard(task)
        if task.cancelled():
            _log.error("%s was not done in time after whoever asked for it had left", task.get_name())
        elif (error := task.exception()) is not None:
            _log.error("%s failed after whoever asked for it had left", task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Wait ``DRAIN_S`` for what still runs, then cancel it, and wait until all of it has ended."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=DRAIN_S)
        while self._running:
            running = tuple(self._running)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
