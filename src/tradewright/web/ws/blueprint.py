"""``/api/v1/ws``: the handshake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from quart import Blueprint, Response, Websocket, websocket

from tradewright.domain.errors import LimitExceeded
from tradewright.web.protocol import SUBPROTOCOL, CloseCode
from tradewright.web.ws.connections import WebSocketConnections
from tradewright.web.ws.transport import expel_of, frames_of
from tradewright.web.ws.writing import FrameSocket

_BEARER: Final = "bearer."


class QuartSocket:
    """Quart's websocket as a connection uses it."""

    def __init__(self, socket: Websocket) -> None:
        self._socket = socket

    async def receive(self) -> str | bytes:
        return await self._socket.receive()

    async def send(self, text: str) -> None:
        await self._socket.send(text)

    @property
    def frames(self) -> FrameSocket | None:
        return frames_of(self._socket.scope)

    async def close(self, code: int, reason: str) -> None:
        await self._socket.close(code, reason)

    def expel(self, code: int, reason: str) -> None:
        if (expel := expel_of(self._socket.scope)) is not None:
            expel(code, reason)


def build(connections: WebSocketConnections) -> Blueprint:
    """The blueprint with the socket. Whose pages may open one is for the guards in front of it."""
    blueprint = Blueprint("live", __name__, url_prefix="/api/v1")

    @blueprint.websocket("/ws")
    async def live() -> Response | None:
        if connections.draining:
            return Response("The server is going away.\n", status=503, headers={"Retry-After": "1"})
        if websocket.query_string:
            # What stands in an address is logged and remembered by others; no token is ever read from there.
            return Response("The socket takes no query.\n", status=400)
        address = websocket.remote_addr or "unknown"
        try:
            connections.check_address(address)
        except LimitExceeded as error:
            return Response(f"{error.message}\n", status=429, headers={"Retry-After": "5"})
        try:
            connections.check_rate()
        except LimitExceeded as error:
            return Response(f"{error.message}\n", status=503, headers={"Retry-After": "1"})
        offered = websocket.requested_subprotocols
        await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        try:
            await connections.serve(_socket(), address, _token(offered))
        except LimitExceeded as error:
            await websocket.close(CloseCode.POLICY, error.message)
        return None

    return blueprint


def _socket() -> QuartSocket:
    # The proxy is resolved once: it is looked up in the context at every use otherwise.
    return QuartSocket(cast(Websocket, cast(Any, websocket)._get_current_object()))


def _token(offered: Sequence[str]) -> str | None:
    """A token may come as a second subprotocol, which is never chosen."""
    return next((name.removeprefix(_BEARER) for name in offered if name.startswith(_BEARER)), None)
