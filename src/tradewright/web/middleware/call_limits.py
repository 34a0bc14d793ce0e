"""No request without a limit: each is counted for its address, and for its user where it has one."""

from __future__ import annotations

from typing import Final

from quart import Quart, g, request

from tradewright.domain.people import Caller
from tradewright.services.call_limits import CallLimits, RouteClass
from tradewright.web.middleware.authentication import cost_of
from tradewright.web.peers import network_of

_OPERATIONS: Final = frozenset({"/healthz", "/readyz", "/metrics"})


def route_class() -> RouteClass:
    """What kind of address the request asks for."""
    if request.path.startswith("/api/"):
        return "api"
    return "operations" if request.path in _OPERATIONS else "pages"


def _cost(app: Quart) -> int:
    return cost_of(app.view_functions.get(request.endpoint or ""))


def install_address_limits(app: Quart, limits: CallLimits) -> None:
    """Count every request for its address, before anybody looks at its token."""

    @app.before_request
    async def count_for_address() -> None:
        await limits.take_for_address(route_class(), network_of(request.scope), _cost(app))


def install_user_limits(app: Quart, limits: CallLimits) -> None:
    """Count every request whose user is known by now."""

    @app.before_request
    async def count_for_user() -> None:
        found: Caller | None = g.get("caller")
        if found is not None:
            await limits.take_for_user(found.user_id, _cost(app))
