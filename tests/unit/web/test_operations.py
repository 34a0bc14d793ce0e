"""Who may read the metrics, and what readiness makes of a dependency that is not required."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families
from quart import Quart

from tradewright.config import TestingConfig
from tradewright.runtime.metrics import Metrics
from tradewright.web.blueprints import operations
from tradewright.web.middleware.error_handler import install_error_handler
from tradewright.web.middleware.headers import install_headers
from tradewright.web.models import DependencyState


def application(
    metrics: Metrics | None, states: Sequence[DependencyState] = (), *, metrics_for_all: bool = False
) -> Quart:
    """Return an application with these routes alone."""

    async def dependencies() -> Sequence[DependencyState]:
        return states

    app = Quart(__name__)
    install_headers(app, TestingConfig())
    install_error_handler(app)
    app.register_blueprint(operations.build("1", dependencies, metrics, metrics_for_all=metrics_for_all))
    return app


async def read(app: Quart, peer: str | None, **headers: str) -> tuple[int, str, str]:
    """Return status, content type and text of the metrics, asked for from an address."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {"client": (peer, 40_000) if peer else None}
    answer = await app.test_client().get("/metrics", headers=sent, scope_base=scope)
    return answer.status_code, answer.headers["Content-Type"], await answer.get_data(as_text=True)


async def test_prometheus_understands_what_is_told() -> None:
    metrics = Metrics()
    metrics.counter("made_up_things", "Things that are made up", ["kind"]).labels("odd").inc()
    metrics.gauge("made_up_level", "A level").set(3)
    metrics.histogram("made_up_seconds", "Times").observe(0.2)
    metrics.cache.took("get", 0.0004)
    status, content_type, text = await read(application(metrics), "127.0.0.1")
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {
        "tradewright_cache_hits",
        "tradewright_cache_misses",
        "tradewright_cache_errors",
        "tradewright_cache_seconds",
        "tradewright_cache_breaker_open",
        "tradewright_made_up_things",
        "tradewright_made_up_level",
        "tradewright_made_up_seconds",
        "process_resident_memory_bytes",
        "python_info",
    } <= set(families)
    assert all(family.documentation for family in families.values())


def test_two_measure_apart_and_no_name_is_taken_twice() -> None:
    one, other = Metrics(), Metrics()
    one.counter("things", "Things").inc()
    other.counter("things", "Things")
    assert b"tradewright_things_total 1.0" in one.render()
    assert b"tradewright_things_total 0.0" in other.render()
    with pytest.raises(ValueError, match="Duplicated"):
        one.counter("things", "Things")


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1"])
async def test_this_machine_may_read_them(peer: str) -> None:
    assert (await read(application(Metrics()), peer))[0] == 200


@pytest.mark.parametrize(
    "peer", ["10.0.0.1", "203.0.113.9", "::ffff:203.0.113.9", "fe80::1", "<local>", None]
)
async def test_others_may_not(peer: str | None) -> None:
    status, content_type, text = await read(application(Metrics()), peer, Accept="text/html")
    assert (status, content_type) == (403, "application/problem+json")
    assert '"code":"forbidden"' in text
    assert (await read(application(Metrics(), metrics_for_all=True), peer))[0] == 200


@pytest.mark.parametrize("header", ["X_Forwarded_For", "Forwarded", "X_Real_IP", "Via", "X_Forwarded_Host"])
async def test_a_proxy_on_this_machine_speaks_for_others(header: str) -> None:
    assert (await read(application(Metrics()), "127.0.0.1", **{header: "127.0.0.1"}))[0] == 403


async def test_without_metrics_there_is_nothing() -> None:
    assert (await read(application(None), "127.0.0.1"))[0] == 404


@pytest.mark.parametrize(
    ("required", "ok", "status"), [(True, True, 200), (True, False, 503), (False, False, 200)]
)
async def test_only_what_is_required_makes_the_server_unready(required: bool, ok: bool, status: int) -> None:
    states = [DependencyState(name="redis", ok=ok, required=required, detail="Redis can't be reached.")]
    here = {"client": ("127.0.0.1", 40_000)}
    answer = await application(None, states).test_client().get("/readyz", scope_base=here)
    assert answer.status_code == status
    body = await answer.get_json()
    assert body["ready"] is (status == 200)
    assert body["dependencies"][0] == {
        "name": "redis",
        "ok": ok,
        "required": required,
        "detail": "Redis can't be reached.",
    }


async def test_strangers_are_told_neither_the_version_nor_what_is_wrong() -> None:
    states = [DependencyState(name="bars", ok=False, detail="10.0.0.7 does not answer.")]
    client = application(None, states).test_client()
    there = {"client": ("203.0.113.9", 40_000)}
    assert await (await client.get("/healthz", scope_base=there)).get_json() == {"status": "ok"}
    answer = await client.get("/readyz", scope_base=there)
    assert answer.status_code == 503
    assert (await answer.get_json())["dependencies"] == [
        {"name": "bars", "ok": False, "required": True, "detail": ""}
    ]
    here = {"client": ("127.0.0.1", 40_000)}
    health = await (await client.get("/healthz", scope_base=here)).get_json()
    assert health == {"status": "ok", "version": "1"}
