"""Attacks on whatever the API takes, over every call that the OpenAPI document names. Each fails where what
keeps it off is taken away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from quart.testing import WebsocketResponseError

from tests.support.account_client import AUTH, OWN, Client
from tests.support.accounts import CHEAP
from tests.support.api_map import IDS, Call, calls, ids_of
from tests.support.applications import RunningApp, running_app
from tests.support.attacked import Attacked, attacked
from tradewright.app import Adapters
from tradewright.app_extensions.people import people_of
from tradewright.config import TestingConfig
from tradewright.runtime.clock import SystemClock
from tradewright.runtime.ids import new_id


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Attacked]:
    async with attacked(tmp_path) as made:
        yield made


JSON = {"Content-Type": "application/json"}
EVIL = {"Origin": "https://evil.example"}
FROM_ELSEWHERE: dict[str, dict[str, str]] = {
    "a form": {"Content-Type": "application/x-www-form-urlencoded"},
    "a form with a file": {"Content-Type": "multipart/form-data; boundary=x"},
    "plain text": {"Content-Type": "text/plain"},
    "no kind of content": {},
    "a foreign page": {**JSON, **EVIL, **OWN},
    "a page without origin": {**JSON, "Origin": "null", **OWN},
    "a sister's page": {**JSON, "Sec-Fetch-Site": "same-site", **OWN},
    "JSON without our header": JSON,
}


async def test_a_page_elsewhere_changes_nothing_with_the_cookies(site: Attacked) -> None:
    """A browser adds the cookies by itself; the access token it does not have."""
    ids = await ids_of(site.anna)
    token, site.anna.token = site.anna.token, None
    kept, before = site.anna.cookies, await site.state()
    assert {"tw_refresh", "tw_device"} <= kept.keys()
    for kind, headers in FROM_ELSEWHERE.items():
        for call in (call for call in site.calls if call.changes):
            data = msgspec.json.encode(call.body() or {})
            answer = await site.anna.call(call.method, call.address(ids), data, **headers)
            assert 400 <= answer.status < 500, (kind, call, answer.text)
            if "Origin" in headers or "Sec-Fetch-Site" in headers:
                assert answer.body["code"] == "origin_not_allowed", (kind, call)
        assert site.anna.cookies == kept, kind
        assert await site.state() == before, kind
    site.anna.token = token
    assert (await site.anna.get(f"{AUTH}/me")).status == 200


async def test_not_even_with_a_token_does_a_page_elsewhere_change_anything(site: Attacked) -> None:
    ids = await ids_of(site.anna)
    before = await site.state()
    for headers in (EVIL, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        for call in (call for call in site.calls if call.changes):
            answer = await site.anna.call(call.method, call.address(ids), call.body(), **headers)
            assert (answer.status, answer.body["code"]) == (403, "origin_not_allowed"), call
    assert await site.state() == before


async def test_nothing_but_json_is_read(site: Attacked) -> None:
    """What a form can send without asking is no body of ours, even with a token."""
    ids = await ids_of(site.anna)
    before = await site.state()
    for kind in ("a form", "a form with a file", "plain text", "no kind of content"):
        for call in (call for call in site.calls if call.schema is not None):
            data = msgspec.json.encode(call.body())
            answer = await site.anna.call(call.method, call.address(ids), data, **FROM_ELSEWHERE[kind])
            assert (answer.status, answer.body["code"]) == (415, "unsupported_media_type"), (kind, call)
    assert await site.state() == before


async def test_no_reading_changes_anything(site: Attacked) -> None:
    ids = await ids_of(site.anna)
    before = await site.state()
    for call in site.calls:
        if not call.changes:
            for method in ("GET", "HEAD"):
                answer = await site.anna.call(method, call.address(ids), **EVIL)
                assert answer.status < 500, call
                assert "Access-Control-Allow-Origin" not in answer.headers
    assert await site.state() == before


SMUGGLED: dict[str, Any] = {
    "is_admin": True, "user_id": "x", "id": "x", "state": "active", "verified_ms": 9e15, "owner": "x",
    "totp_enabled": False, "created_ms": 0, "__class__": "x", "password_hash": "x", "permissions": ["*"],
    "role": "admin", "disabled": False, "may_trade": True, "withdrawal_accepted": True, "expires_ms": 9e15,
}  # fmt: skip


async def test_no_body_takes_more_than_it_should(site: Attacked) -> None:
    ids = await ids_of(site.anna)
    document = (await site.running.get("/api/v1/openapi.json")).body
    before = await site.state()
    bodies = 0
    for call in site.calls:
        body = call.body()
        if body is None:
            continue
        bodies += 1
        known = document["components"]["schemas"][str(call.schema)]["properties"]
        for name in SMUGGLED.keys() - known.keys():
            answer = await site.anna.call(call.method, call.address(ids), {**body, name: SMUGGLED[name]})
            assert (answer.status, answer.body["code"]) == (422, "invalid_value"), (call, name)
            assert name in answer.body["errors"]
    assert bodies == sum(call.schema is not None for call in site.calls) > 10
    assert await site.state() == before


def _malformed(body: dict[str, Any]) -> Iterator[bytes]:
    text = json.dumps(body)
    for name, value in body.items():
        yield (text[:-1] + f", {json.dumps(name)}: {json.dumps(value)}}}").encode()  # twice
    yield b'{"a":' * 5_000 + b"1" + b"}" * 5_000
    yield b"[" * 20_000 + b"]" * 20_000
    yield b'{"a":' * 30_000
    yield from (b"NaN", b"[]", b"null", b'"x"', b"\xff\xfe{}", b"{}{}", b"", b'{"a":1e999}', b"{'a':1}")


async def test_json_that_is_none_is_refused_by_every_body(site: Attacked) -> None:
    ids = await ids_of(site.anna)
    before = await site.state()
    for call in site.calls:
        if call.schema is None or call.path.endswith(("/refresh", "/logout")):
            continue  # without a body these two are something else, and tried for themselves
        for data in _malformed(call.body() or {}):
            answer = await site.anna.call(call.method, call.address(ids), data, **JSON)
            assert answer.status in (400, 413, 422), (call, data[:60], answer.status)
    assert await site.state() == before


INJECTED = [
    "' OR '1'='1", "'; DROP TABLE users;--", '" OR ""="', "1; SELECT pg_sleep(10)--", "\\'; --",
    "x') UNION SELECT 1,2,3--", "%' AND 1=0 UNION ALL SELECT name FROM sqlite_master--",
    "$(sleep 9)", "`id`", "{{7*7}}", "%00", "\x00",
    "\ud7ff\ufffd\U0001f4a9", "-1", "9" * 40, "1e309", "NULL", "*", "../../etc/passwd", "\r\nSet-Cookie: a=b",
]  # fmt: skip


async def test_no_parameter_is_ever_run(tmp_path: Path) -> None:
    """Against the real databases: whatever is put in is refused or is nothing but text."""
    people = people_of(TestingConfig(data_dir=tmp_path), SystemClock())
    async with running_app(tmp_path, Adapters(people=people, password_cost=CHEAP)) as running:
        await people.open()
        anna = Client(running.app)
        assert (await anna.register()).status == 201
        await anna.login()
        tables = await _names(running)
        document = (await running.get("/api/v1/openapi.json")).body
        for call in calls(document):
            for path in _with_each_parameter_injected(call):
                answer = await anna.call(call.method, path, call.body())
                assert answer.status < 500, (call.method, path, answer.text)
                assert "Set-Cookie" not in answer.headers
        for call in calls(document):
            for body in _with_each_field_injected(call):
                answer = await anna.call(call.method, call.address(dict.fromkeys(IDS, "x")), body)
                assert answer.status < 500, (call, body, answer.text)
        assert await _names(running) >= tables
        assert (await anna.get(f"{AUTH}/me")).body["user"]["username"] == "anna"
        await people.close()


async def _names(running: RunningApp) -> set[str]:
    users = running.services.people.stores.users
    return {each.username for each in await users.users(after=None, limit=100)}


def _with_each_parameter_injected(call: Call) -> Iterator[str]:
    right = dict.fromkeys(IDS, new_id())
    for text in INJECTED:
        for name in call.ids:
            yield call.address({**right, name: text})
        for name in call.query:
            yield call.address(right, **{name: text})


def _with_each_field_injected(call: Call) -> Iterator[dict[str, Any]]:
    body = call.body()
    if body is None or call.path.endswith("/register"):
        return  # whoever registers is counted, and held up before long
    for name in body:
        for text in INJECTED[:6]:
            if name not in ("password", "current_password"):
                yield {**body, name: text}


HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "object-src 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Frame-Options": "DENY",
}
"""Written out: what is taken away there must be missed here."""


async def test_every_answer_has_its_headers(site: Attacked) -> None:
    """Pages, files, the API, and whatever goes wrong."""
    app, stranger = site.running.app, Client(site.running.app)
    found = {rule.rule for rule in app.url_map.iter_rules() if not rule.websocket and "<" not in rule.rule}
    paths = [
        *found,
        "/static/assets/css/base.css",
        "/static/../app.py",
        "/static/none.js",
        "/api/v1/none",
        "/none",
    ]
    paths += [f"{AUTH}/sessions/x", "/api/v1/market/ohlcv?limit=x", "/api/v1/users?limit=0"]
    for path in paths:
        for method, who in (("GET", site.anna), ("GET", stranger), ("POST", site.anna), ("PUT", stranger)):
            answer = await who.call(method, path, **(EVIL if method == "POST" else {}))
            for name, value in HEADERS.items():
                assert answer.headers.getlist(name) == [value], (method, path, name)
            assert answer.headers["X-Request-ID"]
            assert "Server" not in answer.headers
            assert "Strict-Transport-Security" not in answer.headers, (
                "nobody is locked out of plain http here"
            )
            if path.startswith("/api/"):
                assert answer.headers.getlist("Cache-Control") == ["no-store"], (method, path)


HOSTS: list[tuple[str, str | None, dict[str, bool]]] = [
    # where the server listens, its public URL, and which names it answers to
    (
        "127.0.0.1",
        None,
        {
            "127.0.0.1:8000": True,
            "localhost": True,
            "[::1]:80": True,
            "evil.example": False,
            "127.0.0.1.evil.example": False,
            "evil.example:127.0.0.1": False,
            "127.0.0.1@evil.example": False,
            "evil.example#127.0.0.1": False,
            "192.168.1.7": False,
            "0.0.0.0": False,
            "": False,
        },
    ),
    (
        "127.0.0.1",
        "https://trade.example",
        {
            "trade.example": True,
            "TRADE.example:443": True,
            "trade.example.evil.example": False,
            "nottrade.example": False,
        },
    ),
    ("0.0.0.0", "https://trade.example", {"trade.example": True, "evil.example": False, "10.0.0.7": False}),
    ("0.0.0.0", None, {"192.168.1.7:8000": True, "anything.example": True}),
]


@pytest.mark.parametrize(("listens", "public_url", "names"), HOSTS)
async def test_only_our_own_names_are_served(
    tmp_path: Path, listens: str, public_url: str | None, names: dict[str, bool]
) -> None:
    """A name that others point at this machine is not ours, whatever else a request says; sockets alike."""
    async with running_app(tmp_path, host=listens, public_url=public_url) as running:
        assert not any(rule.websocket for rule in running.app.url_map.iter_rules()), (
            "every socket is looked at before Quart"
        )
        for host, served in names.items():
            for claimed in ({}, {"X-Forwarded-Host": "127.0.0.1"}, {"Forwarded": "host=127.0.0.1"}):
                answer = await running.get_with("/api/v1/market/markets", {"Host": host, **claimed})
                assert (answer.status == 200) == served, host
                assert served or answer.status in (400, 403), host
            opening = running.app.test_client().websocket("/api/v1/ws", headers={"Host": host})
            if served:
                async with opening as socket:
                    await socket.send('{"type":"ping","id":1}')
                    assert "pong" in await socket.receive()
                continue
            with pytest.raises(WebsocketResponseError) as refused:
                async with opening as socket, asyncio.timeout(5):
                    await socket.receive()
            assert refused.value.response.status_code == 403, host
