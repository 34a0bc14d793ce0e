"""How a connection's outbox reaches its client past ASGI, where the server's protocol takes prepared frames.

No task and no wait for each client. Over plain ASGI see ``sending``; what the client gets is the same.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final, Protocol

from tradewright.runtime.clock import Clock
from tradewright.services.subscription_service import TopicMessage, ViewSink
from tradewright.web.ws.flusher import Flusher
from tradewright.web.ws.frames import frame_of
from tradewright.web.ws.outbox import Outbox, OutboxLimits

_write: Final = os.write
BUFFERED_BYTES_MAX: Final = 64 * 1024
"""So much may wait in a client's transport; beyond it messages wait in the outbox, under its policies."""


class FrameTransport(Protocol):
    """What is used of a client's transport."""

    def is_closing(self) -> bool: ...

    def get_write_buffer_size(self) -> int: ...

    def write(self, frames: bytes, /) -> None: ...


class FrameSocket(Protocol):
    """A server's socket that takes whole frames; what it sends itself never falls into one of them."""

    @property
    def transport(self) -> FrameTransport:
        """The client's own, whose protocol is paused beyond ``BUFFERED_BYTES_MAX`` waiting bytes."""
        ...

    @property
    def descriptor(self) -> int | None:
        """The kernel's socket, where bytes may go to it past the transport. It is another client's only
        after the transport has begun to close."""
        ...

    def watch(self, on_room: Callable[[], None], on_close: Callable[[], None]) -> None:
        """Call ``on_room`` each time that the transport has room again, and ``on_close`` before a close frame
        is sent, after which nothing may follow."""
        ...


class Writer(ViewSink, Protocol):
    """Takes what views offer, and gets it to the client."""

    @property
    def gone(self) -> asyncio.Future[None] | None:
        """What is done when the client is gone, where that is the writer's to find out."""
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


class FrameWriter(Outbox):
    """An outbox that writes what waits straight to the client's transport: a lone message at once, others at
    the flusher's moments, joined."""

    __slots__ = ("_clock", "_descriptor", "_flusher", "_idle", "_stopped", "_transport", "stuck_since_s")

    def __init__(
        self,
        socket: FrameSocket,
        flusher: Flusher,
        clock: Clock,
        *,
        on_room: Callable[[str], None],
        limits: OutboxLimits,
    ) -> None:
        super().__init__(on_room=on_room, limits=limits)
        self._transport = socket.transport
        self._descriptor = socket.descriptor
        self._flusher = flusher
        self._clock = clock
        self._idle = True
        """Whether nothing waits and no topic is lost, so that a message may go out before all others."""
        self._stopped = False
        self.stuck_since_s: float | None = None
        socket.watch(self._go_on, self.stop)

    def offer(self, message: TopicMessage) -> None:
        """Write the message, or queue it."""
        # This runs for every message and viewer, so that each call and each object that is looked at counts.
        if self._idle:
            direct = self._flusher.direct
            if direct is message or (direct is None and self._flusher.claim(message)):
                transport = self._transport
                descriptor = self._descriptor
                if (
                    descriptor is not None
                    and not transport.is_closing()
                    and not transport.get_write_buffer_size()
                ):
                    frame = message.frame or frame_of(message)
                    try:
                        sent = _write(descriptor, frame)
                    except OSError:
                        sent = 0  # the kernel has no room, or the client is gone: the transport will find out
                    if sent < len(frame):
                        transport.write(frame[sent:])
                    return
        elif self.told and not self._careful:
            entries = self.entries
            entries.append(message)
            self._bytes += len(message.data)
            if len(entries) < self._lagging_messages and self._bytes < self._lagging_bytes:
                return
            self._be_careful()
            return
        super().offer(message)

    def write(self) -> None:
        """Hand over what waits, as far as the client's own transport has room."""
        frames = self.all_frames()
        if frames is not None and not self._stopped and self._write_at_once(frames):
            self.clear()
            self._idle = True
        else:
            self._write_bit_by_bit()

    @property
    def gone(self) -> None:
        return None

    @property
    def idle(self) -> bool:
        return self._stopped or self._transport.is_closing() or not self.entries

    def stop(self) -> None:
        self._stopped = True
        self._idle = False

    def _write_at_once(self, frames: bytes) -> bool:
        """Send them where nothing waits before them; False where something does, or all is over.

        They go to the kernel past the event loop, whose queue of writes costs as much as all the rest.
        """
        transport = self._transport
        if transport.is_closing() or transport.get_write_buffer_size():
            return False
        if self._descriptor is None:
            transport.write(frames)
            return True
        try:
            sent = _write(self._descriptor, frames)
        except OSError:
            return False  # the kernel has no room, or the client is gone, which the transport will find out
        if sent < len(frames):
            transport.write(frames[sent:])
        return True

    def _write_bit_by_bit(self) -> None:
        transport = self._transport
        while self.entries:
            if self._stopped or transport.is_closing():
                return
            if self._full:  # the transport will say when to go on
                if self.stuck_since_s is None:
                    self.stuck_since_s = self._clock.monotonic()
                return
            transport.write(self.take_frames())
        self.told = False
        if not self._full:
            self.begin_again()
            self._idle = not (self.entries or self._stopped)

    @property
    def _full(self) -> bool:
        return self._transport.get_write_buffer_size() > BUFFERED_BYTES_MAX

    def _crowded(self) -> None:
        self.write()

    def _wake(self) -> None:
        self._idle = False
        self._flusher.add(self)

    def _go_on(self) -> None:
        self.stuck_since_s = None
        self._flusher.add(self)
