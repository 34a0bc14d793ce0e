"""Turns CCXT's orders, fills, balances and positions into ours, digit for digit.

What can't be right is a ``MalformedAnswerPluginError``: of money nothing is left out quietly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from tradewright.domain.errors import MalformedAnswerPluginError
from tradewright.domain.instruments import OrderType
from tradewright.domain.orders import (
    Balance,
    Fee,
    OrderRequest,
    OrderStatus,
    Position,
    TradingFees,
    VenueFill,
    VenueOrder,
)
from tradewright.domain.ticks import Side
from tradewright.plugins._ccxt_numbers import decimal_of
from tradewright.plugins._ccxt_parse import time_ms

ZERO: Final = Decimal(0)
TEXT_MAX: Final = 200
_STATUSES: Final[Mapping[str, OrderStatus]] = {
    "open": "open",
    "canceling": "open",
    "closed": "filled",
    "canceled": "canceled",
    "expired": "expired",
    "rejected": "rejected",
}
FINAL_STATUSES: Final = frozenset({"filled", "canceled", "rejected", "expired"})


def order(answer: object, asked: OrderRequest | VenueOrder | None = None) -> VenueOrder:
    """An order. What a venue leaves out of an acknowledgement is taken from what was ``asked``."""
    row = _mapping("order", answer)
    amount = _amount("order's amount", row.get("amount"), asked.amount if asked else None)
    filled = decimal_of(row.get("filled"))
    remaining = decimal_of(row.get("remaining"))
    status = _STATUSES.get(str(row.get("status")), "unknown" if row.get("status") else "open")
    if filled is None:
        before = asked.filled if isinstance(asked, VenueOrder) else ZERO
        known = amount - remaining if remaining is not None else before
        filled = amount if status == "filled" and remaining is None else known
    if filled < 0:
        raise _malformed("order's filled amount")
    kind = _type(row, asked)
    price = _positive(row.get("price")) or (asked.price if asked else None)
    return VenueOrder(
        venue_order_id=_text("order's id", row.get("id")),
        client_order_id=_optional_text(row.get("clientOrderId")),
        symbol=_text("order's symbol", row.get("symbol") or (asked.symbol if asked else None)),
        side=_side(row.get("side") or (asked.side if asked else None)),
        type=kind,
        status=_status(status, amount, filled),
        amount=amount,
        filled=filled,
        remaining=max(amount - filled, ZERO),
        price=price if kind in ("limit", "stop_limit") else None,
        average=_positive(row.get("average")),
        fee=_fee(row.get("fee")),
        created_ms=time_ms(row.get("timestamp")),
        updated_ms=_latest(row),
    )


def sent(number: float | str) -> Decimal:
    """The number as it was sent."""
    return Decimal(str(number))


def _status(status: OrderStatus, amount: Decimal, filled: Decimal) -> OrderStatus:
    if status == "open" and filled > 0:
        return "partially_filled" if filled < amount else "filled"
    # "closed" to CCXT is whatever will not change any more
    return "canceled" if status == "filled" and filled < amount else status


def _type(row: Mapping[str, Any], asked: OrderRequest | VenueOrder | None) -> OrderType:
    named = str(row.get("type") or "").lower()
    triggered = any(_positive(row.get(name)) for name in ("triggerPrice", "stopPrice", "stopLossPrice"))
    if triggered or "stop" in named or "trigger" in named:
        return "stop_limit" if _positive(row.get("price")) and "market" not in named else "stop"
    if "market" in named:
        return "market"
    if named:
        return "limit"
    if asked is not None:
        return asked.type
    return "limit" if _positive(row.get("price")) else "market"


def _latest(row: Mapping[str, Any]) -> int | None:
    names = ("lastUpdateTimestamp", "lastTradeTimestamp", "timestamp")
    return next((found for name in names if (found := time_ms(row.get(name))) is not None), None)


def original_client_id(answer: Mapping[str, Any]) -> str | None:
    """The client id of the order that a cancellation ended, where the venue calls it the original one."""
    told = answer.get("info")
    return _optional_text(told.get("origClientOrderId")) if isinstance(told, Mapping) else None


def orders(answer: object) -> list[VenueOrder]:
    """All orders of a list, in its order."""
    return [order(row) for row in _rows("orders", answer)]


def fills(answer: object) -> list[VenueFill]:
    """The account's executions, the oldest first."""
    found = [_fill(row) for row in _rows("fills", answer)]
    return sorted(found, key=lambda fill: fill.time_ms)  # stable: the venue's order within a moment


def _fill(answer: object) -> VenueFill:
    row = _mapping("fill", answer)
    at, price = time_ms(row.get("timestamp")), _positive(row.get("price"))
    amount = _positive(row.get("amount"))
    if at is None or price is None or amount is None:
        raise _malformed("fill")
    maker = row.get("takerOrMaker")
    return VenueFill(
        trade_id=_text("fill's id", row.get("id")),
        venue_order_id=_text("fill's order", row.get("order")),
        symbol=_text("fill's symbol", row.get("symbol")),
        side=_side(row.get("side")),
        price=price,
        amount=amount,
        time_ms=at,
        fee=_fee(row.get("fee")),
        maker=maker == "maker" if maker in ("maker", "taker") else None,
    )


def balances(answer: object) -> list[Balance]:
    """What the account holds, by currency, without those of which it holds nothing."""
    result = []
    whole = _mapping("balances", answer)
    for currency in sorted(_mapping("balances", whole.get("total"))):
        row = _mapping("balance", whole.get(currency))
        free, used, total = (decimal_of(row.get(name)) for name in ("free", "used", "total"))
        if used is None:
            used = total - free if total is not None and free is not None else ZERO
        if free is None:
            free = total - used if total is not None else None
        if free is None or used < 0:
            raise _malformed(f"balance of {currency[:20]}")
        if free or used:
            result.append(Balance(currency, free, used))
    return result


def positions(answer: object) -> list[Position]:
    """The open positions; a short one has a negative amount."""
    found = [_position(row) for row in _rows("positions", answer)]
    return [one for one in found if one.amount]


def _position(answer: object) -> Position:
    row = _mapping("position", answer)
    contracts = decimal_of(row.get("contracts"))
    if contracts is None:
        raise _malformed("position's amount")
    amount = abs(contracts)  # as orders count them: in contracts
    short = row.get("side") == "short" or (row.get("side") is None and contracts < 0)
    return Position(
        symbol=_text("position's symbol", row.get("symbol")),
        amount=-amount if short else amount,
        entry_price=_positive(row.get("entryPrice")),
        mark_price=_positive(row.get("markPrice")),
        unrealized_pnl=decimal_of(row.get("unrealizedPnl")),
        leverage=_positive(row.get("leverage")),
    )


def fees(answer: object) -> TradingFees:
    """The rates of one symbol."""
    row = _mapping("fees", answer)
    maker, taker = decimal_of(row.get("maker")), decimal_of(row.get("taker"))
    if maker is None or taker is None or abs(maker) >= 1 or abs(taker) >= 1:
        raise _malformed("fee rates")
    return TradingFees(maker, taker)


def _fee(answer: object) -> Fee | None:
    if not isinstance(answer, Mapping):
        return None
    cost, currency = answer.get("cost"), answer.get("currency")
    # A plain float is a sum that CCXT made of several fees: not the venue's word, and not exact.
    cost = decimal_of(cost) if type(cost) is not float else None
    return Fee(currency[:TEXT_MAX], cost) if cost is not None and isinstance(currency, str) else None


def _mapping(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _malformed(name)
    return value


def _rows(name: str, value: object) -> Iterable[object]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise _malformed(name)
    return value


def _text(name: str, value: object) -> str:
    text = _optional_text(value)
    if text is None:
        raise _malformed(name)
    return text


def _optional_text(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > TEXT_MAX:
        return None
    return str(value) or None


def _side(value: object) -> Side:
    if value not in ("buy", "sell"):
        raise _malformed("side")
    return value


def _amount(name: str, value: object, default: Decimal | None) -> Decimal:
    amount = decimal_of(value)
    if amount is None:
        amount = default if value is None else None
    if amount is None or amount < 0:
        raise _malformed(name)
    return amount


def _positive(value: object) -> Decimal | None:
    number = decimal_of(value)
    return number if number is not None and number > 0 else None


def _malformed(name: str) -> MalformedAnswerPluginError:
    return MalformedAnswerPluginError(f"The venue's {name} can't be right.")
