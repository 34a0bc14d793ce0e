"""The two ways in which a connection's outbox reaches its client.

Past ASGI, where the server's protocol takes prepared frames: no task and no wait for each client. Over ASGI,
under any server: a task that sends message by message. What the client gets is the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from tradewright.domain.streams import StreamKind
from tradewright.runtime.clock import Clock
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.subscription_service import ResyncReason, TopicMessage, ViewSink
from tradewright.web.ws.flusher import Flusher
from tradewright.web.ws.frames import frame_of
from tradewright.web.ws.outbox import Outbox

BUFFERED_BYTES_MAX: Final = 64 * 1024
"""So much may wait in a client's transport; beyond it messages wait in the outbox, under its policies."""


class FrameSocket(Protocol):
    """A server's socket that takes whole frames; what it sends itself never falls into one of them."""

    def closed(self) -> bool:
        """Whether nothing may follow: a close frame is on its way, or the client is gone."""
        ...

    def full(self) -> bool:
        """Whether more than ``BUFFERED_BYTES_MAX`` bytes wait in this client's transport."""
        ...

    def write_at_once(self, frames: bytes) -> bool:
        """Send them where nothing waits before them; False where something does, or all is over."""
        ...

    def write(self, frames: bytes) -> None:
        """Send them, or keep them until the client takes them; never waits."""
        ...

    def watch_room(self, on_room: Callable[[], None]) -> None:
        """Call this each time that the transport has room again after it was full."""
        ...


class MessageSocket(Protocol):
    """A server's socket that takes one message after the other."""

    async def send(self, text: str) -> None:
        """Return when the message is under way; ``OSError`` where the client is gone."""
        ...


class Writer(ViewSink, Protocol):
    """Takes what views offer and empties the outbox."""

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
    """Writes what waits straight to the client's transport: a lone message at once, others at the flusher's
    moments, joined."""

    __slots__ = (
        "_clock",
        "_flusher",
        "_lost",
        "_outbox",
        "_socket",
        "_stopped",
        "_waiting",
        "_write_at_once",
        "stuck_since_s",
    )

    def __init__(self, socket: FrameSocket, outbox: Outbox, flusher: Flusher, clock: Clock) -> None:
        self._socket = socket
        self._write_at_once = socket.write_at_once
        self._outbox = outbox
        self._waiting = outbox.entries
        self._lost = outbox.lost
        self._flusher = flusher
        self._clock = clock
        self._stopped = False
        self.stuck_since_s: float | None = None
        socket.watch_room(self._go_on)
        outbox.listen(lambda: flusher.add(self.write), on_crowded=self.write)

    def offer(self, message: TopicMessage) -> None:
        """Write the message, or queue it."""
        # This runs for every message and viewer.
        direct = self._flusher.direct
        if (
            (direct is message or (direct is None and self._flusher.claim(message)))
            and not self._waiting
            and not self._lost
            and self._write_at_once(message.frame or frame_of(message))
        ):
            return
        self._outbox.offer(message)

    def offer_resync(self, topic: str, kind: StreamKind, reason: ResyncReason) -> None:
        """Drop what waits of the topic, and say that it begins again."""
        self._outbox.offer_resync(topic, kind, reason)

    def write(self) -> None:
        """Hand over what waits, as far as the client's own transport has room."""
        socket, outbox, waiting = self._socket, self._outbox, self._waiting
        while waiting:
            if self._stopped or socket.closed():
                return
            if socket.full():
                if self.stuck_since_s is None:
                    self.stuck_since_s = self._clock.monotonic()
                return
            socket.write(outbox.take_frames())
        outbox.told = False
        if self._lost and not socket.full():
            outbox.begin_again()

    @property
    def task(self) -> None:
        return None

    @property
    def idle(self) -> bool:
        return self._stopped or self._socket.closed() or not self._waiting

    def stop(self) -> None:
        self._stopped = True
        self._write_at_once = _refuse

    def _go_on(self) -> None:
        self.stuck_since_s = None
        self._flusher.add(self.write)


def _refuse(frames: bytes) -> bool:
    return False


class MessageWriter:
    """A task that sends one message after the other, and waits for the client before the next."""

    def __init__(self, socket: MessageSocket, outbox: Outbox, clock: Clock, tasks: TaskSupervisor) -> None:
        self._socket = socket
        self._outbox = outbox
        self._clock = clock
        self.stuck_since_s: float | None = None
        self.offer = outbox.offer
        self.offer_resync = outbox.offer_resync
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
        return self.task.done() or not (self._outbox.entries or self.stuck_since_s is not None)

    def stop(self) -> None:
        self.task.cancel()
