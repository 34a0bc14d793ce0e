"""Who sent a request, as far as its connection tells."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from quart import request
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from tradewright.runtime.logging import request_id_var
from tradewright.services.auth import visits
from tradewright.services.auth.visits import Visit

AsgiApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
"""Scope, receive and send, whose types each server and framework spells in its own way."""

DEVICE_COOKIE: Final = "tw_device"
_SIGNS_OF_A_PROXY: Final = (
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Server",
    "X-Real-IP",
    "X-Client-IP",
    "CF-Connecting-IP",
    "Via",
)


def from_this_machine() -> bool:
    """Whether the peer is on this machine, and speaks for itself: a proxy here speaks for others."""
    try:
        peer = ipaddress.ip_address(request.remote_addr or "")
    except ValueError:
        return False
    return peer.is_loopback and not any(name in request.headers for name in _SIGNS_OF_A_PROXY)


def visit() -> Visit:
    """Where the request comes from. A forwarded address counts only where a trusted proxy said it:
    ``ForwardedPeers`` has looked at that before."""
    return Visit(
        address=request.remote_addr or "",
        agent=request.headers.get("User-Agent", ""),
        request_id=request_id_var.get() or "",
        local=from_this_machine(),
        device=request.cookies.get(DEVICE_COOKIE),
    )


def address_of(scope: Any) -> str:
    """The address that a request or socket comes from, by its ASGI scope; empty where it has none."""
    client: Sequence[Any] | None = scope.get("client")
    return str(client[0]) if client else ""


def network_of(scope: Any) -> str:
    """What the limits count it under: the address, of IPv6 its first 64 bits."""
    return visits.network_of(address_of(scope))


class ForwardedPeers:
    """An ASGI application in front of another: where one of the ``trusted`` proxies hands a request or a
    socket on, the other sees who made it and over which scheme.

    Of ``X-Forwarded-For`` the last address counts that is no trusted proxy's: what stands before it, whoever
    asks may have written. What is no address is not believed, nor is anything from anybody else.
    """

    _PEER: Final = "tradewright.peer"

    def __init__(self, app: AsgiApp, trusted: Sequence[str]) -> None:
        self._app = app
        self._read: AsgiApp = ProxyHeadersMiddleware(self._hand_on, list(trusted))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        if client and (address := _address(client[0])) is not None and address.version == 6:
            mapped = address.ipv4_mapped
            # A server that listens for both versions sees a proxy of version 4 so.
            client = (str(mapped), client[1]) if mapped is not None else client
        scope = {**scope, "client": client, self._PEER: client}
        await self._read(scope, receive, send)

    async def _hand_on(self, scope: Any, receive: Any, send: Any) -> None:
        peer = scope.pop(self._PEER)
        if _address(address_of(scope)) is None:
            scope["client"] = peer
        await self._app(scope, receive, send)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
