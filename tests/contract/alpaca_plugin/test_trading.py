"""Orders, fills, balances: exact, sent once, and unknown wherever Alpaca did not say."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any, Final

import msgspec
import pytest

from tests.contract.alpaca_plugin.rig import finish, make_plugin, take, wait_until
from tests.venues.alpaca import AlpacaVenue
from tests.venues.alpaca.server import AfterAccept
from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import (
    AuthenticationPluginError,
    MalformedAnswerPluginError,
    NetworkPluginError,
    PluginError,
    PluginFeatureNotSupportedError,
    RateLimitPluginError,
)
from tradewright.domain.orders import Balance, OrderRequest, Position, TradingFees
from tradewright.plugins.alpaca import AlpacaPlugin
from tradewright.testing import DrivenClock

ORDERS: Final = "/v2/orders"
UNKNOWN: Final = (NetworkPluginError, MalformedAnswerPluginError)


def request(client_order_id: str = "tw-1", **changes: Any) -> OrderRequest:
    base = OrderRequest(
        client_order_id=client_order_id,
        symbol="AAPL",
        side="buy",
        type="limit",
        amount=Decimal(3),
        price=Decimal("1.01"),
    )
    return msgspec.structs.replace(base, **changes)


async def test_an_order_goes_there_and_back_exactly(venue: AlpacaVenue, plugin: AlpacaPlugin) -> None:
    amount, cash = Decimal("0.123456789"), venue.ledger.cash
    placed = await plugin.create_order(request(type="market", price=None, amount=amount))
    assert (placed.client_order_id, placed.status, placed.filled) == ("tw-1", "filled", amount)
    price = Decimal(str(venue.securities["AAPL"].ask[0]))
    assert placed.average == price
    assert (placed.amount, placed.remaining) == (amount, Decimal(0))
    assert await plugin.fetch_order("AAPL", venue_order_id=placed.venue_order_id) == placed
    assert await plugin.fetch_order("AAPL", client_order_id="tw-1") == placed
    assert await plugin.fetch_order("AAPL", client_order_id="tw-2") is None
    assert await plugin.fetch_order("AAPL", venue_order_id="no-such-id") is None
    assert await plugin.fetch_order("AAPL", venue_order_id="../account") is None
    (fill,) = await plugin.fetch_my_trades("AAPL", since_ms=0, limit=10)
    assert (fill.price, fill.amount, fill.venue_order_id) == (price, amount, placed.venue_order_id)
    assert await plugin.fetch_balances() == [Balance("USD", cash - price * amount, Decimal(0))]
    (held,) = await plugin.fetch_positions()
    assert held == Position(
        symbol="AAPL",
        amount=amount,
        entry_price=price,
        mark_price=held.mark_price,
        unrealized_pnl=held.unrealized_pnl,
    )
    assert await plugin.fetch_closed_orders("AAPL", since_ms=0, limit=5) == [placed]
    assert await plugin.fetch_fees("AAPL") == TradingFees(Decimal(0), Decimal(0))


async def test_coins_are_balances_under_their_own_name(venue: AlpacaVenue, plugin: AlpacaPlugin) -> None:
    amount = Decimal("0.100000001")
    await plugin.create_order(request(symbol="BTC/USD", type="market", price=None, amount=amount))
    sell = request("tw-2", symbol="BTC/USD", side="sell", amount=Decimal("0.1"), price=Decimal(900_000))
    assert (await plugin.create_order(sell)).status == "open"
    _, coins = await plugin.fetch_balances()
    assert coins == Balance("BTC", Decimal("0.000000001"), Decimal("0.1"))
    assert await plugin.fetch_positions() == []
    assert [fill.amount for fill in await plugin.fetch_my_trades("BTC/USD", since_ms=0, limit=5)] == [amount]
    with pytest.raises(PluginFeatureNotSupportedError):
        await plugin.fetch_fees("BTC/USD")


async def test_open_orders_hold_cash_and_can_be_changed_and_cancelled(
    venue: AlpacaVenue, plugin: AlpacaPlugin
) -> None:
    placed = await plugin.create_order(request())
    assert (placed.status, placed.price) == ("open", Decimal("1.01"))
    assert await plugin.fetch_open_orders() == await plugin.fetch_open_orders("AAPL") == [placed]
    assert await plugin.fetch_open_orders("IBM") == []
    assert (await plugin.fetch_balances())[0].locked == Decimal("3.03")
    changed = await plugin.edit_order(
        "AAPL", venue_order_id=placed.venue_order_id, amount=Decimal(2), price=Decimal("1.02")
    )
    assert (changed.amount, changed.price) == (Decimal(2), Decimal("1.02"))
    assert changed.venue_order_id != placed.venue_order_id
    gone = await plugin.cancel_order("AAPL", venue_order_id=changed.venue_order_id)
    assert gone.status == "canceled"
    with pytest.raises(PluginError) as raised:
        await plugin.cancel_order("AAPL", venue_order_id=changed.venue_order_id)
    assert type(raised.value) is PluginError
    for number in range(3):
        await plugin.create_order(request(f"tw-all-{number}", symbol=("AAPL", "IBM", "AAPL")[number]))
    await plugin.cancel_all_orders("AAPL")
    assert [each.symbol for each in await plugin.fetch_open_orders()] == ["IBM"]
    await plugin.cancel_all_orders()
    assert await plugin.fetch_open_orders() == []


async def test_stops_and_times_in_force(venue: AlpacaVenue, plugin: AlpacaPlugin) -> None:
    high = Decimal("900.00")
    stop = await plugin.create_order(request(type="stop", price=None, stop_price=high))
    assert (stop.type, stop.status) == ("stop", "open")
    both = await plugin.create_order(request("tw-2", type="stop_limit", stop_price=high, price=high))
    assert (both.type, both.price) == ("stop_limit", high)
    now = await plugin.create_order(request("tw-3", time_in_force="ioc"))
    assert now.status == "canceled"
    whole = venue.ledger.find(stop.venue_order_id)
    assert whole.time_in_force == "gtc"
    part = await plugin.create_order(request("tw-4", amount=Decimal("0.5")))
    assert venue.ledger.find(part.venue_order_id).time_in_force == "day"
    for refused in (
        request("no-1", post_only=True),
        request("no-2", reduce_only=True),
        request("no-3", symbol="BTC/USD", type="stop", price=None, stop_price=high),
        request("no-4", symbol="BTC/USD", time_in_force="fok"),
    ):
        with pytest.raises(PluginFeatureNotSupportedError):
            await plugin.create_order(refused)
    assert len(venue.ledger.orders) == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": Decimal(1_000_000), "price": Decimal(200)},  # more than there is cash for
        {"side": "sell"},  # nothing to sell
        {"price": Decimal("1.001")},  # not a price
        {"symbol": "NOPE"},
        {"amount": Decimal("0.5"), "time_in_force": "gtc"},
    ],
)
async def test_what_alpaca_refuses_is_refused_once_and_for_all(
    venue: AlpacaVenue, plugin: AlpacaPlugin, changes: dict[str, Any]
) -> None:
    with pytest.raises(PluginError) as raised:
        await plugin.create_order(request(**changes))
    assert type(raised.value) is PluginError
    assert not venue.ledger.orders
    assert venue.requests[f"POST {ORDERS}"] == 1


@pytest.mark.parametrize(
    "then", ["hang", "reset", "cut_body", "html", "empty", "null", "unavailable", "other"]
)
async def test_an_order_whose_answer_is_lost_is_unknown_and_found_by_its_id(
    venue: AlpacaVenue, plugin: AlpacaPlugin, then: AfterAccept
) -> None:
    await plugin.fetch_instruments()
    venue.accept_then(then)
    with pytest.raises(UNKNOWN):
        await plugin.create_order(request())
    assert venue.requests[f"POST {ORDERS}"] == 1
    assert len(venue.ledger.orders) == 1
    found = await plugin.fetch_order("AAPL", client_order_id="tw-1")
    assert found is not None
    assert found.status == "open"


async def test_a_client_id_that_is_taken_leaves_open_whose_order_it_is(
    venue: AlpacaVenue, plugin: AlpacaPlugin
) -> None:
    await plugin.create_order(request())
    with pytest.raises(NetworkPluginError, match="client id"):
        await plugin.create_order(request())
    assert len(venue.ledger.orders) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 409, 418, 422, 200, 204, 302, 500, 503, 504])
async def test_a_write_is_refused_only_in_alpacas_own_words(
    venue: AlpacaVenue, plugin: AlpacaPlugin, status: int
) -> None:
    for body in ("", "<html>no</html>", '{"error":"no"}', "[]"):
        venue.faults.answer(ORDERS, status=status, body=body)
        with pytest.raises(UNKNOWN):
            await plugin.create_order(request())


async def test_a_key_that_is_refused_and_too_many_calls_are_no_unknown(
    venue: AlpacaVenue, plugin: AlpacaPlugin, clock: DrivenClock
) -> None:
    wrong = make_plugin(venue, clock, key=Credentials({"api_key": "PKWRONG", "secret": "wrong"}))
    with pytest.raises(AuthenticationPluginError):
        await wrong.create_order(request())
    assert venue.requests[f"POST {ORDERS}"] == 1
    await wrong.close()
    venue.faults.answer(ORDERS, status=429, headers={"Retry-After": "5"}, body="{}")
    for _ in range(2):
        with pytest.raises(RateLimitPluginError):
            await plugin.create_order(request())
    assert venue.requests[f"POST {ORDERS}"] == 2


async def test_a_cancellation_that_was_taken_is_never_called_refused(
    venue: AlpacaVenue, plugin: AlpacaPlugin
) -> None:
    placed = await plugin.create_order(request())
    path = f"{ORDERS}/{placed.venue_order_id}"
    venue.faults.answer(path, status=204)
    venue.faults.answer(path, status=401, body='{"code":40110000,"message":"no"}')
    with pytest.raises(NetworkPluginError):
        await plugin.cancel_order("AAPL", venue_order_id=placed.venue_order_id)


async def test_lists_are_read_to_their_end(
    venue: AlpacaVenue, plugin: AlpacaPlugin, clock: DrivenClock
) -> None:
    venue.ledger.fill_at_most = Decimal("0.5")
    for number in range(120):
        await clock.advance(0.01)
        body = {"symbol": "AAPL", "qty": "0.5", "side": "buy", "type": "market", "time_in_force": "day"}
        venue.ledger.place({**body, "client_order_id": f"tw-{number}"})
    fills = await plugin.fetch_my_trades("AAPL", since_ms=0, limit=1_000)
    assert len({fill.trade_id for fill in fills}) == 120
    assert [fill.time_ms for fill in fills] == sorted(fill.time_ms for fill in fills)
    assert len(await plugin.fetch_my_trades("AAPL", since_ms=0, limit=30)) == 30
    closed = await plugin.fetch_closed_orders("AAPL", since_ms=0, limit=50)
    assert [each.client_order_id for each in closed] == [f"tw-{number}" for number in range(50)]


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": ""},
        {"symbol": 7},
        {"side": "up"},
        {"type": "iceberg"},
        {"qty": "NaN"},
        {"qty": "Infinity"},
        {"qty": True},
        {"filled_qty": "1e99"},
        {"limit_price": {"a": 1}},
    ],
)
async def test_an_order_that_can_not_be_one_is_an_error(
    venue: AlpacaVenue, plugin: AlpacaPlugin, changes: dict[str, object]
) -> None:
    placed = await plugin.create_order(request())
    row = {**venue.ledger.find(placed.venue_order_id).row(), **changes}
    venue.faults.answer(ORDERS, body=msgspec.json.encode(row).decode())
    with pytest.raises(MalformedAnswerPluginError):
        await plugin.fetch_order("AAPL", venue_order_id=placed.venue_order_id)


async def test_the_account_is_watched_as_it_changes(
    venue: AlpacaVenue, plugin: AlpacaPlugin, clock: DrivenClock
) -> None:
    stream = plugin.watch_orders()
    watching = asyncio.create_task(take(stream, 5), name="test/watch")
    await wait_until(lambda: any(socket.listening for socket in venue.hub.sockets))
    venue.ledger.fill_at_most = Decimal(2)
    placed = await plugin.create_order(request(type="market", price=None))
    await clock.advance(1)
    resting = await plugin.create_order(request("tw-2"))
    await plugin.cancel_order("AAPL", venue_order_id=resting.venue_order_id)
    seen = await watching
    states = [(each.client_order_id, each.status, int(each.filled)) for each in seen]
    assert states == [
        ("tw-1", "open", 0),
        ("tw-1", "partially_filled", 2),
        ("tw-1", "filled", 3),
        ("tw-2", "open", 0),
        ("tw-2", "canceled", 0),
    ]
    assert seen[2].venue_order_id == placed.venue_order_id
    await finish(stream)
