"""The two cookies of accounts, and what a request must show before one of them counts.

``tw_refresh`` renews a session, ``tw_device`` tells that somebody has logged in from this browser before.
Neither is ever read by a script, nor sent with a request from another site.
"""

from __future__ import annotations

from typing import Final

from quart import Response, request
from quart.typing import ResponseTypes

from tradewright.services.auth.devices import LIFETIME_S as DEVICE_LIFETIME_S
from tradewright.services.auth.sessions import IDLE_MS
from tradewright.web.middleware.guards import ForeignOrigin, is_loopback_host
from tradewright.web.peers import DEVICE_COOKIE

REFRESH_COOKIE: Final = "tw_refresh"
COOKIE_PATH: Final = "/api/v1/auth"
OWN_HEADER: Final = "X-Requested-With"
OWN_VALUE: Final = "tradewright"
_LENGTH_MAX: Final = 128


def refresh_cookie() -> str | None:
    """The refresh token of the browser. ``ForeignOrigin`` where it is there but the request does not show
    that one of our own pages sent it."""
    token = request.cookies.get(REFRESH_COOKIE)
    if not token or len(token) > _LENGTH_MAX:
        return None
    # Whose Origin it is was looked at before; a form or a link of another site can't set the header.
    if request.headers.get(OWN_HEADER) != OWN_VALUE:
        raise ForeignOrigin(f"A request with this cookie must say `{OWN_HEADER}: {OWN_VALUE}`.")
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        raise ForeignOrigin("A page of another origin may not change anything here.")
    return token


def set_refresh_cookie(response: Response, token: str) -> None:
    """Give the browser its next refresh token."""
    _set(response, REFRESH_COOKIE, token, IDLE_MS // 1000)


def set_device_cookie(response: Response, text: str) -> None:
    """Let the browser be known again."""
    _set(response, DEVICE_COOKIE, text, DEVICE_LIFETIME_S)


def clear_refresh_cookie(response: ResponseTypes) -> None:
    """Take it away."""
    _set(response, REFRESH_COOKIE, "", 0)


def _set(response: ResponseTypes, name: str, value: str, max_age_s: int) -> None:
    response.set_cookie(
        name,
        value,
        max_age=max_age_s,
        path=COOKIE_PATH,
        # Without TLS a browser would not take a secure cookie; that is for one's own machine alone.
        secure=request.scheme != "http" or not is_loopback_host(request.host),
        httponly=True,
        samesite="Strict",
    )
