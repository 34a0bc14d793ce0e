"""The two ways in which a connection's outbox reaches its client.

Past ASGI, where the server's protocol takes prepared frames: no task and no wait for each client. Over ASGI,
under any server: a task that sends message by message. What the client gets is the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from tradewright.runtime.clock import Clock
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.web.ws.flusher import Flusher
from tradewright.web.ws.outbox import Outbox

BUFFERED_BYTES_MAX: Final = 64 * 1024
"""So much may wait in a client's transport; beyond it messages wait in the outbox, under its policies."""


class FrameSocket(Protocol):
    """A server's socket that takes whole frames; what it sends itself never falls into one of them."""

    def closed(self) -> bool:
        """Whether nothing may follow: a close frame is on its way, or the client is gone."""
        ...

    def buffered(self) -> int:
        """How many bytes wait in this client's transport."""
        ...

    def write(self, frames: bytes, /) -> None:
        """Send them, or keep them until the client takes them; never waits."""
        ...

    def watch_room(self, on_room: Callable[[], None]) -> None:
        """Call this each time that the transport has room again after more than
        ``BUFFERED_BYTES_MAX`` bytes were waiting."""
        ...


class MessageSocket(Protocol):
    """A server's socket that takes one message after the other."""

    async def send(self, text: str) -> None:
        """Return when the message is under way; ``OSError`` where the client is gone."""
        ...


class Writer(Protocol):
    """Empties the outbox."""

    @property
    def task(self) -> asyncio.Task[None] | None:
        """What ends when the client is gone, where that is the writer's to find out."""
        ...

    @property
    def stuck_since_s(self) -> float | None:
        """Since when the client has taken nothing of what it should, in monotonic seconds."""
        ...

    @property
    def idle(self) -> bool:
        """Whether everything was handed over, or never will be."""
        ...

    def stop(self) -> None:
        """Write nothing any more."""
        ...


class FrameWriter:
    """Writes at the flusher's moments what waits, joined, straight to the client's transport."""

    def __init__(self, socket: FrameSocket, outbox: Outbox, flusher: Flusher, clock: Clock) -> None:
        self._socket = socket
        self._outbox = outbox
        self._flusher = flusher
        self._clock = clock
        self._stopped = False
        self.task = None
        self.stuck_since_s: float | None = None
        socket.watch_room(self._go_on)
        outbox.listen(lambda: flusher.add(self.write), on_crowded=self.write)

    def write(self) -> None:
        """Hand over what waits, as far as the client's own transport has room."""
        socket, outbox = self._socket, self._outbox
        while outbox.has_waiting:
            if self._stopped or socket.closed():
                return
            if socket.buffered() > BUFFERED_BYTES_MAX:
                if self.stuck_since_s is None:
                    self.stuck_since_s = self._clock.monotonic()
                return
            socket.write(outbox.take_frames())
        if outbox.has_lost and socket.buffered() <= BUFFERED_BYTES_MAX:
            outbox.begin_again()

    @property
    def idle(self) -> bool:
        return self._stopped or self._socket.closed() or not self._outbox.has_waiting

    def stop(self) -> None:
        self._stopped = True

    def _go_on(self) -> None:
        self.stuck_since_s = None
        self._flusher.add(self.write)


class MessageWriter:
    """A task that sends one message after the other, and waits for the client before the next."""

    def __init__(self, socket: MessageSocket, outbox: Outbox, clock: Clock, tasks: TaskSupervisor) -> None:
        self._socket = socket
        self._outbox = outbox
        self._clock = clock
        self.stuck_since_s: float | None = None
        self.task = tasks.start("write", self._write())

    async def _write(self) -> None:
        while True:
            await self._outbox.wait()
            self.stuck_since_s = self._clock.monotonic()
            try:
                for text in self._outbox.take():
                    await self._socket.send(text)
                    self.stuck_since_s = self._clock.monotonic()
            except OSError:
                return  # the client is gone
            self.stuck_since_s = None

    @property
    def idle(self) -> bool:
        return self.task.done() or not (self._outbox.has_waiting or self.stuck_since_s is not None)

    def stop(self) -> None:
        self.task.cancel()
