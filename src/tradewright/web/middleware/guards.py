"""Who may talk to the server: host names that are its own, and pages of its own origin."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from quart import Quart, request
from werkzeug.datastructures import Headers

from tradewright.config import BaseConfig
from tradewright.domain.errors import NotAllowed
from tradewright.web.middleware.finishing import READING

_LOOPBACK_NAMES: Final = frozenset({"localhost", "ip6-localhost"})


class ForeignOrigin(NotAllowed):
    """A page of another origin may not change anything here."""

    code = "origin_not_allowed"


class ForeignHost(NotAllowed):
    """The request names a host that this server does not go by."""

    code = "host_not_allowed"


def host_check(config: BaseConfig) -> Callable[[str], bool]:
    """Tells whether a ``Host`` header names this server.

    A page elsewhere can point a name of its own at this machine (DNS rebinding); its requests then
    carry that name. On loopback only loopback names are ours, besides the public URL's.
    """
    public = urlsplit(config.public_url).hostname if config.public_url else None

    def allowed(host: str) -> bool:
        name = urlsplit(f"//{host}").hostname or ""
        if name == public or _is_loopback(name):
            return True
        return public is None and not config.listens_on_loopback

    return allowed


def is_loopback_host(host: str) -> bool:
    """Whether a ``Host`` header names this machine as only itself can."""
    try:
        return _is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _is_loopback(name: str) -> bool:
    if name in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def origin_allowed(headers: Headers, scheme: str, public_url: str | None) -> bool:
    """Whether a socket may be opened, or something changed, from there: from our own pages, or by a program
    without origin.

    ``scheme`` is that of the socket or the request: behind a proxy that ends TLS, what a trusted one says.
    """
    origin = headers.get("Origin")
    if origin is None:
        return True
    page_scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    own = [f"{page_scheme}://{headers.get('Host', '')}"]
    if public_url:
        own.append(public_url.rstrip("/"))
    return origin in own


def socket_check(config: BaseConfig) -> Callable[[Headers, str], bool]:
    """Tells by the headers and the scheme whether a socket may be opened."""
    allowed = host_check(config)

    def admits(headers: Headers, scheme: str) -> bool:
        try:
            return allowed(headers.get("Host", "")) and origin_allowed(headers, scheme, config.public_url)
        except ValueError:
            return False

    return admits


def install_guards(app: Quart, config: BaseConfig) -> None:
    """Refuse foreign hosts everywhere, and foreign origins where something would change, before anything else
    happens. Sockets do not come here: ``LiveSockets`` stands in front, and asks ``socket_check``."""
    allowed = host_check(config)

    @app.before_request
    async def check_host() -> None:
        try:
            known = allowed(request.host)
        except ValueError:
            known = False
        if not known:
            raise ForeignHost(
                "This server does not go by that host name; TRADEWRIGHT_PUBLIC_URL tells it another one."
            )

    @app.before_request
    async def check_origin() -> None:
        if request.method in READING:
            return
        cross_site = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
        if cross_site or not origin_allowed(request.headers, request.scheme, config.public_url):
            raise ForeignOrigin("A page of another origin may not change anything here.")
