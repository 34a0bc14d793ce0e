"""``/healthz`` and ``/readyz``: what a supervisor of the process asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from quart import Blueprint, Response
from quart_schema import document_response, tag

from tradewright.web.models import DependencyState, Health, Readiness


def build(version: str, dependencies: Callable[[], Awaitable[Sequence[DependencyState]]]) -> Blueprint:
    """The routes; ``dependencies`` looks at each of them now."""
    blueprint = Blueprint("operations", __name__)

    @blueprint.get("/healthz")
    @tag(["operations"])
    @document_response(Health)
    async def healthz() -> Response:
        """The process is alive and its event loop turns."""
        return _json(Health(status="ok", version=version))

    @blueprint.get("/readyz")
    @tag(["operations"])
    @document_response(Readiness)
    @document_response(Readiness, 503)
    async def readyz() -> Response:
        """Whether the server can serve, with the state of each dependency."""
        found = list(await dependencies())
        ready = all(state.ok for state in found)
        return _json(Readiness(ready=ready, dependencies=found), 200 if ready else 503)

    return blueprint


def _json(body: msgspec.Struct, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status=status, content_type="application/json")
