"""Uvicorn's HTTP protocol with bounds on what a stranger may send before anybody has looked at it.

As it comes it gathers the head of a request in memory for as long as the client goes on sending, and waits
for one that never ends.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_BYTES_MAX: Final = 16 * 1024
ADDRESS_BYTES_MAX: Final = 4 * 1024
HEAD_DEADLINE_S: Final = 10.0
_SEPARATORS: Final = 4
"""Bytes of a header's line beside its name and value."""


class _TooLarge(Exception):
    """Ends the reading of a request; the parser hands it on as an error of its own."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """Refuses an address of more than 4 KiB with 414, a head (or what follows a body in chunks) of more than
    16 KiB with 431, and closes a connection on which a head is not whole within ten seconds."""

    _size = 0
    _silent = 0
    """How much came since the parser last told something: it gathers a value until that is whole."""
    _told = False
    _head_is_open = False
    _status = 400
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless too much came already."""
        if self.transport.is_closing():
            return
        self._told = False
        super().data_received(data)
        if self._head_is_open and self._deadline is None:
            self._await_head()  # most heads come whole, and then nothing has to be waited for
        self._silent = 0 if self._told else self._silent + len(data)
        if self._silent > HEAD_BYTES_MAX and not self.transport.is_closing():
            self._status = 431
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._told, self._size, self._head_is_open = True, 0, True

    def on_url(self, url: bytes) -> None:
        """A part of the address."""
        self._told = True
        self._size += len(url)
        if self._size > ADDRESS_BYTES_MAX:
            self._status = 414
            raise _TooLarge
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header is whole, at the head or after a body in chunks."""
        self._told = True
        self._size += len(name) + len(value) + _SEPARATORS
        if self._size > HEAD_BYTES_MAX:
            self._status = 431
            raise _TooLarge
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._told, self._head_is_open = True, False
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body, whose size and deadline the application looks at."""
        self._told = True
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Refuse what can't be read, or is too large to be."""
        if self.transport.is_closing():
            return
        if self._status == 400:
            super().send_400_response(msg)
            return
        head = b"content-length: 0\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[self._status] + head)
        self.transport.close()

    def _await_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_DEADLINE_S, self._head_is_late)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _head_is_late(self) -> None:
        self._deadline = None
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._await_head()  # an answer is still under way, and nothing more is read until it is sent
        elif not self.transport.is_closing():
            self.transport.close()
