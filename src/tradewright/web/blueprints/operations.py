"""``/healthz``, ``/readyz`` and ``/metrics``: what a supervisor of the process asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from quart import Blueprint, Response
from quart_schema import document_response, hide, tag

from tradewright.domain.errors import NotAllowed
from tradewright.runtime.metrics import CONTENT_TYPE, Metrics
from tradewright.web.answers import json_response
from tradewright.web.models import DependencyState, Health, Readiness
from tradewright.web.peers import from_this_machine


async def is_at_the_server() -> bool:
    """Whether the request comes from this machine."""
    return from_this_machine()


def build(
    version: str,
    dependencies: Callable[[], Awaitable[Sequence[DependencyState]]],
    metrics: Metrics | None = None,
    *,
    metrics_for_all: bool = False,
    is_insider: Callable[[], Awaitable[bool]] = is_at_the_server,
) -> Blueprint:
    """The routes; ``dependencies`` looks at each of them now. The version, and what is wrong in words, are
    told where the request ``is_insider``. ``/metrics`` is there where ``metrics`` is, for this machine alone
    unless ``metrics_for_all``."""
    blueprint = Blueprint("operations", __name__)

    @blueprint.get("/healthz")
    @tag(["operations"])
    @document_response(Health)
    async def healthz() -> Response:
        """The process is alive and its event loop turns."""
        return json_response(Health(status="ok", version=version if await is_insider() else msgspec.UNSET))

    @blueprint.get("/readyz")
    @tag(["operations"])
    @document_response(Readiness)
    @document_response(Readiness, 503)
    async def readyz() -> Response:
        """Whether the server can serve, with the state of each dependency."""
        found = list(await dependencies())
        ready = all(state.ok or not state.required for state in found)
        if not await is_insider():
            found = [msgspec.structs.replace(state, detail="") for state in found]
        return json_response(Readiness(ready=ready, dependencies=found), 200 if ready else 503)

    if metrics is not None:
        _add_metrics(blueprint, metrics, for_all=metrics_for_all)
    return blueprint


def _add_metrics(blueprint: Blueprint, metrics: Metrics, *, for_all: bool) -> None:
    @blueprint.get("/metrics")
    @hide
    async def tell_metrics() -> Response:
        """What the process counts and measures, in the text format of Prometheus."""
        if not for_all and not from_this_machine():
            raise NotAllowed("The metrics are for programs on the server's own machine.")
        return Response(metrics.render(), content_type=CONTENT_TYPE)
