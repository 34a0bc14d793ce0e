"""``Remembering``: what a read found goes to the cache after the reader has its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from tradewright.runtime.tasks import TaskSupervisor

UNDER_WAY_MAX: Final = 64
"""Each holds the bars it writes. One more is not begun: a cache that slow costs later reads of the store."""
TURNS: Final = 4
"""From the task that answers a question to the socket of who asked it takes so many turns of the loop."""


class Remembering:
    """Writes to the cache that no reader waits for."""

    def __init__(self) -> None:
        self._tasks = TaskSupervisor("remembering")

    def begin(self, name: str, write: Callable[[], Awaitable[None]]) -> None:
        """Call the write soon and wait for it here, unless too many are under way."""
        if len(self._tasks) < UNDER_WAY_MAX:
            self._tasks.start(name, _after_the_answer(write))

    async def close(self) -> None:
        """Give up what is still being written."""
        await self._tasks.close()


async def _after_the_answer(write: Callable[[], Awaitable[None]]) -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)
    await write()
