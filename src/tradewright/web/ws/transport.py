"""Uvicorn's websocket protocol, with what ASGI does not know.

Frames that were prepared once for many clients go straight to each client's transport. A client that takes
nothing can be closed; ASGI's ``send`` waits for the client, and so would a close. A peer that is half open is
cut off in time, since a transport closes only when all it was given is sent. Text that is not UTF-8 is the
client's fault and no error of ours: it ends the socket without a trace in the log.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any, Final, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from tradewright.web.protocol import CloseCode
from tradewright.web.ws.writing import BUFFERED_BYTES_MAX

_log = logging.getLogger(__name__)

EXPEL_EXTENSION: Final = "tradewright.expel"
FRAMES_EXTENSION: Final = "tradewright.frames"
_UNSENT_BYTES_MAX: Final = 128 * 1024
_TCP_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", None)


class TransportFrames:
    """Whole frames straight to a client's transport, which takes them in order with what uvicorn sends.

    Uvicorn, too, writes whole frames, at once and never fragments, so that ours never stand within one.
    """

    __slots__ = ("_is_closing", "_protocol", "buffered", "write")

    def __init__(self, protocol: LiveSocketProtocol) -> None:
        transport = protocol.transport
        transport.set_write_buffer_limits(high=BUFFERED_BYTES_MAX)
        self._protocol = protocol
        self._is_closing = transport.is_closing
        # The transport's own methods: a call for each message and client would be felt.
        self.buffered: Callable[[], int] = transport.get_write_buffer_size
        self.write: Callable[[bytes], None] = transport.write

    def closed(self) -> bool:
        """Whether a close frame was sent, or the transport is closing."""
        return self._protocol.close_sent or self._is_closing()

    def watch_room(self, on_room: Callable[[], None]) -> None:
        """Call this when the transport has room again."""
        self._protocol.on_room = on_room


class LiveSocketProtocol(WebSocketsSansIOProtocol):
    """Offers ``expel`` and frames to the application, as extensions of the connection's scope."""

    expel_grace_s = 4.0
    takes_frames = True
    on_room: Callable[[], None] | None = None

    async def run_asgi(self) -> None:
        extensions = cast("dict[str, Any]", self.scope.setdefault("extensions", {}))
        extensions[EXPEL_EXTENSION] = self.expel
        if self.takes_frames:
            extensions[FRAMES_EXTENSION] = TransportFrames(self)
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
        """As uvicorn does; a client that does not answer our close is cut off."""
        await super().send(message)
        if message["type"] == "websocket.close" and self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(self.expel_grace_s, self.transport.abort)

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
        self.close_timer = self.loop.call_later(self.expel_grace_s, self.transport.abort)
