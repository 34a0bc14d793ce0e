"""Whom each route lets in, from the map of routes: a new one is looked at without anybody adding it here."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from quart import Response

from tests.support.account_client import AUTH, Client, person
from tests.support.accounts import CHEAP
from tests.support.applications import RunningApp, memory_stores, running_app
from tradewright.app import Adapters, create_app
from tradewright.app_extensions.people import GivenPeople
from tradewright.config import TestingConfig
from tradewright.services.auth.visits import Visit
from tradewright.storage.memory_user_configs import memory_people
from tradewright.testing.clock import DrivenClock
from tradewright.web.middleware.authentication import Policy, policy_of

NO_API = {"/api/docs", "/api/v1/openapi.json"}
"""The API's description, and the page that shows it."""


def adapters() -> Adapters:
    return Adapters(
        clock=DrivenClock(), stores=memory_stores(), people=GivenPeople(memory_people()), password_cost=CHEAP
    )


def routes(tmp_path: Path) -> Iterator[tuple[str, str, Policy | None]]:
    """Method, path and policy of every route of the API but its socket."""
    app = create_app(TestingConfig(data_dir=tmp_path), adapters())
    for rule in app.url_map.iter_rules():
        if rule.websocket or not rule.rule.startswith("/api/") or rule.rule in NO_API:
            continue
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            path = re.sub(r"<[^>]+>", "nobody-has-this-id", rule.rule)
            yield method, path, policy_of(app.view_functions[rule.endpoint])


def test_every_route_says_whom_it_is_for(tmp_path: Path) -> None:
    found = list(routes(tmp_path))
    assert len(found) > 30
    assert [(method, path) for method, path, policy in found if policy is None] == []
    open_ones = {(method, path) for method, path, policy in found if policy and policy.kind == "everybody"}
    coming_and_going = {("POST", f"{AUTH}/{name}") for name in ("register", "login", "refresh", "logout")}
    assert open_ones == {*coming_and_going, ("GET", f"{AUTH}/registration")}
    changing = {policy.kind for method, path, policy in found if method != "GET" and policy}
    assert "market" not in changing, "nothing changes without a login"


async def test_a_route_that_does_not_say_is_refused(tmp_path: Path) -> None:
    app = create_app(TestingConfig(data_dir=tmp_path), adapters())

    @app.get("/api/v1/forgotten")
    async def forgotten() -> Response:
        return Response(b"secret")

    async with app.test_app():
        client = Client(app)
        await client.register()
        await client.login()
        answer = await client.get("/api/v1/forgotten")
        assert (answer.status, answer.body["code"]) == (403, "forbidden")
        assert "secret" not in answer.text


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running_app(tmp_path, adapters(), require_login=True) as running:
        yield running


def refused(policy: Policy, who: str) -> int | None:
    """The status with which somebody is turned away before the handler; None where they are let in."""
    if policy.kind == "everybody":
        return None
    if who in ("nobody", "forged", "ended", "disabled"):
        return 401
    if policy.kind == "admin" and who in ("viewer", "trader", "reading program", "admin's program"):
        return 403
    if policy.kind == "person" and "program" in who:
        return 403
    if (
        policy.kind in ("scope", "newcomer")
        and policy.scope == "trade"
        and who in ("viewer", "reading program")
    ):
        return 403
    if policy.step_up and who == "long ago":
        return 403
    return None


async def test_who_may_call_what(app: RunningApp, tmp_path: Path) -> None:
    clients = {"admin": await person(app, "anna", "admin")}
    for role in ("viewer", "trader"):
        clients[role] = await person(app, role, role)
    clients["nobody"] = Client(app.app)
    clients["forged"] = Client(app.app, token="x.y.z")
    clients["disabled"] = await person(app, "dora", "admin")
    dora = await app.services.auth.find_user("dora")
    await app.services.auth.administration.set_disabled(dora.id, True, None, Visit())
    clients["ended"] = await person(app, "emil", "admin")
    await clients["ended"].post(f"{AUTH}/logout_all")
    for name, scopes in (("reading program", ["read"]), ("admin's program", ["read", "trade"])):
        made = await clients["admin"].post(f"{AUTH}/tokens", {"label": name, "scopes": scopes})
        clients[name] = Client(app.app, token=made.body["token"])
    wrong = []
    for method, path, policy in routes(tmp_path / "map"):
        assert policy is not None
        for who, client in clients.items():
            expected = refused(policy, who)
            if who in ("admin", "trader", "viewer") and expected is None and method != "GET":
                continue  # they may, and this is not about what happens then
            answer = await client.call(method, path)
            turned_away = answer.status if answer.status in (401, 403) else None
            if policy.kind != "everybody" and turned_away != expected:
                wrong.append((method, path, who, answer.status, expected))
    assert wrong == []


async def test_what_needs_a_proof_is_refused_when_it_is_old(app: RunningApp, tmp_path: Path) -> None:
    admin = await person(app, "anna", "admin")
    clock = app.services.auth._clock
    assert isinstance(clock, DrivenClock)
    await clock.advance(301)
    proving = [(m, path) for m, path, policy in routes(tmp_path / "map") if policy and policy.step_up]
    assert {("DELETE", f"{AUTH}/me"), ("POST", f"{AUTH}/password"), ("POST", f"{AUTH}/tokens")} <= set(
        proving
    )
    assert {path for _, path in proving} >= {
        f"{AUTH}/totp/enroll",
        f"{AUTH}/totp/confirm",
        f"{AUTH}/totp/disable",
    }
    for method, path in proving:
        answer = await admin.call(method, path)
        assert (answer.status, answer.body["code"]) == (403, "step_up_required"), path
    assert (await admin.get(f"{AUTH}/me")).body["verified_until"] is None
