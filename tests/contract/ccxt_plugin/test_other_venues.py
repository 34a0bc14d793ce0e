"""Trading in the forms of other venues: what Binance's spot market does not have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from tests.contract.ccxt_plugin.rig import order_request
from tests.contract.ccxt_plugin.scripted import ScriptedVenue, scripted
from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import (
    InvalidInput,
    MalformedAnswerPluginError,
    PluginFeatureNotSupportedError,
    UnknownSymbol,
)
from tradewright.domain.orders import Position
from tradewright.plugins.base import PluginSetup
from tradewright.plugins.ccxt import CCXTPlugin

D = Decimal
SWAP = "BTC/USDT:USDT"
SPOT = "BTC/USDT"
KEYS = Credentials({"api_key": "k", "secret": "s", "password": "p"})


def okx(*data: Any) -> dict[str, Any]:
    return {"code": "0", "msg": "", "data": list(data)}


OKX_SWAP = {
    "instId": "BTC-USDT-SWAP",
    "instType": "SWAP",
    "uly": "BTC-USDT",
    "instFamily": "BTC-USDT",
    "settleCcy": "USDT",
    "ctType": "linear",
    "ctVal": "0.01",
    "ctValCcy": "BTC",
    "ctMult": "1",
    "lever": "100",
    "tickSz": "0.1",
    "lotSz": "0.01",
    "minSz": "0.01",
    "state": "live",
}
OKX_ORDER = {
    "instId": "BTC-USDT-SWAP",
    "instType": "SWAP",
    "ordId": "312269865356374016",
    "clOrdId": "tw1",
    "px": "50000.1",
    "sz": "12.34",
    "ordType": "limit",
    "side": "buy",
    "accFillSz": "2.34",
    "avgPx": "50000.1",
    "state": "partially_filled",
    "cTime": "1700000000000",
    "uTime": "1700000001000",
}
OKX_POSITION = {
    "instId": "BTC-USDT-SWAP",
    "instType": "SWAP",
    "mgnMode": "cross",
    "posSide": "net",
    "pos": "-3.21",
    "avgPx": "50123.4567890123456789",
    "markPx": "50001",
    "upl": "1.000000000000000001",
    "lever": "5",
    "cTime": "1700000000000",
    "uTime": "1700000000000",
}


@pytest.fixture
async def venue() -> AsyncIterator[ScriptedVenue]:
    answers = {
        "/api/v5/public/instruments": okx(OKX_SWAP),
        "/api/v5/asset/currencies": okx(),
        "/api/v5/trade/order": okx(OKX_ORDER),
        "/api/v5/trade/amend-order": okx({"ordId": OKX_ORDER["ordId"], "clOrdId": "tw1", "sCode": "0"}),
        "/api/v5/trade/batch-orders": okx({"ordId": OKX_ORDER["ordId"], "clOrdId": "tw1", "sCode": "0"}),
        "/api/v5/trade/cancel-order": okx({"ordId": OKX_ORDER["ordId"], "clOrdId": "tw1", "sCode": "0"}),
        "/api/v5/account/positions": okx(OKX_POSITION),
        "/api/v5/account/set-leverage": okx({"lever": "7", "mgnMode": "cross", "instId": "BTC-USDT-SWAP"}),
    }
    async with scripted(answers) as opened:
        yield opened


@pytest.fixture
async def trader(venue: ScriptedVenue) -> AsyncIterator[CCXTPlugin]:
    options = {
        "urls": {"api": {"rest": venue.url}},
        "options": {"fetchMarkets": {"types": ["swap"]}},
    }
    plugin = CCXTPlugin(PluginSetup("okx", KEYS, options=options))
    yield plugin
    await plugin.close()


async def test_an_acknowledgement_without_details_is_filled_from_the_order(
    venue: ScriptedVenue, trader: CCXTPlugin
) -> None:
    order = await trader.create_order(
        order_request("tw1", symbol=SWAP, amount=D("12.349"), price=D("50000.1"), reduce_only=True)
    )
    assert (order.venue_order_id, order.client_order_id) == ("312269865356374016", "tw1")
    assert (order.side, order.type, order.status, order.filled) == ("buy", "limit", "open", D(0))
    _, body = venue.last("/api/v5/trade/batch-orders")
    assert body[0]["clOrdId"] == "tw1"
    assert (body[0]["sz"], body[0]["px"], body[0]["reduceOnly"]) == ("12.34", "50000.1", True)


async def test_another_order_than_ours_is_an_order_in_doubt(venue: ScriptedVenue, trader: CCXTPlugin) -> None:
    request = order_request("tw2", symbol=SWAP, amount=D(1), price=D(50_000))
    with pytest.raises(MalformedAnswerPluginError, match="another order"):
        await trader.create_order(request)
    venue.answers["/api/v5/trade/batch-orders"] = okx({"ordId": "9", "sCode": "0"})
    with pytest.raises(MalformedAnswerPluginError, match="our id"):
        await trader.create_order(request)
    venue.answers["/api/v5/trade/batch-orders"] = okx()
    with pytest.raises(MalformedAnswerPluginError):
        await trader.create_order(request)


async def test_an_order_is_edited_in_one_step(venue: ScriptedVenue, trader: CCXTPlugin) -> None:
    edited = await trader.edit_order(SWAP, venue_order_id="312269865356374016", price=D("50000.2"))
    assert (edited.price, edited.amount, edited.filled) == (D("50000.2"), D("12.34"), D("2.34"))
    assert (edited.status, edited.client_order_id) == ("partially_filled", "tw1")
    _, body = venue.last("/api/v5/trade/amend-order")
    assert (body["ordId"], body["newPx"], body["newSz"]) == ("312269865356374016", "50000.2", "12.34")
    with pytest.raises(InvalidInput):
        await trader.edit_order(SWAP, venue_order_id="312269865356374016", price=D("50000.23"))
    with pytest.raises(InvalidInput):
        await trader.edit_order(SWAP, venue_order_id="312269865356374016", amount=D(0))
    writes = [path for method, path, _, _ in venue.asked if method == "POST"]
    assert writes == ["/api/v5/trade/amend-order"]


async def test_a_cancellation_that_tells_nothing_is_looked_at(
    venue: ScriptedVenue, trader: CCXTPlugin
) -> None:
    venue.answers["/api/v5/trade/order"] = okx({**OKX_ORDER, "state": "canceled"})
    order = await trader.cancel_order(SWAP, venue_order_id="312269865356374016")
    assert (order.status, order.filled, order.amount) == ("canceled", D("2.34"), D("12.34"))
    del venue.answers["/api/v5/trade/order"]
    with pytest.raises(MalformedAnswerPluginError, match="took the cancellation"):
        await trader.cancel_order(SWAP, venue_order_id="312269865356374016")


async def test_an_order_is_found_by_our_id(venue: ScriptedVenue, trader: CCXTPlugin) -> None:
    found = await trader.fetch_order(SWAP, client_order_id="tw1")
    assert found is not None
    assert (found.amount, found.filled, found.status) == (D("12.34"), D("2.34"), "partially_filled")
    query, _ = venue.last("/api/v5/trade/order")
    assert query == {"instId": "BTC-USDT-SWAP", "clOrdId": "tw1"}
    venue.answers["/api/v5/trade/order"] = {"code": "51603", "msg": "Order does not exist", "data": []}
    assert await trader.fetch_order(SWAP, client_order_id="tw1") is None


async def test_positions_and_leverage(venue: ScriptedVenue, trader: CCXTPlugin) -> None:
    assert await trader.fetch_positions() == (
        Position(
            symbol=SWAP,
            amount=D("-3.21"),
            entry_price=D("50123.4567890123456789"),
            mark_price=D(50_001),
            unrealized_pnl=D("1.000000000000000001"),
            leverage=D(5),
        ),
    )
    await trader.set_leverage(SWAP, D(7))
    assert venue.last("/api/v5/account/set-leverage")[1]["lever"] in (7, "7")
    for bad in (D(0), D(-1), D("NaN"), D(100_000)):
        with pytest.raises(InvalidInput):
            await trader.set_leverage(SWAP, bad)
    with pytest.raises(UnknownSymbol):
        await trader.set_leverage("ETH/USDT:USDT", D(2))


def bybit(*rows: Any) -> dict[str, Any]:
    return {"retCode": 0, "retMsg": "OK", "result": {"category": "spot", "list": list(rows)}, "time": 1}


BYBIT_SPOT = {
    "symbol": "BTCUSDT",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "status": "Trading",
    "lotSizeFilter": {
        "basePrecision": "0.000001",
        "quotePrecision": "0.00000001",
        "minOrderQty": "0.000048",
        "maxOrderQty": "71",
        "minOrderAmt": "1",
        "maxOrderAmt": "4000000",
    },
    "priceFilter": {"tickSize": "0.01"},
}
BYBIT_ORDER = {
    "orderId": "fd4300ae-7847-404e-b947-b46980a4d140",
    "orderLinkId": "tw-1",
    "symbol": "BTCUSDT",
    "price": "1000.00",
    "qty": "0.25",
    "side": "Buy",
    "orderStatus": "Cancelled",
    "orderType": "Limit",
    "cumExecQty": "0",
    "leavesQty": "0",
    "createdTime": "1700000000000",
    "updatedTime": "1700000001000",
}


async def test_where_one_order_can_not_be_asked_for_a_list_is_filtered_by_our_id() -> None:
    def listed(*rows: dict[str, Any]) -> Any:
        return lambda _body, query: bybit(
            *(row for row in rows if query.get("orderLinkId") in (None, row["orderLinkId"]))
        )

    answers = {
        "/v5/market/instruments-info": bybit(BYBIT_SPOT),
        "/v5/market/time": {"retCode": 0, "result": {"timeSecond": "1", "timeNano": "1"}, "time": 1},
        "/v5/asset/coin/query-info": {"retCode": 0, "result": {"rows": []}, "time": 1},
        "/v5/user/query-api": {"retCode": 0, "result": {"uta": 1, "unified": 0}},
        "/v5/account/info": {"retCode": 0, "result": {"unifiedMarginStatus": 5}},
        "/v5/order/realtime": listed(),
        "/v5/order/history": listed(BYBIT_ORDER, {**BYBIT_ORDER, "orderLinkId": "other"}),
    }
    async with scripted(answers) as venue:
        kinds = ("spot", "futures", "v2", "public", "private")
        options = {
            "urls": {"api": dict.fromkeys(kinds, venue.url)},
            "options": {"fetchMarkets": {"types": ["spot"]}, "defaultType": "spot"},
        }
        plugin = CCXTPlugin(PluginSetup("bybit", KEYS, options=options))
        try:
            found = await plugin.fetch_order(SPOT, client_order_id="tw-1")
            assert found is not None
            assert (found.status, found.amount, found.client_order_id) == ("canceled", D("0.25"), "tw-1")
            assert venue.last("/v5/order/realtime")[0]["orderLinkId"] == "tw-1"
            assert await plugin.fetch_order(SPOT, client_order_id="tw-2") is None
            with pytest.raises(PluginFeatureNotSupportedError, match="cost"):
                await plugin.create_order(order_request(type="market", price=None))
        finally:
            await plugin.close()


async def test_who_can_not_be_asked_by_our_id_says_so() -> None:
    plugin = CCXTPlugin(PluginSetup("bitfinex", KEYS))
    exchange = plugin._make_exchanges()[0]
    assert exchange.has["fetchOrder"]
    assert not plugin._trading._finds_by_client_id
    await plugin.close()
