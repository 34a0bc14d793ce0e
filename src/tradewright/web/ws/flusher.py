"""``Flusher``: decides when what connections have waiting is written out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

PAUSE_S_MAX: Final = 0.005
PAUSE_FACTOR: Final = 2.0
_NONE_MORE: Final = object()


class Flusher:
    """One clock for the writing of all connections of a process.

    While little is to be written, the first message of a turn of the event loop goes out at once, to each of
    its viewers: it is ``direct``. Everything else is written when the turn ends, and after that a pause is
    left for other work, as long as writing took, twice, and at most ``PAUSE_S_MAX``. What comes in a pause
    leaves at its end, joined, in one write for each client. The loop's own clock counts here, since this is
    about its work.
    """

    def __init__(self) -> None:
        self.direct: object | None = None
        """The message that goes out at once; None where the next one may be it."""
        self._due: list[Callable[[], None]] = []
        self._scheduled: asyncio.Handle | None = None
        self._began_s = 0.0

    def claim(self, message: object) -> bool:
        """Make it the turn's direct message. Only where ``direct`` is None."""
        self.direct = message
        self._begin_turn()
        return True

    def add(self, write: Callable[[], None]) -> None:
        """Call this when the turn or the pause ends. Who adds itself twice is called twice."""
        self._due.append(write)
        if self._scheduled is None:
            self.direct = _NONE_MORE
            self._begin_turn()

    def close(self) -> None:
        """Forget who was to be called."""
        self._due.clear()
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None

    def _begin_turn(self) -> None:
        loop = asyncio.get_running_loop()
        self._began_s = loop.time()
        self._scheduled = loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self.direct = _NONE_MORE
        self._flush(self._began_s)

    def _end_pause(self) -> None:
        if self._due:
            self._flush(asyncio.get_running_loop().time())
        else:
            self._scheduled = None
            self.direct = None

    def _flush(self, began_s: float) -> None:
        due, self._due = iter(self._due), []
        try:
            for write in due:
                write()
        finally:
            self._due.extend(due)  # a fault of one, which the loop logs, is not the loss of the others
            loop = asyncio.get_running_loop()
            ended_s = loop.time()
            pause_s = min(PAUSE_FACTOR * (ended_s - began_s), PAUSE_S_MAX)
            self._scheduled = loop.call_at(ended_s + pause_s, self._end_pause)
