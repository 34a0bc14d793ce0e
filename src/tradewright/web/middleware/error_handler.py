"""The one place where an error becomes an answer: RFC 9457 problem documents with stable codes."""

from __future__ import annotations

import logging
import math
from typing import Final

import msgspec
from quart import Quart, Response, render_template, request
from werkzeug.exceptions import HTTPException

from tradewright.domain import errors
from tradewright.runtime.logging import request_id_var
from tradewright.web.models import ProblemDocument

_log = logging.getLogger(__name__)

STATUS: Final[dict[type[errors.TradewrightError], int]] = {
    errors.MalformedInput: 400,
    errors.InvalidInput: 422,
    errors.LoginRequired: 401,
    errors.NotAllowed: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.TooManySubscriptions: 409,
    errors.LimitExceeded: 429,
    errors.PluginFeatureNotSupportedError: 501,
    errors.TimeoutPluginError: 504,
    errors.NetworkPluginError: 503,
    errors.RateLimitPluginError: 503,
    errors.DataSourceError: 502,
    errors.StorageUnavailable: 503,
}
"""HTTP status by kind of error; the most special kind of an error's ancestry counts."""

TITLES: Final = {
    400: "The request could not be read",
    401: "Login required",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    415: "Not the right kind of content",
    422: "A value is not allowed",
    429: "Too many requests",
    500: "Internal error",
    501: "Not supported by the provider",
    502: "The provider failed",
    503: "Unavailable",
    504: "The provider did not answer in time",
}
_HTTP_CODES: Final = {
    400: "malformed",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
}

_HTTP_DETAILS: Final = {
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
    413: "What was sent is larger than this server takes.",
}


def status_of(error: errors.TradewrightError) -> int:
    """The HTTP status of one of our errors."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def install_error_handler(app: Quart) -> None:
    """Make every error of a request end here."""
    app.register_error_handler(Exception, handle_error)


async def handle_error(error: Exception) -> Response:
    """The answer to whatever went wrong. What is our own fault says nothing but an id, and is logged."""
    if isinstance(error, errors.TradewrightError):
        status = status_of(error)
        if status < 500 or isinstance(error, errors.DataSourceError | errors.StorageUnavailable):
            return await _answer(
                status,
                error.code,
                error.message,
                fields=getattr(error, "fields", None),
                retry_after_s=getattr(error, "retry_after_s", None),
            )
    if isinstance(error, HTTPException) and error.code is not None and error.code < 500:
        code = _HTTP_CODES.get(error.code, "http_error")
        detail = _HTTP_DETAILS.get(error.code) or str(error.description or error.name)
        response = await _answer(error.code, code, detail)
        for name, value in error.get_headers():
            if name.lower() in ("allow", "location"):
                response.headers[name] = value
        if error.response is not None and "Location" in error.response.headers:
            response.headers["Location"] = error.response.headers["Location"]
        return response
    _log.error("%s %s failed", request.method, request.path, exc_info=error)
    return await _answer(500, "internal_error", "Something went wrong here. The log knows it by this id.")


async def _answer(
    status: int,
    code: str,
    detail: str,
    *,
    fields: dict[str, str] | None = None,
    retry_after_s: float | None = None,
) -> Response:
    title = TITLES.get(status, "Error")
    problem = ProblemDocument(
        type="about:blank",
        title=title,
        status=status,
        detail=detail,
        code=code,
        request_id=request_id_var.get() or "",
        errors=fields or msgspec.UNSET,
    )
    if _wants_a_page():
        page = await render_template("error.html", problem=problem)
        response = Response(page, status=status, content_type="text/html; charset=utf-8")
    else:
        response = Response(
            msgspec.json.encode(problem), status=status, content_type="application/problem+json"
        )
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
    return response


def _wants_a_page() -> bool:
    if request.path.startswith(("/api/", "/healthz", "/readyz", "/metrics")):
        return False
    return request.accept_mimetypes.best_match(("application/json", "text/html")) == "text/html"
