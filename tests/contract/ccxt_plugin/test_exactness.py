"""Amounts and prices keep every digit on both ways, and reach the venue in its steps or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal, localcontext

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.ccxt_plugin.rig import CREATE, SYMBOL, order_request, trader_on
from tests.venues.binance import BinanceVenue
from tradewright.domain.errors import InvalidInput
from tradewright.domain.orders import Balance
from tradewright.plugins._ccxt_precision import outgoing_amount, outgoing_price
from tradewright.plugins.ccxt import CCXTPlugin

D = Decimal
FINE = "0.000000000000000001"


@pytest.fixture
async def fine(venue: BinanceVenue) -> AsyncIterator[CCXTPlugin]:
    """A trader on a market whose steps have 18 decimals."""
    venue.markets["BTCUSDT"].step = venue.markets["BTCUSDT"].tick = FINE
    venue.ledger.free = {"USDT": D("9" * 20) + D(FINE), "BTC": D("123456789.123456789012345678")}
    async with trader_on(venue) as plugin:
        yield plugin


async def test_eighteen_digits_go_there_and_come_back(venue: BinanceVenue, fine: CCXTPlugin) -> None:
    amount, price = D("1234.123456789012345678"), D("60123.987654321098765432")
    order = await fine.create_order(order_request(amount=amount, price=price))
    placed = venue.ledger.orders[int(order.venue_order_id)]
    assert (placed.amount, placed.price) == (amount, price)
    assert (order.amount, order.price) == (amount, price)
    part = D("0.000000000000000003")
    venue.ledger.fill(placed.id, part)
    found = await fine.fetch_order(SYMBOL, client_order_id="tw-1")
    assert found is not None
    assert (found.filled, found.remaining) == (part, amount - part)
    (fill,) = await fine.fetch_my_trades(SYMBOL, since_ms=1, limit=5)
    assert (fill.amount, fill.price) == (part, price)
    assert fill.fee is not None
    assert fill.fee.cost == placed.fills[0].fee
    books = venue.ledger
    assert await fine.fetch_balances() == tuple(
        Balance(asset, books.free[asset], books.locked[asset]) for asset in ("BTC", "USDT")
    )


async def test_json_numbers_keep_their_digits_too(venue: BinanceVenue, trader: CCXTPlugin) -> None:
    await trader.fetch_balances()
    body = '{"balances":[{"asset":"BTC","free":0.123456789012345678,"locked":123456789012345678901}]}'
    venue.faults.answer("/api/v3/account", body=body)
    (balance,) = await trader.fetch_balances()
    assert balance == Balance("BTC", D("0.123456789012345678"), D("123456789012345678901"))


async def test_an_amount_is_rounded_down_and_a_price_never_changed(
    venue: BinanceVenue, trader: CCXTPlugin
) -> None:
    order = await trader.create_order(order_request(amount=D("0.123459999"), price=D("1000.01")))
    assert venue.ledger.orders[int(order.venue_order_id)].amount == D("0.12345")
    for changes in (
        {"price": D("1000.011")},
        {"price": D("0.001")},
        {"amount": D("0.000009")},
        {"type": "stop_limit", "stop_price": D("999.999")},
    ):
        with pytest.raises(InvalidInput):
            await trader.create_order(order_request("tw-2", **changes))
    assert venue.trading.requests[CREATE] == 1


BAD = ("NaN", "sNaN", "Infinity", "-Infinity", "-1", "0", "-0", "1e400", "1e-400", "1E+19", "1." + "1" * 40)


async def test_what_is_no_amount_never_reaches_ccxt(venue: BinanceVenue, trader: CCXTPlugin) -> None:
    for text in BAD:
        with pytest.raises(InvalidInput):
            await trader.create_order(order_request(amount=D(text)))
        with pytest.raises(InvalidInput):
            await trader.create_order(order_request(price=D(text)))
        with pytest.raises(InvalidInput):
            await trader.create_order(order_request(type="stop", price=None, stop_price=D(text), side="sell"))
    assert venue.trading.requests[CREATE] == 0


@pytest.fixture(scope="module")
def exchange() -> object:
    """CCXT's Binance with one market whose steps the tests set."""
    import ccxt.async_support

    made = ccxt.async_support.binance()
    names = {"id": "BTCUSDT", "symbol": SYMBOL, "base": "BTC", "quote": "USDT"}
    made.set_markets([{**names, "type": "spot", "spot": True}])
    return made


amounts = st.decimals(min_value=D("1e-18"), max_value=D("1e17"), places=18, allow_nan=False)
steps = st.integers(0, 18).map(lambda places: D(1).scaleb(-places))
quirky_steps = steps | st.sampled_from([D("0.5"), D("0.05"), D("25"), D("0.0025"), D(10), D(1000)])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=amounts, step=quirky_steps)
def test_amounts_come_down_to_a_step_and_prices_stay(exchange: object, value: Decimal, step: Decimal) -> None:
    exchange.markets[SYMBOL]["precision"] = {"amount": float(step), "price": float(step)}  # type: ignore[attr-defined]
    with localcontext(prec=80):
        try:
            sent = D(str(outgoing_amount(exchange, SYMBOL, value)))
        except InvalidInput:
            assert value < step
        else:
            assert 0 <= value - sent < step
            assert sent % step == 0
        try:
            price = D(str(outgoing_price(exchange, SYMBOL, value)))
        except InvalidInput:
            assert value % step
        else:
            assert price == value
            assert value % step == 0


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.decimals(allow_nan=True, allow_infinity=True), step=steps)
def test_any_decimal_is_sent_or_refused(exchange: object, value: Decimal, step: Decimal) -> None:
    exchange.markets[SYMBOL]["precision"] = {"amount": float(step), "price": float(step)}  # type: ignore[attr-defined]
    for outgoing in (outgoing_amount, outgoing_price):
        try:
            sent = D(str(outgoing(exchange, SYMBOL, value)))
        except InvalidInput:
            continue
        assert 0 < sent <= value
