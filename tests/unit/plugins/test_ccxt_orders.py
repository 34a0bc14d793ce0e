"""What becomes of CCXT's orders, fills, balances and positions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tradewright.domain.errors import MalformedAnswerPluginError
from tradewright.domain.orders import Balance, Fee, OrderRequest, TradingFees
from tradewright.plugins import _ccxt_orders as parse

D = Decimal
ORDER: dict[str, Any] = {
    "id": "7",
    "clientOrderId": "tw-1",
    "symbol": "X/Y",
    "side": "buy",
    "type": "limit",
    "status": "open",
    "amount": "2",
    "filled": "0.5",
    "remaining": "1.5",
    "price": "10",
    "average": "9.9",
    "timestamp": 1_700_000_000_000,
    "lastTradeTimestamp": 1_700_000_001_000,
    "fee": {"currency": "Y", "cost": "0.001"},
}
REQUEST = OrderRequest(
    client_order_id="tw-1", symbol="X/Y", side="sell", type="limit", amount=D(3), price=D(11)
)


def test_an_order_is_read_digit_for_digit() -> None:
    order = parse.order(ORDER)
    assert (order.venue_order_id, order.client_order_id, order.symbol) == ("7", "tw-1", "X/Y")
    assert (order.amount, order.filled, order.remaining) == (D(2), D("0.5"), D("1.5"))
    assert (order.price, order.average, order.fee) == (D(10), D("9.9"), Fee("Y", D("0.001")))
    assert (order.created_ms, order.updated_ms) == (1_700_000_000_000, 1_700_000_001_000)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "partially_filled"),
        ({"filled": "0"}, "open"),
        ({"filled": "2"}, "filled"),
        ({"status": "closed", "filled": "2"}, "filled"),
        ({"status": "closed", "filled": None, "remaining": None}, "filled"),
        ({"status": "closed"}, "canceled"),
        ({"status": "canceled"}, "canceled"),
        ({"status": "canceling"}, "partially_filled"),
        ({"status": "expired"}, "expired"),
        ({"status": "rejected", "filled": "0"}, "rejected"),
        ({"status": "PENDING_NEW"}, "unknown"),
        ({"status": None, "filled": "0"}, "open"),
        ({"filled": None, "remaining": "2"}, "open"),
    ],
)
def test_a_status_is_one_of_ours(changes: dict[str, Any], status: str) -> None:
    assert parse.order({**ORDER, **changes}).status == status


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "limit"),
        ({"type": "market"}, "market"),
        ({"type": "limit_maker"}, "limit"),
        ({"type": "stop_loss_limit"}, "stop_limit"),
        ({"type": "stop_loss", "price": None}, "stop"),
        ({"type": "market", "triggerPrice": "9"}, "stop"),
        ({"triggerPrice": "9"}, "stop_limit"),
        ({"triggerPrice": "0"}, "limit"),
        ({"type": None}, "limit"),
        ({"type": None, "price": None}, "market"),
    ],
)
def test_a_type_is_one_of_ours(changes: dict[str, Any], kind: str) -> None:
    assert parse.order({**ORDER, **changes}).type == kind


def test_a_bare_acknowledgement_takes_the_rest_from_what_was_asked() -> None:
    order = parse.order({"id": "9"}, REQUEST)
    assert (order.side, order.type, order.amount, order.price) == ("sell", "limit", D(3), D(11))
    assert (order.status, order.filled, order.remaining) == ("open", D(0), D(3))
    edited = parse.order({"id": "7"}, parse.order(ORDER))
    assert (edited.filled, edited.status) == (D("0.5"), "partially_filled")


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": ""},
        {"id": ["7"]},
        {"id": "7" * 999},
        {"symbol": None},
        {"side": "both"},
        {"amount": None},
        {"amount": "-1"},
        {"amount": "1e400"},
        {"amount": "NaN"},
        {"filled": "-1"},
    ],
)
def test_an_order_that_can_not_be_right_is_none(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswerPluginError):
        parse.order({**ORDER, **changes})
    with pytest.raises(MalformedAnswerPluginError):
        parse.orders([ORDER, {**ORDER, **changes}])


@pytest.mark.parametrize("answer", [None, "x", 7, {}, [7], [None], [{}]])
def test_a_list_of_nothing_known_is_none(answer: object) -> None:
    for read in (parse.orders, parse.fills, parse.positions):
        with pytest.raises(MalformedAnswerPluginError):
            read(answer)


def test_a_fee_that_ccxt_added_up_is_left_out() -> None:
    assert parse.order({**ORDER, "fee": {"currency": "Y", "cost": 0.1 + 0.2}}).fee is None


def test_fills_come_oldest_first() -> None:
    row = {"symbol": "X/Y", "order": "7", "side": "buy", "price": "1", "amount": "2", "takerOrMaker": "taker"}
    found = parse.fills([{**row, "id": "b", "timestamp": 20}, {**row, "id": "a", "timestamp": 10}])
    assert [(fill.trade_id, fill.maker, fill.fee) for fill in found] == [
        ("a", False, None),
        ("b", False, None),
    ]
    for bad in ({"price": "0"}, {"amount": None}, {"id": None}, {"order": None}, {"timestamp": None}):
        with pytest.raises(MalformedAnswerPluginError):
            parse.fills([{**row, "id": "a", "timestamp": 10, **bad}])


def test_balances_are_free_and_locked() -> None:
    answer = {
        "A": {"free": "1", "used": "2", "total": "3"},
        "B": {"free": None, "used": "1", "total": "3"},
        "C": {"free": "0", "used": "0", "total": "0"},
        "D": {"free": "4", "used": None, "total": None},
        "total": {"D": 4, "A": 3, "B": 3, "C": 0},
        "info": {},
    }
    assert parse.balances(answer) == [
        Balance("A", D(1), D(2)),
        Balance("B", D(2), D(1)),
        Balance("D", D(4), D(0)),
    ]
    for bad in ({}, {"total": {"A": 1}}, {"A": {"free": None}, "total": {"A": 1}}, None):
        with pytest.raises(MalformedAnswerPluginError):
            parse.balances(bad)


def test_a_short_position_is_negative() -> None:
    row = {"symbol": "X/Y:Y", "contracts": "3", "side": "short", "entryPrice": "1", "contractSize": "10"}
    long, none = {**row, "side": "long"}, {**row, "contracts": "0"}
    assert [one.amount for one in parse.positions([row, long, none])] == [D(-3), D(3)]


def test_fees_are_fractions() -> None:
    assert parse.fees({"maker": "-0.0001", "taker": "0.001"}) == TradingFees(D("-0.0001"), D("0.001"))
    for bad in ({}, {"maker": "1", "taker": "0"}, {"maker": "0"}):
        with pytest.raises(MalformedAnswerPluginError):
            parse.fees(bad)
