"""The event loop's own time, moved on at will, so that nobody has to wait for its deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from tradewright.testing.clock import DrivenClock


class LoopTime:
    """Real time plus what ``advance`` has added to it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._real = loop.time
        self._added_s = 0.0

    def now(self) -> float:
        return self._real() + self._added_s

    async def advance(self, delta_s: float, *, step_s: float = 0.1) -> None:
        """Move on step by step, letting whatever is due run before going on."""
        for _ in range(round(delta_s / step_s)):
            self._added_s += step_s
            await DrivenClock.settle()


@contextmanager
def driven_loop() -> Iterator[LoopTime]:
    """The running loop's time in the caller's hands."""
    loop = asyncio.get_running_loop()
    driven = LoopTime(loop)
    loop.time = driven.now  # type: ignore[method-assign]
    try:
        yield driven
    finally:
        del loop.time
