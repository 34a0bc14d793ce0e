"""Supervised tasks: each has an owner and a name, and none dies unseen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

_log = logging.getLogger(__name__)


class TaskSupervisor:
    """Owns background tasks: keeps them referenced, logs how they fail, ends them all on ``close``."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(
        self, name: str, work: Coroutine[Any, Any, None], *, context: Context | None = None
    ) -> asyncio.Task[None]:
        """Run ``work`` as a task named ``owner/name``, in ``context`` or a copy of the present one; its
        failure is logged, never raised to the loop."""
        if self._closed:
            work.close()
            raise RuntimeError(f"{self._name} is closed and starts no more tasks")
        task = asyncio.get_running_loop().create_task(
            self._supervise(name, work), name=f"{self._name}/{name}", context=context
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task that is cancelled before its first step never awaits its work, which would warn.
        task.add_done_callback(lambda _: work.close())
        return task

    def __len__(self) -> int:
        return len(self._tasks)

    async def _supervise(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001
            # The one place besides the web's error handler that takes every error: a task that
            # nobody awaits would otherwise end without a word.
            _log.exception("task %s/%s failed", self._name, name)

    async def settle(self) -> None:
        """Wait until nothing runs any more, whoever starts it meanwhile."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def close(self) -> None:
        """Cancel what still runs and wait until all of it has ended."""
        self._closed = True
        while self._tasks:
            running = tuple(self._tasks)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
