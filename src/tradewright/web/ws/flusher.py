"""``Flusher``: decides when what connections have waiting is written out."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final, Protocol

PAUSE_S_MAX: Final = 0.005
BUSY_SHARE: Final = 0.8
"""Whoever writes for more of the time than that does better to write less often, and more at once."""
TURNS_AT_ONCE: Final = 32
"""What a server does for a client it does in two parts: it takes the message, and writes when the loop comes
round. After more clients than that, the processor's caches have lost the first ones between the two."""
_NONE_MORE: Final = object()


class Flushable(Protocol):
    """Something with messages that wait to be written."""

    def write(self) -> None:
        """Write what waits; never waits itself."""
        ...


class Flusher:
    """One clock for the writing of all connections of a process.

    While little is to be written, the first message of a turn of the event loop goes out at once, to each of
    its viewers: it is ``direct``. Everything else is written when the turn ends, joined, in one write for
    each client. After a turn with more than one message, and where there is hardly anything but turns, a
    pause is left for other work, as long as writing took and at most ``pause_s_max``; what comes meanwhile
    leaves at its end. This is about the loop's own work, so that its clock counts, and for what was done the
    processor's: on a busy machine writing seems to take long that does not.
    """

    def __init__(self, pause_s_max: float = PAUSE_S_MAX) -> None:
        self._pause_s_max = pause_s_max
        self.direct: object | None = None
        """The message that goes out at once; None where the next one may be it."""
        self._due: list[Flushable] = []
        self._scheduled: asyncio.Handle | None = None
        self._began_s = self._ended_s = 0.0
        self.turns = Turns()

    def claim(self, message: object) -> bool:
        """Make it the turn's direct message. Only where ``direct`` is None."""
        self.direct = message
        self._begin_turn()
        return True

    def add(self, writer: Flushable) -> None:
        """Let this one write when the turn or the pause ends. Who adds itself twice is called twice."""
        self._due.append(writer)
        if self._scheduled is None:
            self.direct = _NONE_MORE
            self._begin_turn()

    def close(self) -> None:
        """Forget who was to be called."""
        self.turns.close()
        self._due.clear()
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None

    def _begin_turn(self) -> None:
        self._began_s = time.thread_time()
        self._scheduled = asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self.direct = _NONE_MORE
        since_s = asyncio.get_running_loop().time() - self._ended_s
        if self._due or time.thread_time() - self._began_s > BUSY_SHARE * since_s:
            self._flush()
        else:
            self._rest()

    def _end_pause(self) -> None:
        if self._due:
            self._began_s = time.thread_time()
            self._flush()
        else:
            self._rest()

    def _rest(self) -> None:
        self._ended_s = asyncio.get_running_loop().time()
        self._scheduled = None
        self.direct = None

    def _flush(self) -> None:
        due, self._due = iter(self._due), []
        try:
            for writer in due:
                writer.write()
        finally:
            self._due.extend(due)  # a fault of one, which the loop logs, is not the loss of the others
            took_s = time.thread_time() - self._began_s
            self._scheduled = asyncio.get_running_loop().call_later(
                min(took_s, self._pause_s_max), self._end_pause
            )


class Turns:
    """Lets clients be written to a few at a time, in the order in which they came, and the loop do other
    things in between."""

    def __init__(self) -> None:
        self._due: deque[Flushable] = deque()
        self._scheduled: asyncio.Handle | None = None

    def add(self, writer: Flushable) -> None:
        """Let this one write when its turn comes. Who adds itself twice is called twice."""
        self._due.append(writer)
        if self._scheduled is None:
            self._scheduled = asyncio.get_running_loop().call_soon(self._take)

    def close(self) -> None:
        """Forget who was to be called."""
        self._due.clear()
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None

    def _take(self) -> None:
        due = self._due
        try:
            for _ in range(min(len(due), TURNS_AT_ONCE)):
                due.popleft().write()
        finally:
            self._scheduled = asyncio.get_running_loop().call_soon(self._take) if due else None
