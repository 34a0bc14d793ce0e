"""Limits of calls, and addresses behind proxies, over the whole application."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from quart.testing.connections import WebsocketResponseError

from tests.support.account_client import AUTH, Client
from tests.support.accounts import PASSWORD
from tests.support.api_map import BTC, QUERY, ids_of
from tests.support.applications import Answer, RunningApp, running_app
from tests.support.attacked import Attacked, attacked
from tradewright.app import Adapters
from tradewright.services.call_limits import CallQuotas
from tradewright.testing.clock import DrivenClock
from tradewright.web.middleware.authentication import ASKS_VENUE, HEAVY, cost_of

PROXY = "10.0.0.1"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Attacked]:
    """A user may make 100 calls in ten seconds, an address 200; nobody has made one yet."""
    async with attacked(tmp_path, rate_limit=10) as made:
        await made.clock.advance(11)
        yield made


async def statuses(client: Client, path: str, count: int) -> Counter[int]:
    answers = await asyncio.gather(*(client.get(path) for _ in range(count)))
    for answer in answers:
        if answer.status == 429:
            assert answer.body["code"] == "rate_limited"
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert 1 <= int(answer.headers["Retry-After"]) <= 10
    return Counter(answer.status for answer in answers)


async def test_of_two_hundred_at_once_a_user_gets_a_hundred(site: Attacked) -> None:
    elsewhere = Client(site.running.app, "198.51.100.7", token=site.anna.token)
    assert await statuses(site.anna, f"{AUTH}/me", 200) == {200: 100, 429: 100}
    assert await statuses(elsewhere, f"{AUTH}/me", 10) == {429: 10}, "from wherever they call"
    await site.clock.advance(10)
    assert await statuses(site.anna, f"{AUTH}/me", 100) == {200: 100}


async def test_an_address_is_limited_whatever_it_shows(site: Attacked) -> None:
    stranger = Client(site.running.app, "2001:db8:1:2::7", token="tw_forged")
    neighbour = Client(site.running.app, "2001:db8:1:2:ffff::9")
    assert await statuses(stranger, f"{AUTH}/me", 150) == {401: 150}
    assert await statuses(neighbour, "/api/v1/none", 100) == {404: 50, 429: 50}
    assert (await neighbour.get("/healthz")).status == 200, "and is seen to live"
    assert (await neighbour.get("/login")).status == 200
    assert (await site.anna.get(f"{AUTH}/me")).status == 200


async def test_no_route_is_without_a_limit(site: Attacked) -> None:
    app, limits = site.running.app, site.running.services.calls
    ids = await ids_of(site.anna)
    await site.clock.advance(11)
    for kind, quota in CallQuotas.of_rate(10).address.items():
        await limits.take_for_address(kind, "127.0.0.1", quota.amount)
    tried = [(call.method, call.address(ids)) for call in site.calls]
    rules = [rule for rule in app.url_map.iter_rules() if not rule.websocket and "<" not in rule.rule]
    tried += [("GET", rule.rule) for rule in rules]
    tried += [("GET", "/static/assets/css/base.css"), ("GET", "/none"), ("GET", "/api/v1/none")]
    for method, path in tried:
        assert (await site.anna.call(method, path)).status == 429, (method, path)
    other = Client(app, "198.51.100.7")
    assert (await other.get("/login")).status == 200


async def test_what_is_heavy_counts_for_more(site: Attacked) -> None:
    app = site.running.app
    found: dict[int, set[str]] = {}
    for rule in app.url_map.iter_rules():
        found.setdefault(cost_of(app.view_functions[rule.endpoint]), set()).add(rule.endpoint)
    assert found.keys() == {1, ASKS_VENUE, HEAVY}
    assert found[ASKS_VENUE] == {f"market.{name}" for name in ("ohlcv", "ticker", "order_book", "trades")}
    assert {"auth.login", "auth.register", "auth.step_up", "auth.change_password"} < found[HEAVY]
    assert {"backfills.submit", "coverage.export", "credentials.test"} < found[HEAVY]
    spent = 0
    while (await site.anna.get(f"/api/v1/market/ticker?{_query(**BTC)}")).status == 200:
        spent += ASKS_VENUE
    assert 200 - ASKS_VENUE < spent <= 200


async def test_answers_from_memory_count_too(site: Attacked) -> None:
    query = _query(**BTC, timeframe="1h", start=QUERY["start"], end=QUERY["end"])
    answered = 0
    while answered < 1_000 and (await site.anna.get(f"/api/v1/market/ohlcv?{query}")).status == 200:
        answered += 1
    assert 100 < answered <= 200 - ASKS_VENUE + 1


def _query(**values: str) -> str:
    return "&".join(f"{name}={value}" for name, value in values.items())


async def test_a_page_with_its_calls_fits_many_times(tmp_path: Path) -> None:
    """As the server comes: ten calls for a page, of which four ask the venue, and seventy files."""
    async with attacked(tmp_path, rate_limit=60) as site:
        await site.clock.advance(11)
        limits = site.running.services.calls
        for _ in range(20):
            for cost in (1, 1, 1, 1, 1, 1, ASKS_VENUE, ASKS_VENUE, ASKS_VENUE, ASKS_VENUE):
                await limits.take_for_address("api", "home", cost)
                await limits.take_for_user("anna", cost)
            for _ in range(70):
                await limits.take_for_address("pages", "home", 1)


async def test_servers_count_together(tmp_path: Path, redis_url: str) -> None:
    async with (
        running_app(tmp_path, redis_url=redis_url, rate_limit=2) as one,
        running_app(tmp_path, redis_url=redis_url, rate_limit=2) as two,
    ):
        for each in (one, two):
            redis = each.services.engine.redis
            assert redis is not None
            redis.call_counter._deadline_s = 10
        found = Counter([(await _one_of(one, two, number)).status for number in range(60)])
    assert found == {404: 40, 429: 20}


async def _one_of(one: RunningApp, two: RunningApp, number: int) -> Answer:
    return await (one, two)[number % 2].get("/api/v1/none")


async def verified(app: RunningApp, spoofed: list[dict[str, str]], peer: str) -> int:
    """How many of these guesses, one with each set of headers, had their password looked at."""
    client = Client(app.app, peer)
    found = Counter[int]()
    for number, headers in enumerate(spoofed):
        body = {"login": "anna", "password": f"wrong guess number {number}"}
        found[(await client.call("POST", f"{AUTH}/login", body, **headers)).status] += 1
    assert found.keys() <= {401, 429}
    return found[401]


def claims(count: int, behind: str = "") -> list[dict[str, str]]:
    return [
        {
            "X-Forwarded-For": f"203.0.{number // 250}.{number % 250}{behind}",
            "X-Real-IP": f"203.0.113.{number % 250}",
            "Forwarded": f"for=203.0.113.{number % 250}",
        }
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("peer", "behind", "count"), [("198.51.100.7", "", 1_000), (PROXY, ", 198.51.100.7", 300)]
)
async def test_a_thousand_claimed_addresses_are_one(
    tmp_path: Path, peer: str, behind: str, count: int
) -> None:
    async with attacked(tmp_path) as site:
        honest = await verified(site.running, [{}] * 100, "198.51.100.7")
    assert 0 < honest < 30
    async with attacked(tmp_path, trusted_proxies=(PROXY,)) as site:
        assert await verified(site.running, claims(count, behind), peer) == honest


async def test_the_socket_counts_whom_a_proxy_names(tmp_path: Path) -> None:
    adapters = Adapters(clock=DrivenClock())
    async with running_app(tmp_path, adapters, trusted_proxies=(PROXY,), ws_max_per_address=1) as running:
        client = running.app.test_client()

        def connect(peer: str, claimed: str) -> Any:
            headers = {"X-Forwarded-For": claimed}
            return client.websocket("/api/v1/ws", headers=headers, scope_base={"client": (peer, 4711)})

        async with connect(PROXY, "203.0.113.9") as first:
            await first.send('{"type":"ping","id":1}')
            assert "pong" in await first.receive()
            with pytest.raises(WebsocketResponseError) as refused:
                async with connect(PROXY, "1.1.1.1, 203.0.113.9") as second:
                    await second.receive()
            assert refused.value.response.status_code == 429
            async with connect(PROXY, "203.0.113.10") as other:
                await other.send('{"type":"ping","id":1}')
                assert "pong" in await other.receive()
        async with connect("198.51.100.7", "203.0.113.9") as direct:
            await direct.send('{"type":"ping","id":1}')
            await direct.receive()
            with pytest.raises(WebsocketResponseError):
                async with connect("198.51.100.7", "203.0.113.77") as again:
                    await again.receive()


async def test_behind_tls_of_a_proxy_cookies_are_secure_and_pages_its_own(tmp_path: Path) -> None:
    async with attacked(tmp_path, trusted_proxies=(PROXY,)) as site:
        body = {"login": "anna", "password": PASSWORD}
        through = Client(site.running.app, PROXY)
        named = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "Host": "localhost"}
        answer = await through.call("POST", f"{AUTH}/login", body, **named, Origin="https://localhost")
        assert answer.status == 200
        for cookie in answer.headers.getlist("Set-Cookie"):
            assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/api/v1/auth"} <= set(cookie.split("; "))
        plain = await through.call("POST", f"{AUTH}/login", body, **named, Origin="http://localhost")
        assert plain.body["code"] == "origin_not_allowed"
        direct = await Client(site.running.app).call(
            "POST", f"{AUTH}/login", body, **{**named, "Origin": "https://localhost"}
        )
        assert direct.body["code"] == "origin_not_allowed", "who is no proxy does not say how it came"
