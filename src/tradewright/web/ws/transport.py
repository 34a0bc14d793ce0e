"""Uvicorn's websocket protocol, with what ASGI does not know.

Frames that were prepared once for many clients go straight to each client's transport. A client that takes
nothing can be closed; ASGI's ``send`` waits for the client, and so would a close. A peer that is half open is
cut off in time, since a transport closes only when all it was given is sent. Text that is not UTF-8 is the
client's fault and no error of ours: it ends the socket without a trace in the log.
"""

from __future__ import annotations

import logging
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
    """Uvicorn's transport of one client for whole frames of ours.

    Uvicorn, too, writes whole frames, at once and never fragments, so that ours never stand within one. After
    a close frame it closes the transport at once, but where the close was ours.
    """

    __slots__ = ("_protocol", "descriptor", "transport")

    def __init__(self, protocol: LiveSocketProtocol) -> None:
        self._protocol = protocol
        self.transport = protocol.transport
        self.transport.set_write_buffer_limits(high=BUFFERED_BYTES_MAX)
        connected = self.transport.get_extra_info("socket")
        plain = connected is not None and self.transport.get_extra_info("sslcontext") is None
        self.descriptor: int | None = connected.fileno() if plain else None

    def watch(self, on_room: Callable[[], None], on_close: Callable[[], None]) -> None:
        """Call these when the transport has room again, and when a close frame is sent."""
        self._protocol.on_room, self._protocol.on_close = on_room, on_close


class LiveSocketProtocol(WebSocketsSansIOProtocol):
    """Offers ``expel`` and frames to the application, as extensions of the connection's scope."""

    expel_grace_s = 4.0
    takes_frames = True
    on_room: Callable[[], None] | None = None
    on_close: Callable[[], None] | None = None

    async def run_asgi(self) -> None:
        extensions = cast("dict[str, Any]", self.scope.setdefault("extensions", {}))
        extensions[EXPEL_EXTENSION] = self.expel
        if not self.transport.is_closing():  # else the client has left already
            if self.takes_frames:
                extensions[FRAMES_EXTENSION] = TransportFrames(self)
            self._bound_unsent()
        await super().run_asgi()
        self.on_room = self.on_close = None

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
        if self.on_close is not None:
            self.on_close()

    def _cut_off_later(self) -> None:
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(self.expel_grace_s, self.transport.abort)
