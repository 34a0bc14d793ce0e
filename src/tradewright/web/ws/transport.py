"""Uvicorn's websocket protocol, with a way to close a socket whose client takes nothing.

ASGI knows no such thing: its ``send`` waits for the client, and so would a close. Text that is not UTF-8
is the client's fault and no error of ours: it ends the socket without a trace in the log.
"""

from __future__ import annotations

import logging
from typing import Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from tradewright.web.protocol import CloseCode

_log = logging.getLogger(__name__)

EXPEL_EXTENSION: Final = "tradewright.expel"


class LiveSocketProtocol(WebSocketsSansIOProtocol):
    """Offers ``expel`` to the application, as an extension of the connection's scope."""

    expel_grace_s = 4.0

    async def run_asgi(self) -> None:
        extensions = self.scope.setdefault("extensions", {})
        assert extensions is not None
        extensions[EXPEL_EXTENSION] = self.expel  # type: ignore[assignment]
        await super().run_asgi()

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
