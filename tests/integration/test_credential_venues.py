"""Users' keys at emulated venues: what a test of a key tells, and what becomes of it when it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.alpaca_plugin.rig import ImpatientPlugin as ImpatientAlpaca
from tests.contract.ccxt_plugin.rig import CAPTURE, HastyPlugin, refusal, wait_until
from tests.support.account_client import AUTH, Client, first_person, person
from tests.support.accounts import CHEAP
from tests.support.applications import RunningApp, memory_stores, running_app
from tests.support.loaders import loader_of
from tests.venues.alpaca import API_KEY as ALPACA_KEY
from tests.venues.alpaca import SECRET as ALPACA_SECRET
from tests.venues.alpaca import AlpacaVenue
from tests.venues.binance import BinanceVenue
from tests.venues.binance.trading import API_KEY, SECRET
from tradewright.app import Adapters
from tradewright.domain.errors import NotFound, PluginError
from tradewright.services.auth.visits import Visit
from tradewright.services.user_service import CHECK_INTERVAL_S

KEYS = "/api/v1/credentials"
RESTRICTIONS = "GET /sapi/v1/account/apiRestrictions"
SECOND_KEY, SECOND_SECRET = "second-key-of-the-venue-9876", "second-secret-of-the-venue"
BINANCE: dict[str, Any] = {
    "market": "crypto",
    "provider": "binance",
    "label": "mine",
    "fields": {"api_key": API_KEY, "secret": SECRET},
}
SECOND = {"fields": {"api_key": SECOND_KEY, "secret": SECOND_SECRET}}


@pytest.fixture
async def venue() -> AsyncIterator[BinanceVenue]:
    async with BinanceVenue(CAPTURE, lead_in_s=15, speed=5) as opened:
        opened.trading.keys[SECOND_KEY] = SECOND_SECRET
        yield opened


@pytest.fixture
async def alpaca() -> AsyncIterator[AlpacaVenue]:
    async with AlpacaVenue(days=2, live=False) as opened:
        yield opened


@pytest.fixture
async def app(tmp_path: Path, venue: BinanceVenue, alpaca: AlpacaVenue) -> AsyncIterator[RunningApp]:
    adapters = Adapters(
        loader=loader_of(HastyPlugin, ImpatientAlpaca),
        stores=memory_stores(),
        password_cost=CHEAP,
    )
    providers = {"binance": venue.provider_options(), "alpaca": alpaca.provider_options()}
    async with running_app(tmp_path, adapters, providers=providers) as running:
        yield running


@pytest.fixture
async def anna(app: RunningApp) -> Client:
    return await first_person(app)


async def add(client: Client, **changes: Any) -> str:
    made = await client.post(KEYS, {**BINANCE, **changes})
    assert made.status == 201, made.text
    return str(made.body["id"])


async def user_id(client: Client) -> str:
    return str((await client.get(f"{AUTH}/me")).body["user"]["id"])


async def test_a_test_tells_what_the_key_may_do(anna: Client, venue: BinanceVenue) -> None:
    id_ = await add(anna)
    assert venue.trading.requests.total() == 0, "to keep a key nobody is asked"
    answer = await anna.post(f"{KEYS}/{id_}/test")
    assert answer.status == 200, answer.text
    assert answer.body["permissions"] == ["read", "spot"]
    assert (answer.body["can_withdraw"], answer.body["ip_restricted"]) == (False, False)
    assert answer.body["detail"] is None
    assert set(answer.body["balances"]) == {"BTC", "USDT"}
    assert all(isinstance(amount, str) for amount in answer.body["balances"].values())
    item = (await anna.get(f"{KEYS}/{id_}")).body
    assert (item["can_withdraw"], item["may_trade"]) == (False, True)
    assert item["tested_ms"] == answer.body["tested_ms"]
    assert item["last_used_ms"] is not None
    assert venue.trading.requests[RESTRICTIONS] == 1


async def test_a_key_that_can_withdraw_waits_for_its_owner(anna: Client, venue: BinanceVenue) -> None:
    id_ = await add(anna)
    early = await anna.call("PATCH", f"{KEYS}/{id_}", {"withdrawal_accepted": True})
    assert (early.status, early.body["code"]) == (409, "conflict"), "nothing is known that could be accepted"
    venue.trading.rights["enableWithdrawals"] = True
    warned = await anna.post(f"{KEYS}/{id_}/test")
    assert warned.body["can_withdraw"] is True
    assert "withdraw" in warned.body["permissions"]
    assert "can withdraw" in warned.body["detail"]
    assert (await anna.get(f"{KEYS}/{id_}")).body["may_trade"] is False
    accepted = await anna.call("PATCH", f"{KEYS}/{id_}", {"withdrawal_accepted": True})
    assert (accepted.body["withdrawal_accepted"], accepted.body["may_trade"]) == (True, True)
    assert (await anna.post(f"{KEYS}/{id_}/test")).status == 200
    assert (await anna.get(f"{KEYS}/{id_}")).body["may_trade"] is True, "it was accepted of this key"
    other = await anna.call("PATCH", f"{KEYS}/{id_}", SECOND)
    assert (other.body["can_withdraw"], other.body["withdrawal_accepted"]) == (None, False)
    assert other.body["may_trade"] is False, "of another key nothing is known, and nothing accepted"


async def test_what_was_accepted_ends_with_the_right(anna: Client, venue: BinanceVenue) -> None:
    id_ = await add(anna)
    for withdraws, accepts in ((True, True), (False, False), (True, False)):
        venue.trading.rights["enableWithdrawals"] = withdraws
        await anna.post(f"{KEYS}/{id_}/test")
        if accepts:
            await anna.call("PATCH", f"{KEYS}/{id_}", {"withdrawal_accepted": True})
    item = (await anna.get(f"{KEYS}/{id_}")).body
    assert (item["can_withdraw"], item["withdrawal_accepted"], item["may_trade"]) == (True, False, False)


async def test_a_key_that_was_taken_back(anna: Client, venue: BinanceVenue) -> None:
    id_ = await add(anna)
    await anna.post(f"{KEYS}/{id_}/test")
    venue.trading.permitted = False
    answer = await anna.post(f"{KEYS}/{id_}/test")
    assert (answer.status, answer.body["code"]) == (502, "provider_authentication_failed")
    assert API_KEY not in answer.text
    item = (await anna.get(f"{KEYS}/{id_}")).body
    assert (item["tested_ms"], item["may_trade"]) == (None, False)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, "[]", (502, "provider_malformed_answer")),
        (200, '{"enableReading":true}', (502, "provider_malformed_answer")),
        (200, '{"enableWithdrawals":"false"}', (502, "provider_malformed_answer")),
        (200, "<html>", (502, "provider_malformed_answer")),
        (503, "", (503, "provider_unavailable")),
        (429, "", (503, "provider_rate_limited")),
        (400, refusal(-9999, f"{API_KEY} and {SECRET}"), (502, "provider_error")),
        (401, refusal(-2015, f"key {API_KEY}"), (502, "provider_authentication_failed")),
    ],
)
async def test_what_a_venue_may_answer_else(
    anna: Client, venue: BinanceVenue, status: int, body: str, expected: tuple[int, str]
) -> None:
    id_ = await add(anna)
    venue.faults.answer("/sapi/v1/account/apiRestrictions", status=status, body=body, times=5)
    answer = await anna.post(f"{KEYS}/{id_}/test")
    assert (answer.status, answer.body["code"]) == expected, answer.text
    assert API_KEY not in answer.text
    assert SECRET not in answer.text
    assert (await anna.get(f"{KEYS}/{id_}")).body["may_trade"] is False


async def test_alpaca_tells_whether_the_account_may_trade(anna: Client, alpaca: AlpacaVenue) -> None:
    fields = {"api_key": ALPACA_KEY, "secret": ALPACA_SECRET}
    id_ = await add(anna, provider="alpaca", market="stocks", testnet=True, fields=fields)
    answer = await anna.post(f"{KEYS}/{id_}/test")
    assert answer.status == 200, answer.text
    assert (answer.body["permissions"], answer.body["can_withdraw"]) == (["read", "trade"], False)
    assert set(answer.body["balances"]) == {"USD"}
    alpaca.revoked = True
    refused = await anna.post(f"{KEYS}/{id_}/test")
    assert (refused.status, refused.body["code"]) == (502, "provider_authentication_failed")
    assert ALPACA_KEY not in refused.text


async def test_an_instance_lives_no_longer_than_its_key(
    app: RunningApp, anna: Client, venue: BinanceVenue
) -> None:
    markets, me, id_ = app.services.markets, await user_id(anna), await add(anna)
    async with markets.account_plugin(me, id_) as idle:
        await idle.fetch_balances()
    await anna.call("PATCH", f"{KEYS}/{id_}", {"label": "another name"})
    async with markets.account_plugin(me, id_) as same:
        assert same is idle, "a new name is no new key"
    await anna.call("PATCH", f"{KEYS}/{id_}", SECOND)
    with pytest.raises(PluginError, match="closed"):
        await idle.fetch_balances()
    async with markets.account_plugin(me, id_) as busy:
        assert busy is not idle
        stream = busy.watch_orders()
        waiting = asyncio.ensure_future(anext(stream))
        await wait_until(lambda: venue.user_stream.sockets == 1)
        assert (await anna.call("DELETE", f"{KEYS}/{id_}")).status == 204
        with pytest.raises(PluginError, match="closed"):
            async with asyncio.timeout(CHECK_INTERVAL_S / 3):  # at once, and not at the next look around
                await waiting
        await wait_until(lambda: venue.user_stream.sockets == 0)
        await busy.fetch_balances()  # who is in the middle of something may end it
        with pytest.raises(NotFound):
            async with markets.account_plugin(me, id_):
                pass
    with pytest.raises(PluginError, match="closed"):
        await busy.fetch_balances()
    assert markets.keys_in_use() == ()


async def test_who_is_shut_out_or_goes_takes_their_instances_along(app: RunningApp, anna: Client) -> None:
    markets, ben, cara = app.services.markets, await person(app, "ben"), await person(app, "cara")
    people = [(client, await user_id(client), await add(client)) for client in (anna, ben, cara)]
    plugins = []
    for _, owner, id_ in people:
        async with markets.account_plugin(owner, id_) as plugin:
            plugins.append(plugin)
    assert len(set(plugins)) == 3, "nobody shares an instance, though all have one key"
    admin, ben_id = app.services.auth.administration, people[1][1]
    await admin.set_disabled(ben_id, True, None, Visit())
    with pytest.raises(NotFound):
        async with markets.account_plugin(ben_id, people[1][2]):
            pass
    assert (await cara.call("DELETE", f"{AUTH}/me")).status == 204
    assert [owner.user_id for owner, _ in markets.keys_in_use()] == [people[0][1]]
    for gone in plugins[1:]:
        with pytest.raises(PluginError, match="closed"):
            await gone.fetch_balances()
    await plugins[0].fetch_balances()
    await admin.set_disabled(ben_id, False, None, Visit())
    async with markets.account_plugin(ben_id, people[1][2]) as plugin:
        await plugin.fetch_balances()


async def test_one_person_tests_one_key_at_a_time(anna: Client, venue: BinanceVenue) -> None:
    id_ = await add(anna)
    venue.trading.doubt(RESTRICTIONS, "hang")
    first = asyncio.ensure_future(anna.post(f"{KEYS}/{id_}/test"))
    await wait_until(lambda: venue.trading.requests[RESTRICTIONS] == 1)
    second = await anna.post(f"{KEYS}/{id_}/test")
    assert (second.status, second.body["code"], second.headers["Retry-After"]) == (429, "rate_limited", "5")
    assert (await first).body["code"] in ("provider_timeout", "provider_unavailable")
    assert (await anna.post(f"{KEYS}/{id_}/test")).status == 200
