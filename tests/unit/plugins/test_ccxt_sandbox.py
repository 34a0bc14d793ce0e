"""What is meant for a test network never reaches the venue itself, whatever CCXT makes of it."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any
from urllib.parse import urlsplit

import ccxt.async_support
import ccxt.pro
import pytest
from ccxt.base.errors import ExchangeNotAvailable, NotSupported

from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import PluginFeatureNotSupportedError
from tradewright.plugins._ccxt_errors import ERRORS
from tradewright.plugins._ccxt_exchange import make_exchange
from tradewright.plugins._ccxt_manifest import load_manifest
from tradewright.plugins._ccxt_sandbox import has_sandbox, is_off_limits
from tradewright.plugins._venue_clock import VenueClock
from tradewright.plugins.base import PluginSetup, SharedByInstances
from tradewright.plugins.ccxt import CCXTPlugin
from tradewright.testing.clock import DrivenClock

WITH_TESTNET = sorted(name for name, entry in load_manifest().exchanges.items() if entry.testnet)
HOSTS = {
    "binance": "api.binance.com",
    "bybit": "api.bybit.com",
    "deribit": "www.deribit.com",
    "gate": "api.gateio.ws",
    "gemini": "api.gemini.com",
    "hyperliquid": "api.hyperliquid.xyz",
    "okx": "ws.okx.com",
}
"""A host of the venue itself."""
BINANCES = frozenset({"binance.vision", "binancefuture.com"})
OWN_ELSEWHERE = {
    **dict.fromkeys(("binance", "binancecoinm", "binanceusdm"), BINANCES),
    "btse": {"btse.io"},
    "bullish": {"bullish-test.com"},
    "cryptocom": {"3ona.co"},
    "dydx": {"dydx.exchange"},
    "gate": {"gateapi.io", "gate.com"},
    "gateeu": {"gateapi.io", "gate.com"},  # of the same group, whose hosts it has itself
    "hyperliquid": {"hyperliquid-testnet.xyz"},
    "ndax": {"cdnhop.net"},  # of the maker of its exchange
    "zebpay": {"zebstage.com"},
}
"""Domains that the test network has and the venue has not; somebody has looked that they are the venue's."""
OF_OTHERS = {
    "binanceus": BINANCES,
    "blockchaincom": {"delta.exchange"},
    "bequant": {"hitbtc.com"},
    "fmfwio": {"hitbtc.com"},
}
"""Likewise, but another company's."""
KEYS = {"gemini": "account-1"}
"""What CCXT takes for a key, where not everything is one."""
SYMBOL = "BTC/USDT"


async def unmeasured() -> None:
    pass


def made(provider: str, **options: object) -> Any:
    """The exchange on its test network, with a key."""
    clock = DrivenClock()
    fields = load_manifest().exchanges[provider].credential_fields
    return make_exchange(
        provider,
        options=options,
        http_timeout_s=1,
        credentials=Credentials(dict.fromkeys(fields, KEYS.get(provider, "1" * 64))),
        testnet=True,
        clock=clock,
        venue_clock=VenueClock(provider, clock),
        measure_clock=unmeasured,
        shared=SharedByInstances(),
    )


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The addresses of all requests that CCXT would have sent, with the headers of the exchange."""
    found: list[tuple[str, Any]] = []

    async def fetch(self: Any, url: str, *_: object) -> Any:
        found.append((url, self.headers))
        raise ExchangeNotAvailable("no")

    monkeypatch.setattr(ccxt.async_support.Exchange, "fetch", fetch)
    return found


async def test_no_test_network_is_offered_that_is_not_told_from_the_venue() -> None:
    assert len(WITH_TESTNET) > 40
    # Its demo trading is behind other paths of the same addresses, and not all of it.
    assert "weex" not in WITH_TESTNET
    with pytest.raises(PluginFeatureNotSupportedError):
        CCXTPlugin(PluginSetup("weex", testnet=True))
    exchange = ccxt.async_support.weex()
    assert exchange.urls["test"]
    assert not has_sandbox(exchange)
    # Nor where an operator's address is both.
    with pytest.raises(PluginFeatureNotSupportedError, match="told apart"):
        made(
            "binance",
            urls={"api": {"public": "http://127.0.0.1:1/a"}, "test": {"public": "http://127.0.0.1:1/b"}},
        )


def domains(exchange: Any, *addresses: object) -> set[str]:
    """What somebody registered of each host: two labels, or three below the likes of ``co.jp``."""
    text = json.dumps(addresses).replace("{hostname}", str(exchange.hostname or ""))
    labels = (host.lower().split(".") for host in re.findall(r"//([^/:\"]+)", text))
    return {".".join(one[-3 if one[-2] in ("co", "com") else -2 :]) for one in labels}


async def test_somebody_has_looked_whose_each_test_network_is() -> None:
    elsewhere = {}
    for provider, entry in load_manifest().exchanges.items():
        exchange = vars(ccxt.pro if entry.streams else ccxt.async_support)[provider]()
        if not exchange.urls.get("test"):
            continue
        live = domains(exchange, exchange.urls["api"])
        exchange.set_sandbox_mode(True)
        foreign = domains(exchange, exchange.urls["api"]) - live
        if foreign:
            elsewhere[provider] = foreign
    # Where CCXT names one more: is it the venue's own? If not, `_ccxt_quirks` must say whose it is.
    assert elsewhere == {**OWN_ELSEWHERE, **OF_OTHERS}


@pytest.mark.parametrize("provider", OF_OTHERS)
async def test_no_test_network_of_another_company_is_offered(provider: str) -> None:
    fields = load_manifest().exchanges[provider].credential_fields
    assert fields, "there is a key that must not go there"
    with pytest.raises(PluginFeatureNotSupportedError):
        CCXTPlugin(PluginSetup(provider, Credentials(dict.fromkeys(fields, "k")), testnet=True))
    with pytest.raises(PluginFeatureNotSupportedError, match="not the venue's own"):
        made(provider)
    assert provider not in WITH_TESTNET


@pytest.mark.parametrize("provider", HOSTS)
async def test_every_place_of_the_venue_itself_is_refused(provider: str, sent: list[Any]) -> None:
    exchange = made(provider, urls={"api": {"other": "https://Proxy.example:444/of/it"}})
    assert ("proxy.example", 444) in exchange.off_limits, "the operator's address of it, too"
    assert (HOSTS[provider], None) in exchange.off_limits
    for host, port in exchange.off_limits:
        place = f"{host}:{port or 8443}"
        for url in (f"https://{place}/api/order", f"https://me@{place.upper()}?x=1"):
            with pytest.raises(NotSupported):
                await exchange.fetch(url, "POST", {}, "{}")
            with pytest.raises(NotSupported):
                exchange.client(url.replace("https", "wss"))
    assert sent == []


@pytest.mark.parametrize("provider", HOSTS)
async def test_orders_go_to_the_test_network_alone(provider: str, sent: list[Any]) -> None:
    exchange = made(provider)
    market = {
        **exchange.safe_market_structure(),
        "id": "BTCUSDT",
        "symbol": SYMBOL,
        "base": "BTC",
        "quote": "USDT",
        "baseId": "BTC",
        "quoteId": "USDT",
        "type": "spot",
        "spot": True,
        "active": True,
        "contract": False,
        "precision": {"amount": 0.001, "price": 0.01},
        "info": {},
    }

    async def known(*_: object, **__: object) -> Any:
        return exchange.markets

    async def at_once(*_: object) -> None:
        pass

    exchange.load_markets, exchange.throttle = known, at_once
    exchange.set_markets([market])
    for call in (
        exchange.create_order(SYMBOL, "limit", "buy", 1, 1),
        exchange.cancel_order("1", SYMBOL),
        exchange.fetch_balance(),
        exchange.fetch_open_orders(SYMBOL),
    ):
        with pytest.raises((*ERRORS, KeyError)):
            async with asyncio.timeout(5):
                await call
    assert sent, "some of it was sent"
    assert not [url for url, _ in sent if is_off_limits(url, exchange.off_limits)]
    hosts = {urlsplit(url).hostname for url, _ in sent}
    assert HOSTS[provider] not in hosts
    if provider == "okx":  # whose test network is at the venue's own address
        assert all(headers["x-simulated-trading"] == "1" for _, headers in sent)
