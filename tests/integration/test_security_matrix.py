"""Every call of the API that the OpenAPI document names, tried by those who may not make it.

What is walked is found, not listed: a new route is tried without anybody adding it here, and one with an id
or a body that ``tests/support/api_map.py`` does not know fails.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from tests.support.account_client import Client
from tests.support.api_map import IDS, KEY, SHARED, ids_of
from tests.support.applications import Answer
from tests.support.attacked import Attacked, attacked
from tradewright.runtime.ids import new_id
from tradewright.web.middleware.authentication import policy_of
from tradewright.web.protocol import Subscribe

NO_API = {"/api/docs", "/api/v1/openapi.json", "/api/v1/ws"}
"""The API's description, the page that shows it, and its socket, which is tried for itself."""
OF_ADMINISTRATORS = {"user_id", "invite_id"}
"""What every administrator manages, whoever made it."""


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Attacked]:
    async with attacked(tmp_path) as made:
        yield made


def told(answer: Answer) -> object:
    """What an answer says, but for the number of its request."""
    return answer.status, {name: value for name, value in (answer.body or {}).items() if name != "request_id"}


async def test_the_document_names_every_route_and_says_which_are_open(site: Attacked) -> None:
    app = site.running.app
    named = {(call.method, call.path): call for call in site.calls}
    routed: dict[tuple[str, str], Any] = {}
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/") and rule.rule not in NO_API:
            path = rule.rule.replace("<", "{").replace(">", "}")
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                routed[method, path] = policy_of(app.view_functions[rule.endpoint])
    assert routed.keys() == {key for key in named if key[1].startswith("/api/")}
    for key, policy in routed.items():
        assert policy is not None, f"{key} does not say whom it is for"
        assert named[key].open == (policy.kind in ("everybody", "market")), key


async def test_who_is_not_logged_in_gets_nothing(site: Attacked) -> None:
    ids = await ids_of(site.anna)
    before = await site.state()
    stranger = Client(site.running.app)
    closed = [call for call in site.calls if not call.open]
    assert len(closed) > 20
    for call in closed:
        answer = await stranger.call(call.method, call.address(ids), call.body())
        assert (answer.status, answer.body["code"]) == (401, "unauthorized"), call
    assert await site.state() == before


@pytest.mark.parametrize("role", ["trader", "viewer", "admin"])
async def test_nobody_reaches_what_is_of_another(site: Attacked, role: Any) -> None:
    """Neither by its id, nor by anything that is told: not even whether the id exists."""
    theirs, nobodys = await ids_of(site.anna), {name: new_id() for name in IDS}
    other = await site.person("ben", role)
    before = await site.state()
    tried = set()
    for call in site.calls:
        private = set(call.ids) - SHARED - (OF_ADMINISTRATORS if role == "admin" else set())
        if not private:
            continue
        tried |= private
        answer = await other.call(call.method, call.address(theirs), call.body())
        again = await other.call(call.method, call.address(nobodys), call.body())
        assert told(answer) == told(again), call
        admins = policy_of(_view(site, call.path, call.method))
        assert admins is not None
        assert answer.status == (403 if admins.kind == "admin" and role != "admin" else 404), call
    assert tried == set(IDS) - SHARED - (OF_ADMINISTRATORS if role == "admin" else set())
    assert await site.state() == before


@pytest.mark.parametrize("role", ["trader", "viewer"])
async def test_no_list_holds_what_is_of_another(site: Attacked, role: Any) -> None:
    theirs = await ids_of(site.anna)
    other = await site.person("ben", role)
    secret = [value for name, value in theirs.items() if name not in SHARED] + ["anna@example.com"]
    answered = 0
    for call in site.calls:
        if call.method != "GET" or call.ids:
            continue
        answer = await other.get(call.address({}))
        answered += answer.status == 200
        assert [value for value in secret if value in answer.text] == [], call
    assert answered > 10


async def test_an_administrator_sees_nothing_of_anybodys_keys(site: Attacked) -> None:
    ben = await site.person("ben", "trader")
    of_ben = await ids_of(ben)
    for call in site.calls:
        if call.method == "GET":
            answer = await site.anna.get(call.address({**of_ben, "invite_id": "x"}))
            assert answer.status in (200, 404), call
            for value in (*KEY.values(), '"key_hint"'):
                assert value not in answer.text, call


def _view(site: Attacked, path: str, method: str) -> object:
    app = site.running.app
    for rule in app.url_map.iter_rules():
        if rule.rule == path.replace("{", "<").replace("}", ">") and method in (rule.methods or ()):
            return app.view_functions[rule.endpoint]
    raise AssertionError(path)


class Viewer:
    """A program at the socket, which asks and reads the answer to it."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._last_id = 0

    async def ask(self, **message: object) -> dict[str, Any]:
        self._last_id += 1
        await self._socket.send(json.dumps({**message, "id": self._last_id}))
        while True:
            answer: dict[str, Any] = json.loads(await self._socket.receive())
            if answer.get("id") == self._last_id:
                return answer


SUBJECTS = {"orders": "account_id", "bot": "bot_id"}
"""Which field of a subscription names what of somebody's it watches."""
MARKET_STREAMS = {"ohlcv", "trades", "ticker", "order_book", "backfills"}


async def test_no_topic_shows_what_is_of_another(site: Attacked) -> None:
    streams = set(get_args(get_type_hints(Subscribe)["stream"]))
    assert streams == MARKET_STREAMS | set(SUBJECTS), "a new stream says here whose it is"
    theirs = await ids_of(site.anna)
    other = await site.person("ben", "trader")
    async with site.running.app.test_client().websocket("/api/v1/ws") as socket:
        viewer = Viewer(socket)
        for stream, field in SUBJECTS.items():
            refused = await viewer.ask(type="subscribe", stream=stream, **{field: theirs["user_id"]})
            assert refused["code"] == "unauthorized"
        assert (await viewer.ask(type="authenticate", token=other.token))["type"] == "ok"
        for stream, field in SUBJECTS.items():
            for subject in [*theirs.values(), new_id()]:
                refused = await viewer.ask(type="subscribe", stream=stream, **{field: subject})
                assert (refused["type"], refused["code"]) == ("error", "not_found")


async def test_where_a_login_is_wanted_no_topic_shows_anything_before(tmp_path: Path) -> None:
    async with (
        attacked(tmp_path, require_login=True) as site,
        site.running.app.test_client().websocket("/api/v1/ws") as socket,
    ):
        viewer = Viewer(socket)
        for stream in get_args(get_type_hints(Subscribe)["stream"]):
            assert (await viewer.ask(type="subscribe", stream=stream))["code"] == "unauthorized"
