"""Request ids and security headers, on every answer, errors and files included."""

from __future__ import annotations

from typing import Final

from quart import Quart, Response, request

from tradewright.config import BaseConfig
from tradewright.runtime.ids import new_id
from tradewright.runtime.logging import request_id_var

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "object-src 'none'",
        "require-trusted-types-for 'script'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Frame-Options": "DENY",
}
_ONE_YEAR: Final = "max-age=31536000; includeSubDomains"


def api_headers(config: BaseConfig) -> dict[str, str]:
    """The headers that every answer of the API has, but for its request id."""
    https = bool(config.public_url and config.public_url.startswith("https://"))
    transport = {"Strict-Transport-Security": _ONE_YEAR} if https else {}
    return {**HEADERS, **transport, "Cache-Control": "no-store"}


def install_headers(app: Quart, config: BaseConfig) -> None:
    """Give every request an id and every answer its headers."""
    missing = [(name.lower(), (name, value)) for name, value in api_headers(config).items()]

    @app.before_request
    async def name_request() -> None:
        request_id_var.set(new_id())

    @app.after_request
    async def add_headers(response: Response) -> Response:
        response.headers["X-Request-ID"] = request_id_var.get() or ""
        if request.path.startswith("/static/"):
            # Answered from the browser's cache only after asking: a new version is seen at once.
            response.headers["Cache-Control"] = "no-cache"
        present = {name.lower() for name, _ in response.headers}
        response.headers.extend([header for name, header in missing if name not in present])
        return response
