"""Whatever a venue answers to a private call: our errors alone, in time, and no second write."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from tests.contract.ccxt_plugin.rig import SYMBOL, order_request
from tests.venues.binance import BinanceVenue
from tradewright.domain.errors import (
    MalformedAnswerPluginError,
    NetworkPluginError,
    PluginError,
    RateLimitPluginError,
    TradewrightError,
)
from tradewright.domain.orders import VenueOrder
from tradewright.plugins.ccxt import CCXTPlugin

ORDERS = 60
READS = 10  # of each call
ORDER: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "orderId": 28,
    "clientOrderId": "tw-1",
    "price": "1000.0",
    "origQty": "0.25",
    "executedQty": "0",
    "cummulativeQuoteQty": "0",
    "status": "NEW",
    "timeInForce": "GTC",
    "type": "LIMIT",
    "side": "BUY",
    "transactTime": 1_700_000_000_000,
    "fills": [{"price": "1", "qty": "1", "commission": "0.1", "commissionAsset": "BNB", "tradeId": 1}],
}
TRADE: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "id": 1,
    "orderId": 28,
    "price": "1",
    "qty": "1",
    "commission": "0.1",
    "commissionAsset": "BNB",
    "time": 1_700_000_000_000,
    "isBuyer": True,
    "isMaker": False,
}
ACCOUNT: dict[str, Any] = {"balances": [{"asset": "BTC", "free": "1", "locked": "0"}], "updateTime": 1}
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**40,
    1e-9,
    "",
    "x",
    "NaN",
    "1e400",
    "-5",
    [],
    {},
    [[]],
    {"a": {}},
    "ö",
    "1" * 500,
)


def spoiled(chance: random.Random, value: Any) -> Any:
    """The value with something in it replaced, removed or repeated."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        if chance.random() < 0.2:
            return {name: one for name, one in value.items() if name != key}
        return {**value, key: spoiled(chance, value[key])}
    if isinstance(value, list) and value and chance.random() < 0.8:
        return [spoiled(chance, value[0]), *value[1:]] * chance.choice((1, 1, 3))
    return chance.choice(ODD)


def body(chance: random.Random, right: Any) -> str:
    """A right answer that was spoiled some times, or no JSON at all."""
    if chance.random() < 0.1:
        return chance.choice(("", "[" * 50_000, '{"a":' * 50_000, "<html>", "\ufeff{}", "{]", "Infinity"))
    for _ in range(chance.randint(1, 3)):
        right = spoiled(chance, right)
    return json.dumps(right)


async def test_no_answer_to_a_read_is_more_than_one_of_our_errors(
    venue: BinanceVenue, trader: CCXTPlugin
) -> None:
    await trader.fetch_balances()
    calls: tuple[tuple[str, Any, Callable[[], Awaitable[Any]]], ...] = (
        ("/api/v3/order", ORDER, lambda: trader.fetch_order(SYMBOL, client_order_id="tw-1")),
        ("/api/v3/allOrders", [ORDER], lambda: trader.fetch_closed_orders(SYMBOL, since_ms=1, limit=9)),
        ("/api/v3/openOrders", [ORDER], lambda: trader.fetch_open_orders(SYMBOL)),
        ("/api/v3/myTrades", [TRADE], lambda: trader.fetch_my_trades(SYMBOL, since_ms=1, limit=9)),
        ("/api/v3/account", ACCOUNT, trader.fetch_balances),
        (
            "/sapi/v1/asset/tradeFee",
            [{"symbol": "BTCUSDT", "makerCommission": "0.1", "takerCommission": "0.1"}],
            lambda: trader.fetch_fees(SYMBOL),
        ),
        ("/fapi/v3/positionRisk", [{"symbol": "BTCUSDT", "entryPrice": "1"}], trader.fetch_positions),
    )
    for seed, (path, right, call) in enumerate(calls):
        chance = random.Random(seed)
        for _ in range(READS):
            text = body(chance, right)
            rule = venue.faults.answer(path, body=text)
            try:
                async with asyncio.timeout(10):
                    await call()
            except TradewrightError:
                pass
            assert rule.used == 1, text
    assert await trader.fetch_balances()


async def test_an_order_is_in_doubt_unless_the_answer_is_one(venue: BinanceVenue, trader: CCXTPlugin) -> None:
    await trader.fetch_balances()
    chance, counts = random.Random(7), {"placed": 0, "unknown": 0, "refused": 0}
    for _ in range(ORDERS):
        text = body(chance, ORDER)
        rule = venue.faults.answer("/api/v3/order", body=text)
        try:
            async with asyncio.timeout(10):
                order = await trader.create_order(order_request())
        except (NetworkPluginError, MalformedAnswerPluginError):
            counts["unknown"] += 1
        except (PluginError, RateLimitPluginError):
            counts["refused"] += 1  # only by a code of the venue
            assert '"code"' in text, text
        else:
            counts["placed"] += 1
            _is_sound(order, text)
        assert rule.used == 1, text
    assert counts["unknown"] > ORDERS // 3, counts
    assert not venue.trading.requests["POST /api/v3/order"]


def _is_sound(order: VenueOrder, text: str) -> None:
    assert order.venue_order_id, text
    assert order.client_order_id == "tw-1", text
    for number in (order.amount, order.filled, order.remaining):
        assert isinstance(number, Decimal), text
        assert number.is_finite(), text
        assert number >= 0, text
