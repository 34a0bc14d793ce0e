"""``Flusher``: writes out what all connections have waiting at one moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

PAUSE_S_MAX: Final = 0.02


class Flusher:
    """Calls every connection that has something to write, all of them together.

    A lone message goes out in the same turn of the event loop. Where writing takes long, as much time as it
    took, and at most ``pause_s_max``, is left for other work before the next time; what comes meanwhile
    leaves in one write for each client. The loop's own clock counts here, since this is about its work.
    """

    def __init__(self, pause_s_max: float = PAUSE_S_MAX) -> None:
        self._pause_s_max = pause_s_max
        self._due: list[Callable[[], None]] = []
        self._scheduled: asyncio.Handle | None = None
        self._not_before_s = float("-inf")

    def add(self, write: Callable[[], None]) -> None:
        """Call this the next time. Who adds itself twice is called twice."""
        self._due.append(write)
        if self._scheduled is None:
            self._schedule()

    def close(self) -> None:
        """Forget who was to be called."""
        self._due.clear()
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        if self._not_before_s <= loop.time():
            self._scheduled = loop.call_soon(self._flush)
        else:
            self._scheduled = loop.call_at(self._not_before_s, self._flush)

    def _flush(self) -> None:
        self._scheduled = None
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        due, self._due = iter(self._due), []
        try:
            for write in due:
                write()
        finally:
            ended_s = loop.time()
            self._not_before_s = ended_s + min(ended_s - began_s, self._pause_s_max)
            self._due.extend(due)  # a fault of one, which the loop logs, is not the loss of the others
            if self._due and self._scheduled is None:
                self._schedule()
