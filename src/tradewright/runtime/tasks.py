"""Supervised tasks: each has an owner and a name, and none dies unseen."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context
from typing import Any, Final

from tradewright.runtime.clock import Clock
from tradewright.runtime.retry import Backoff

_log = logging.getLogger(__name__)

AGAIN: Final = Backoff(first_s=1.0, max_s=60.0)
"""How long after a defect a loop that is kept running begins anew."""
STEADY_S: Final = 600.0
"""A loop that ran for so long has got over its last defect."""
_restarts: Final[Counter[str]] = Counter()


def restarts() -> Mapping[str, int]:
    """How often each loop of this process began anew, by ``owner/name``."""
    return _restarts


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
            self._run(name, work), name=f"{self._name}/{name}", context=context
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task that is cancelled before its first step never awaits its work, which would warn.
        task.add_done_callback(lambda _: work.close())
        return task

    def keep(
        self, name: str, work: Callable[[], Coroutine[Any, Any, None]], clock: Clock
    ) -> asyncio.Task[None]:
        """Run ``work()``, a loop that is to go on for as long as the owner does: where a defect ends it, that
        is logged and counted in ``restarts``, and the loop begins anew a little later, longer each time. The
        name is one of a few."""
        return self.start(name, self._keep(name, work, clock))

    def __len__(self) -> int:
        return len(self._tasks)

    async def _keep(self, name: str, work: Callable[[], Coroutine[Any, Any, None]], clock: Clock) -> None:
        delays, began_s = AGAIN.delays(), clock.monotonic()
        while not await self._supervise(name, work()):
            if clock.monotonic() - began_s > STEADY_S:
                delays = AGAIN.delays()
            await clock.sleep(next(delays))
            _restarts[f"{self._name}/{name}"] += 1
            began_s = clock.monotonic()

    async def _run(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        await self._supervise(name, work)

    async def _supervise(self, name: str, work: Coroutine[Any, Any, None]) -> bool:
        """Whether it ended of itself."""
        try:
            await work
        except Exception:  # noqa: BLE001
            # The one place besides the web's error handler that takes every error: a task that
            # nobody awaits would otherwise end without a word.
            _log.exception("task %s/%s failed", self._name, name)
            return False
        return True

    async def close(self) -> None:
        """Cancel what still runs and wait until all of it has ended."""
        self._closed = True
        while self._tasks:
            running = tuple(self._tasks)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
