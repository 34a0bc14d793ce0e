"""What a failed write tells: nothing was done, or nobody knows. Never is one sent twice."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from tests.contract.ccxt_plugin.rig import (
    CANCEL,
    CREATE,
    SYMBOL,
    order_request,
    refusal,
    wait_until,
)
from tests.venues.binance import BinanceVenue
from tests.venues.binance.trading import DOUBTS
from tradewright.domain.errors import (
    AuthenticationPluginError,
    MalformedAnswerPluginError,
    NetworkPluginError,
    PluginError,
    RateLimitPluginError,
    TimeoutPluginError,
    TradewrightError,
    UnknownSymbol,
)
from tradewright.plugins._ccxt_governor import Governor
from tradewright.plugins.ccxt import CCXTPlugin

UNKNOWN = (NetworkPluginError, MalformedAnswerPluginError)
SHAPES = ("hang", "reset", "cut_body", *DOUBTS)
TIMEOUTS = ("hang", "408", "504", "-1007")


@pytest.mark.parametrize("lost", [False, True], ids=["taken", "lost"])
async def test_an_order_in_doubt_is_sent_once_and_found_by_our_id(
    venue: BinanceVenue, trader: CCXTPlugin, lost: bool
) -> None:
    for count, shape in enumerate(SHAPES, 1):
        venue.trading.doubt(CREATE, shape, lost=lost)
        with pytest.raises(UNKNOWN) as caught:
            await trader.create_order(order_request(f"tw-{shape}"))
        assert isinstance(caught.value, TimeoutPluginError) == (shape in TIMEOUTS), shape
        found = await trader.fetch_order(SYMBOL, client_order_id=f"tw-{shape}")
        assert (found is None) == lost, shape
        assert venue.trading.requests[CREATE] == count, f"{shape} is sent once"
        assert len(venue.ledger.orders) == (0 if lost else count), shape


async def test_a_cancellation_in_doubt_is_sent_once(venue: BinanceVenue, trader: CCXTPlugin) -> None:
    shapes = ("hang", "reset", "cut_body", "html", "object", "null", "503", "-1006")
    for count, shape in enumerate(shapes, 1):
        order = await trader.create_order(order_request(f"tw-{count}"))
        venue.trading.doubt(CANCEL, shape)
        with pytest.raises(UNKNOWN):
            await trader.cancel_order(SYMBOL, venue_order_id=order.venue_order_id)
        # aiohttp repeats a DELETE on a broken connection unless it is told not to
        assert venue.trading.requests[CANCEL] == count, f"{shape} is sent once"
        found = await trader.fetch_order(SYMBOL, client_order_id=f"tw-{count}")
        assert found is not None
        assert found.status == "canceled"


async def test_an_order_that_shows_late_is_not_found_until_then(
    venue: BinanceVenue, trader: CCXTPlugin
) -> None:
    venue.trading.invisible_for_ms = 300
    await trader.create_order(order_request())
    assert await trader.fetch_order(SYMBOL, client_order_id="tw-1") is None
    (placed,) = venue.ledger.orders.values()
    await wait_until(lambda: venue.time.now_ms() - placed.created_ms > 300)
    assert await trader.fetch_order(SYMBOL, client_order_id="tw-1") is not None


REFUSALS: tuple[tuple[int, str, type[TradewrightError]], ...] = (
    (400, refusal(-2010, "Account has insufficient balance for requested action."), PluginError),
    (400, refusal(-2010, "Order would immediately match and take."), PluginError),
    (400, refusal(-2010, "Market is closed."), PluginError),
    (400, refusal(-1013, "Filter failure: PRICE_FILTER"), PluginError),
    (400, refusal(-1013, "Filter failure: NOTIONAL"), PluginError),
    (400, refusal(-1111, "Precision is over the maximum defined for this asset."), PluginError),
    (400, refusal(-1021, "Timestamp for this request is outside of the recvWindow."), PluginError),
    (400, refusal(-1102, "Mandatory parameter was not sent."), PluginError),
    (400, refusal(-1121, "Invalid symbol."), UnknownSymbol),
    (400, refusal(-1022, "Signature for this request is not valid."), AuthenticationPluginError),
    (401, refusal(-2014, "API-key format invalid."), AuthenticationPluginError),
    (401, refusal(-2015, "Invalid API-key, IP, or permissions."), AuthenticationPluginError),
    (400, refusal(-1015, "Too many new orders."), RateLimitPluginError),
    (429, refusal(-1003, "Too much request weight used."), RateLimitPluginError),
    (418, refusal(-1003, "Way too much request weight used; IP banned."), RateLimitPluginError),
)


async def test_a_refusal_is_for_certain(venue: BinanceVenue, trader: CCXTPlugin) -> None:
    await trader.fetch_balances()
    for number, (status, body, kind) in enumerate(REFUSALS, 1):
        rule = venue.faults.answer("/api/v3/order", status=status, body=body)
        with pytest.raises(TradewrightError) as caught:
            await trader.create_order(order_request("tw-refused"))
        assert type(caught.value) is kind, body
        assert rule.used == 1, body
        await trader.create_order(order_request(f"tw-{number}"))
        assert len(venue.ledger.orders) == number


async def test_a_missing_order_is_no_refusal_of_a_new_one(venue: BinanceVenue, trader: CCXTPlugin) -> None:
    await trader.fetch_balances()
    venue.faults.answer("/api/v3/order", status=400, body=refusal(-2013, "Order does not exist."))
    with pytest.raises(MalformedAnswerPluginError):
        await trader.create_order(order_request())


async def test_an_answer_about_another_order_is_none(venue: BinanceVenue, trader: CCXTPlugin) -> None:
    order = await trader.create_order(order_request())
    row = '{"symbol":"BTCUSDT","orderId":%s,"clientOrderId":"%s","origQty":"1","side":"BUY","type":"LIMIT"}'
    venue.faults.answer("/api/v3/order", body=row % (99, "tw-9"))
    with pytest.raises(MalformedAnswerPluginError, match="another order"):
        await trader.create_order(order_request("tw-2"))
    venue.faults.answer("/api/v3/order", body=row % (99, "tw-9"))
    with pytest.raises(MalformedAnswerPluginError, match="another order"):
        await trader.fetch_order(SYMBOL, venue_order_id=order.venue_order_id)
    venue.faults.answer("/api/v3/order", body=row % (99, "tw-9"))
    with pytest.raises(MalformedAnswerPluginError, match="another order"):
        await trader.fetch_order(SYMBOL, client_order_id="tw-1")


async def test_what_was_never_sent_is_known_not_to_be(venue: BinanceVenue, trader: CCXTPlugin) -> None:
    await trader.fetch_balances()
    venue.faults.refuse_connections()
    with pytest.raises(NetworkPluginError):
        await trader.fetch_balances()  # learns that the connection it had is gone
    with pytest.raises(PluginError, match="Nothing was sent") as caught:
        await trader.create_order(order_request())
    assert not isinstance(caught.value, UNKNOWN)
    await venue.faults.accept_connections()
    assert venue.trading.requests[CREATE] == 0


async def test_markets_that_do_not_load_are_no_order_in_doubt(
    venue: BinanceVenue, trader: CCXTPlugin
) -> None:
    venue.faults.unavailable("/api/v3/exchangeInfo", times=1)
    with pytest.raises(PluginError, match="Nothing was sent") as caught:
        await trader.create_order(order_request())
    assert not isinstance(caught.value, UNKNOWN)


@pytest.mark.parametrize("status", [418, 429])
async def test_who_is_told_to_stay_away_sends_nothing(
    venue: BinanceVenue, trader: CCXTPlugin, status: int
) -> None:
    order = await trader.create_order(order_request())
    venue.faults.answer(
        "/api/v3/account", status=status, body=refusal(-1003, "Stop."), headers={"Retry-After": "30"}
    )
    with pytest.raises(RateLimitPluginError):
        await trader.fetch_balances()
    before = venue.trading.requests.total(), dict(venue.rest.requests)
    for call in (
        trader.create_order(order_request("tw-2")),
        trader.cancel_order(SYMBOL, venue_order_id=order.venue_order_id),
        trader.fetch_open_orders(),
        trader.fetch_ticker(SYMBOL),
    ):
        with pytest.raises(RateLimitPluginError) as caught:
            await call
        assert caught.value.retry_after_s == pytest.approx(30, abs=5)
    assert (venue.trading.requests.total(), dict(venue.rest.requests)) == before


async def test_a_key_that_is_revoked_is_not_taken_for_haste(venue: BinanceVenue, trader: CCXTPlugin) -> None:
    await trader.create_order(order_request())
    venue.trading.permitted = False
    for number in range(2):
        with pytest.raises(AuthenticationPluginError):
            await trader.create_order(order_request(f"tw-{number + 2}"))
    assert venue.trading.requests[CREATE] == 3


async def test_a_cancelled_caller_is_told_nothing_and_the_order_can_be_found(
    venue: BinanceVenue, trader: CCXTPlugin
) -> None:
    await trader.fetch_balances()
    venue.trading.doubt(CREATE, "hang")
    sending = asyncio.create_task(trader.create_order(order_request()))
    await wait_until(lambda: len(venue.ledger.orders) == 1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    found = await trader.fetch_order(SYMBOL, client_order_id="tw-1")
    assert found is not None
    assert found.status == "open"
    assert venue.trading.requests[CREATE] == 1


async def test_changed_rules_are_learned_after_one_refusal(
    venue: BinanceVenue, trader: CCXTPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradewright.plugins.ccxt.MARKETS_DOUBT_S", 0.0)
    await trader.create_order(order_request())
    asked = venue.requests("exchangeInfo")
    venue.markets["BTCUSDT"].step = "0.10000000"
    with pytest.raises(PluginError, match="lot size"):
        await trader.create_order(order_request("tw-2"))
    order = await trader.create_order(order_request("tw-3"))
    assert order.amount == Decimal("0.2"), "rounded down to the new step"
    assert venue.requests("exchangeInfo") == asked + 1
    await trader.fetch_balances()
    assert venue.requests("exchangeInfo") == asked + 1


async def test_a_refusal_for_money_is_no_reason_to_load_the_rules(
    venue: BinanceVenue, trader: CCXTPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradewright.plugins.ccxt.MARKETS_DOUBT_S", 0.0)
    for number in range(3):
        with pytest.raises(PluginError, match="InsufficientFunds"):
            await trader.create_order(order_request(f"tw-{number}", amount=Decimal(5_000)))
    assert venue.requests("exchangeInfo") == 1


async def test_an_order_does_not_wait_long_for_its_turn(
    venue: BinanceVenue, trader: CCXTPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradewright.plugins._ccxt_exchange.SEND_WITHIN_S", 0.1)
    await trader.fetch_balances()
    slow = Governor("binance", trader.clock, per_second=0.01)
    await slow.acquire(1)
    trader._account.governor = slow
    with pytest.raises(RateLimitPluginError, match="Too many calls") as caught:
        await trader.create_order(order_request())
    assert caught.value.retry_after_s
    assert venue.trading.requests[CREATE] == 0
