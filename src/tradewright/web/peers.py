"""Who sent a request, as far as its connection tells."""

from __future__ import annotations

import ipaddress
from typing import Final

from quart import request

from tradewright.runtime.logging import request_id_var
from tradewright.services.auth.visits import Visit

DEVICE_COOKIE: Final = "tw_device"
_SIGNS_OF_A_PROXY: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


def from_this_machine() -> bool:
    """Whether the peer is on this machine, and speaks for itself: a proxy here speaks for others."""
    try:
        peer = ipaddress.ip_address(request.remote_addr or "")
    except ValueError:
        return False
    return peer.is_loopback and not any(name in request.headers for name in _SIGNS_OF_A_PROXY)


def visit() -> Visit:
    """Where the request comes from. A forwarded address counts only where a trusted proxy said it, which
    the server has looked at before us."""
    return Visit(
        address=request.remote_addr or "",
        agent=request.headers.get("User-Agent", ""),
        request_id=request_id_var.get() or "",
        local=from_this_machine(),
        device=request.cookies.get(DEVICE_COOKIE),
    )
