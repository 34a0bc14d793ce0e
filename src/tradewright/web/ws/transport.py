"""Uvicorn's websocket protocol, with what ASGI does not know.

Frames that were prepared once for many clients go straight to each client's transport. A client that takes
nothing can be closed; ASGI's ``send`` waits for the client, and so would a close. A peer that is half open is
cut off in time, since a transport closes only when all it was given is sent. Text that is not UTF-8 is the
client's fault and no error of ours: it ends the socket without a trace in the log.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from tradewright.web.protocol import CloseCode
from tradewright.web.ws.writing import BUFFERED_BYTES_MAX, FrameSocket

_log = logging.getLogger(__name__)

EXPEL_EXTENSION: Final = "tradewright.expel"
FRAMES_EXTENSION: Final = "tradewright.frames"
Expel: TypeAlias = Callable[[int, str], None]
_UNSENT_BYTES_MAX: Final = 128 * 1024
_TCP_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", None)


def expel_of(scope: Mapping[str, object]) -> Expel | None:
    """The way to close the socket of this scope without its client, where the server offers one."""
    expel: Expel | None = cast("dict[str, Any]", scope.get("extensions") or {}).get(EXPEL_EXTENSION)
    return expel


def frames_of(scope: Mapping[str, object]) -> FrameSocket | None:
    """What takes frames for the socket of this scope, where the server offers it."""
    frames: FrameSocket | None = cast("dict[str, Any]", scope.get("extensions") or {}).get(FRAMES_EXTENSION)
    return frames


class TransportFrames:
    """Whole frames straight to a client, in order with what uvicorn sends.

    Uvicorn, too, writes whole frames, at once and never fragments, so that ours never stand within one. Where
    nothing waits in the transport and there is no TLS, they go to the kernel without a way through it.
    """

    __slots__ = ("_buffered", "_descriptor", "_is_closing", "_protocol", "_transport", "closing")

    def __init__(self, protocol: LiveSocketProtocol) -> None:
        transport = protocol.transport
        transport.set_write_buffer_limits(high=BUFFERED_BYTES_MAX)
        self._protocol = protocol
        self._transport = transport
        self._is_closing = transport.is_closing
        connected = transport.get_extra_info("socket")
        plain = connected is not None and transport.get_extra_info("sslcontext") is None
        self._descriptor: int | None = connected.fileno() if plain else None
        self._buffered = transport.get_write_buffer_size
        self.closing = False
        """Set once a close frame is under way. All else that uvicorn does after one closes the transport."""

    def closed(self) -> bool:
        """Whether a close frame was sent, or the transport is closing."""
        return self.closing or self._is_closing()

    def full(self) -> bool:
        """Whether too much waits in this client's transport, which then has paused its protocol."""
        return self._buffered() > BUFFERED_BYTES_MAX

    def write_at_once(self, frames: bytes) -> bool:
        """Send them where nothing waits before them; False where something does, or all is over."""
        # The descriptor is another's only after the transport has begun to close.
        if self.closing or self._is_closing() or self._buffered():
            return False
        if self._descriptor is None:
            self._transport.write(frames)
            return True
        try:
            sent = os.write(self._descriptor, frames)
        except OSError:
            return False  # the kernel has no room, or the client is gone, which the transport will find out
        if sent < len(frames):
            self._transport.write(frames[sent:])
        return True

    def write(self, frames: bytes) -> None:
        """Send them, or let them wait in the transport."""
        if not self.write_at_once(frames):
            self._transport.write(frames)

    def watch_room(self, on_room: Callable[[], None]) -> None:
        """Call this when the transport has room again."""
        self._protocol.on_room = on_room


class LiveSocketProtocol(WebSocketsSansIOProtocol):
    """Offers ``expel`` and frames to the application, as extensions of the connection's scope."""

    expel_grace_s = 4.0
    takes_frames = True
    on_room: Callable[[], None] | None = None
    frames_out: TransportFrames | None = None

    async def run_asgi(self) -> None:
        extensions = cast("dict[str, Any]", self.scope.setdefault("extensions", {}))
        extensions[EXPEL_EXTENSION] = self.expel
        if self.takes_frames:
            extensions[FRAMES_EXTENSION] = self.frames_out = TransportFrames(self)
        self._bound_unsent()
        await super().run_asgi()
        self.on_room = None

    def _bound_unsent(self) -> None:
        """Let the kernel keep little of what a client does not take, so that it is known in time."""
        connected = self.transport.get_extra_info("socket")
        if connected is not None and _TCP_NOTSENT_LOWAT is not None and connected.family != socket.AF_UNIX:
            connected.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _UNSENT_BYTES_MAX)

    def resume_writing(self) -> None:
        """The transport has room again."""
        super().resume_writing()
        if self.on_room is not None:
            self.on_room()

    def keepalive_timeout(self) -> None:
        """The peer has not answered a ping: say so, and don't wait until it takes it."""
        self.expel(CloseCode.NO_PONG, "no pong")

    async def send(self, message: ASGISendEvent) -> None:
        """As uvicorn does; a client that does not answer our close is cut off, and a refusal is no error."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True
        elif message["type"] == "websocket.accept":
            del self.request, self.response  # a viewer may stay for days, and nobody asks for them again
        elif message["type"] == "websocket.close" and self.close_timer is not None:
            self._let_no_frames_follow()
            self._cut_off_later()

    def send_receive_event_to_app(self) -> None:
        """Hand a message on; text that is not UTF-8 closes the socket with 1007."""
        if self.curr_msg_data_type == "text" and not self.close_sent and not self._is_utf8():
            self.frames = []
            _log.debug("a client sent text that is not UTF-8")
            self.conn.send_close(CloseCode.INVALID_DATA, "text must be UTF-8")
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()

    def _is_utf8(self) -> bool:
        try:
            b"".join(self.frames).decode()
        except UnicodeDecodeError:
            return False
        return True

    def expel(self, code: int, reason: str) -> None:
        """Queue a close frame behind what the client has not read, and cut the connection a little later."""
        self.stop_keepalive()
        self._let_no_frames_follow()
        if not self.close_sent and not self.transport.is_closing():
            try:
                self.conn.send_close(code, reason)
            except InvalidState:
                pass
            else:
                self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
        self.disconnected = True  # what is still to be sent is refused
        # Let what waits in ``send`` go on: there is nothing to wait for any more.
        self.writable.set()
        self._cut_off_later()

    def _let_no_frames_follow(self) -> None:
        if self.frames_out is not None:
            self.frames_out.closing = True

    def _cut_off_later(self) -> None:
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(self.expel_grace_s, self.transport.abort)
