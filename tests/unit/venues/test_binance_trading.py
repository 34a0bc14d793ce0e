"""The emulated venue's trading side: whom it believes, what it takes, and that its books balance."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from tests.venues.binance import BinanceVenue, generate_capture
from tests.venues.binance.ledger import FEE
from tests.venues.binance.trading import API_KEY, SECRET

CAPTURE = generate_capture(2, 60)
D = Decimal
LIMIT: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "price": "1000.00",
}


@pytest.fixture
async def venue() -> AsyncIterator[BinanceVenue]:
    async with BinanceVenue(CAPTURE, lead_in_s=30) as opened:
        yield opened


@pytest.fixture
async def http(venue: BinanceVenue) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"{venue.url}/") as session:
        yield session


async def signed(
    http: aiohttp.ClientSession,
    venue: BinanceVenue,
    method: str,
    path: str,
    *,
    key: str | None = API_KEY,
    secret: str = SECRET,
    late_ms: int = 0,
    **query: Any,
) -> Any:
    """What the venue answers to a signed call; its code alone where it refuses."""
    text = urlencode({**query, "timestamp": venue.time.now_ms() - late_ms})
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    headers = {"X-MBX-APIKEY": key} if key else {}
    url = f"/api/v3/{path}?{text}&signature={signature}"
    async with http.request(method, url, headers=headers) as response:
        answer = await response.json()
        return answer["code"] if response.status >= 400 else answer


async def test_it_believes_the_right_key_at_the_right_time(
    venue: BinanceVenue, http: aiohttp.ClientSession
) -> None:
    async def account(**changes: Any) -> Any:
        return await signed(http, venue, "GET", "account", **changes)

    assert (await account())["balances"]
    assert await account(key=None) == -2014
    assert await account(key="other") == -2015
    assert await account(secret="other") == -1022
    assert await account(late_ms=6_000) == -1021
    assert (await account(late_ms=6_000, recvWindow=10_000))["balances"]
    assert await account(late_ms=-2_000) == -1021
    venue.trading.permitted = False
    assert await account() == -2015


async def test_it_takes_what_its_filters_allow(venue: BinanceVenue, http: aiohttp.ClientSession) -> None:
    async def place(**changes: Any) -> Any:
        return await signed(http, venue, "POST", "order", **{**LIMIT, "quantity": "0.1", **changes})

    for changes, code in (
        ({"price": "1000.001"}, -1013),
        ({"quantity": "0.100001"}, -1013),
        ({"quantity": "0.0000000001"}, -1111),
        ({"quantity": "0.00001"}, -1013),
        ({"quantity": "1e-1"}, -1100),
        ({"quantity": "-1"}, -1100),
        ({"quantity": ""}, -1102),
        ({"quantity": "9000"}, -2010),
        ({"symbol": "NOPE"}, -1121),
        ({"type": "OCO"}, -1116),
        ({"clientOrderId": "x"}, -1104),
    ):
        assert await place(**changes) == code, changes
    assert not venue.ledger.orders
    assert (await place())["status"] == "NEW"


async def test_a_client_id_is_free_again_once_its_order_is_filled(
    venue: BinanceVenue, http: aiohttp.ClientSession
) -> None:
    async def place() -> Any:
        return await signed(http, venue, "POST", "order", **LIMIT, quantity="0.1", newClientOrderId="a")

    first = await place()
    assert await place() == -2010
    venue.ledger.fill(first["orderId"], D("0.1"))
    second = await place()
    assert second["orderId"] != first["orderId"]
    assert len(venue.ledger.of_client("a")) == 2
    found = await signed(http, venue, "GET", "order", symbol="BTCUSDT", origClientOrderId="a")
    assert found["orderId"] == second["orderId"]


async def test_its_books_balance(venue: BinanceVenue, http: aiohttp.ClientSession) -> None:
    books, usdt, btc = venue.ledger, venue.ledger.free["USDT"], venue.ledger.free["BTC"]
    order = await signed(http, venue, "POST", "order", **LIMIT, quantity="0.3")
    assert (books.free["USDT"], books.locked["USDT"]) == (usdt - 300, D(300))
    books.fill(order["orderId"], D("0.1"), D("999"))
    assert books.free["BTC"] == btc + D("0.1") * (1 - FEE)
    assert books.free["USDT"] + books.locked["USDT"] == usdt - D("99.9")
    await signed(http, venue, "DELETE", "order", symbol="BTCUSDT", orderId=order["orderId"])
    assert (books.free["USDT"], books.locked["USDT"]) == (usdt - D("99.9"), D(0))
    assert await signed(http, venue, "DELETE", "order", symbol="BTCUSDT", orderId=order["orderId"]) == -2011
