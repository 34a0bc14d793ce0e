"""``/api/v1/ws``: the handshake, and the socket as ASGI has it.

It stands in front of Quart, whose contexts, queues and tasks for each socket would cost more memory and time
than all that a viewer needs otherwise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

from werkzeug.datastructures import Headers

from tradewright.domain.errors import LimitExceeded
from tradewright.web.peers import network_of
from tradewright.web.protocol import SUBPROTOCOL, CloseCode
from tradewright.web.ws.connections import WebSocketConnections
from tradewright.web.ws.transport import expel_of, frames_of

PATH: Final = "/api/v1/ws"
_BEARER: Final = "bearer."

AsgiApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
"""Scope, receive and send, whose types each server and framework spells in its own way."""


class ClientGone(OSError):
    """There is nobody at the other end any more."""


class AsgiSocket:
    """A socket that has been accepted, as a connection uses it."""

    __slots__ = ("_expel", "_farewell", "_receive", "_send", "frames", "over")

    def __init__(self, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        self._receive = receive
        self._send = send
        self._expel = expel_of(scope)
        self._farewell: tuple[int, str] | None = None
        """What a client was to be told when it was expelled, where the server can only close it."""
        self.frames = frames_of(scope)
        self.over = False
        """Whether it is closed already, from whichever side."""

    async def receive(self) -> str | bytes:
        """The next message; ``ClientGone`` where none will come."""
        while True:
            event = await self._receive()
            if event["type"] == "websocket.receive":
                text: str | None = event.get("text")
                return text if text is not None else bytes(event["bytes"])
            if event["type"] == "websocket.disconnect":
                self.over = True
                raise ClientGone

    def send(self, text: str) -> Awaitable[None]:
        """To be awaited until the message is under way; ``OSError`` where the client is gone."""
        send = self._send  # called by way of its owner it would be looked for as a method, which takes longer
        sending: Awaitable[None] = send({"type": "websocket.send", "text": text})
        return sending

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye, once. Who was expelled is told why as soon as it takes it."""
        if not self.over:
            self.over = True
            code, reason = self._farewell or (code, reason)
            with suppress(OSError):
                await self._send({"type": "websocket.close", "code": code, "reason": reason})

    def expel(self, code: int, reason: str) -> None:
        """Close without waiting for a client that takes nothing, where the server can."""
        if self._expel is None:
            self._farewell = (code, reason)
        else:
            self.over = True
            self._expel(code, reason)


class LiveSockets:
    """An ASGI application in front of another: serves the socket, hands on everything else.

    ``admits`` tells by the headers and the scheme whether a page or program may open a socket here.
    """

    def __init__(
        self, app: AsgiApp, connections: WebSocketConnections, *, admits: Callable[[Headers, str], bool]
    ) -> None:
        self._app = app
        self._connections = connections
        self._admits = admits

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        address = network_of(scope) or "unknown"
        refusal = self._refusal(scope, address)
        if refusal is not None:
            await _refuse(scope, send, *refusal)
            return
        offered: Sequence[str] = scope.get("subprotocols") or ()
        chosen = SUBPROTOCOL if SUBPROTOCOL in offered else None
        await send({"type": "websocket.accept", "subprotocol": chosen, "headers": []})
        socket = AsgiSocket(scope, receive, send)
        try:
            await self._connections.serve(socket, address, _token(offered))
        except LimitExceeded as error:
            await socket.close(CloseCode.POLICY, error.message)
        await socket.close(CloseCode.NORMAL, "")

    def _refusal(self, scope: Any, address: str) -> tuple[int, str, int | None] | None:
        """Status, sentence and seconds to wait, where the handshake is not to be made."""
        headers = Headers(
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        )
        if not self._admits(headers, scope.get("scheme", "ws")):
            return 403, "This origin may not open a socket here.", None
        if self._connections.draining:
            return 503, "The server is going away.", 1
        if scope.get("query_string"):
            # What stands in an address is logged and remembered by others; no token is ever read from there.
            return 400, "The socket takes no query.", None
        try:
            self._connections.check_address(address)
        except LimitExceeded as error:
            return 429, error.message, 5
        try:
            self._connections.check_rate()
        except LimitExceeded as error:
            return 503, error.message, 1
        return None


async def _refuse(scope: Any, send: Any, status: int, sentence: str, retry_after_s: int | None) -> None:
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": CloseCode.POLICY})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    if retry_after_s is not None:
        headers.append((b"retry-after", str(retry_after_s).encode()))
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": f"{sentence}\n".encode(), "more_body": False})


def _token(offered: Sequence[str]) -> str | None:
    """A token may come as a second subprotocol, which is never chosen."""
    return next((name.removeprefix(_BEARER) for name in offered if name.startswith(_BEARER)), None)
