"""Keys to providers over HTTP: what is kept, what is refused, and what nobody else reaches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.account_client import AUTH, Client, first_person, person
from tests.support.accounts import CHEAP
from tests.support.applications import RunningApp, memory_stores, running_app
from tradewright.app import Adapters
from tradewright.services.user.credentials import KEPT_MAX
from tradewright.testing.clock import DrivenClock

KEYS = "/api/v1/credentials"
API_KEY, SECRET = "canary-key-0000000000-AB12", "canary-secret-9999999999"
BINANCE: dict[str, Any] = {
    "market": "crypto",
    "provider": "binance",
    "label": "mine",
    "fields": {"api_key": API_KEY, "secret": SECRET},
}


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    adapters = Adapters(
        clock=DrivenClock(),
        stores=memory_stores(),
        password_cost=CHEAP,
    )
    async with running_app(tmp_path, adapters) as running:
        yield running


@pytest.fixture
async def anna(app: RunningApp) -> Client:
    return await first_person(app)


async def kept(app: RunningApp) -> tuple[Any, ...]:
    """All that is stored of keys."""
    return await app.services.people.stores.credentials.all()


async def test_a_key_is_kept_without_asking_the_venue(app: RunningApp, anna: Client) -> None:
    made = await anna.post(KEYS, {**BINANCE, "testnet": True})
    assert made.status == 201
    item = made.body
    assert item == {
        "id": item["id"],
        "market": "crypto",
        "provider": "binance",
        "label": "mine",
        "testnet": True,
        "key_hint": "AB12",
        "created_ms": item["created_ms"],
        "changed_ms": item["created_ms"],
        "tested_ms": None,
        "can_withdraw": None,
        "withdrawal_accepted": False,
        "may_trade": False,
        "last_used_ms": None,
    }
    assert (await anna.get(KEYS)).body == {"items": [item], "next_cursor": None}
    assert (await anna.get(f"{KEYS}/{item['id']}")).body == item
    renamed = await anna.call("PATCH", f"{KEYS}/{item['id']}", {"label": "Öther"})
    assert renamed.body == {**item, "label": "Öther"}
    assert (await anna.call("DELETE", f"{KEYS}/{item['id']}")).status == 204
    assert (await anna.get(KEYS)).body["items"] == []
    assert (await anna.get(f"{KEYS}/{item['id']}")).status == 404
    kinds = [event.kind async for event in app.services.people.stores.audit.all()]
    assert kinds[-3:] == ["credential.added", "credential.changed", "credential.deleted"]


async def test_another_key_takes_the_place_of_all_that_was_kept(app: RunningApp, anna: Client) -> None:
    made = (await anna.post(KEYS, BINANCE)).body
    (before,) = await kept(app)
    new = {"api_key": "canary-key-0000000000-CD34", "secret": "other-canary-secret"}
    changed = await anna.call("PATCH", f"{KEYS}/{made['id']}", {"fields": new})
    assert (changed.status, changed.body["key_hint"]) == (200, "CD34")
    assert changed.body["changed_ms"] > made["changed_ms"]
    (after,) = await kept(app)
    assert after.sealed != before.sealed
    half = await anna.call("PATCH", f"{KEYS}/{made['id']}", {"fields": {"api_key": "canary-key-of-half"}})
    assert (half.status, half.body["errors"]) == (422, {"fields.secret": "required"})
    assert await kept(app) == (after,)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"fields": {"api_key": API_KEY}}, "fields.secret"),
        ({"fields": {"api_key": API_KEY, "secret": ""}}, "fields.secret"),
        ({"fields": {**BINANCE["fields"], "password": "canary-password"}}, "fields"),
        ({"fields": {**BINANCE["fields"], "canary-as-a-name": "x"}}, "fields"),
        ({"fields": {"api_key": "canary\r\nX-Other: 1", "secret": SECRET}}, "fields.api_key"),
        ({"fields": {"api_key": "canary key", "secret": SECRET}}, "fields.api_key"),
        ({"fields": {"api_key": "canary-ключ", "secret": SECRET}}, "fields.api_key"),
        ({"fields": {"api_key": API_KEY, "secret": "canary\r\nsecret"}}, "fields.secret"),
        ({"fields": {"api_key": API_KEY, "secret": "canary\0"}}, "fields.secret"),
        ({"fields": {"api_key": API_KEY, "secret": "c" * 5_000}}, "fields.secret"),
        ({"fields": {"api_key": API_KEY, "secret": ["canary"]}}, "fields[...]"),
        ({"fields": [API_KEY, SECRET]}, "fields"),
        ({"fields": {}}, "fields.api_key"),
        ({"label": ""}, "label"),
        ({"label": "a\u202eb"}, "label"),
        ({"label": "a\n"}, "label"),
        ({"testnet": 1}, "testnet"),
        ({"provider": "coinone", "testnet": True}, "testnet"),
        ({"provider": "simulated"}, "provider"),
        ({"user_id": "somebody"}, "user_id"),
        ({"is_admin": True}, "is_admin"),
        ({"sealed": "AAAA"}, "sealed"),
        ({"id": "mine"}, "id"),
        ({"key_hint": "AAAA"}, "key_hint"),
        ({"tested_ms": 1}, "tested_ms"),
        ({"can_withdraw": False}, "can_withdraw"),
        ({"withdrawal_accepted": True}, "withdrawal_accepted"),
        ({"urls": {"api": "http://127.0.0.1/"}}, "urls"),
    ],
)
async def test_what_is_no_key_of_that_provider_is_refused(
    app: RunningApp, anna: Client, changes: dict[str, Any], wrong: str
) -> None:
    answer = await anna.post(KEYS, {**BINANCE, **changes})
    assert (answer.status, answer.body["code"]) == (422, "invalid_value"), answer.text
    assert wrong in answer.body["errors"], answer.body["errors"]
    assert "canary" not in answer.text, "nothing that was given is repeated"
    assert await kept(app) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"user_id": "somebody"},
        {"provider": "kraken"},
        {"market": "stocks"},
        {"testnet": True},
        {"sealed": "AAAA"},
        {"tested_ms": 1},
        {"can_withdraw": True},
        {"may_trade": True},
        {"label": "x", "created_ms": 1},
        {"withdrawal_accepted": 1},
        {"fields": {**BINANCE["fields"], "uid": "1"}},
    ],
)
async def test_what_can_not_be_changed_is_refused(app: RunningApp, anna: Client, changes: object) -> None:
    made = (await anna.post(KEYS, BINANCE)).body
    before = await kept(app)
    assert (await anna.call("PATCH", f"{KEYS}/{made['id']}", changes)).status == 422
    assert await kept(app) == before


async def test_nobody_reaches_the_key_of_another(app: RunningApp, anna: Client) -> None:
    made = (await anna.post(KEYS, BINANCE)).body
    before = await kept(app)
    admin = await person(app, "other", "admin")
    for client in (admin, await person(app, "ben", "trader"), await person(app, "vera", "viewer")):
        assert (await client.get(KEYS)).body["items"] == []
        for id_ in (made["id"], "nobody-has-this", "..", "%00", "a" * 500):
            for method, path, body in (
                ("GET", f"{KEYS}/{id_}", None),
                ("PATCH", f"{KEYS}/{id_}", {"label": "mine"}),
                ("PATCH", f"{KEYS}/{id_}", {"fields": BINANCE["fields"]}),
                ("DELETE", f"{KEYS}/{id_}", None),
                ("POST", f"{KEYS}/{id_}/test", None),
            ):
                answer = await client.call(method, path, body)
                assert answer.status == 404, (method, path, answer.text)
        users = await client.get("/api/v1/users")
        assert "AB12" not in users.text
    assert await kept(app) == before


async def test_programs_and_strangers_have_nothing_to_do_with_keys(app: RunningApp, anna: Client) -> None:
    made = (await anna.post(KEYS, BINANCE)).body
    token = await anna.post(f"{AUTH}/tokens", {"label": "p", "scopes": ["read", "trade"]})
    for client, status in ((Client(app.app, token=token.body["token"]), 403), (Client(app.app), 401)):
        for method, path in (
            ("GET", KEYS),
            ("POST", KEYS),
            ("GET", f"{KEYS}/{made['id']}"),
            ("PATCH", f"{KEYS}/{made['id']}"),
            ("DELETE", f"{KEYS}/{made['id']}"),
            ("POST", f"{KEYS}/{made['id']}/test"),
        ):
            assert (await client.call(method, path, BINANCE)).status == status, (method, path)
    assert len(await kept(app)) == 1


async def test_nobody_has_any_number_of_keys(app: RunningApp, anna: Client) -> None:
    for _ in range(KEPT_MAX):
        assert (await anna.post(KEYS, BINANCE)).status == 201
    refused = await anna.post(KEYS, BINANCE)
    assert (refused.status, refused.body["code"]) == (429, "rate_limited")
    assert (await (await person(app, "ben", "trader")).post(KEYS, BINANCE)).status == 201


async def test_a_secret_alone_is_not_hinted_at(anna: Client) -> None:
    for provider, fields, hint in (
        ("aster", {"private_key": "0x" + "5" * 64}, ""),
        ("hyperliquid", {"private_key": "0x" + "5" * 64, "wallet_address": "0x" + "7" * 36 + "beef"}, "beef"),
        ("binance", {"api_key": "short", "secret": SECRET}, ""),
    ):
        body = {"market": "crypto", "provider": provider, "label": "a", "fields": fields}
        made = await anna.post(KEYS, body)
        assert (made.status, made.body["key_hint"]) == (201, hint), made.text


async def test_a_user_who_goes_leaves_no_key_behind(app: RunningApp, anna: Client) -> None:
    ben = await person(app, "ben", "trader")
    await anna.post(KEYS, BINANCE)
    await ben.post(KEYS, BINANCE)
    await ben.call("PATCH", "/api/v1/user/preferences", {"theme": "dark"})
    ben_id = (await ben.get(f"{AUTH}/me")).body["user"]["id"]
    assert (await ben.call("DELETE", f"{AUTH}/me")).status == 204
    assert [each.user_id == ben_id for each in await kept(app)] == [False]
    assert await app.services.people.stores.preferences.get(ben_id) == {}
