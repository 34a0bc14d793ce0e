"""Orders, fills, balances and positions between Alpaca's form and ours, exact."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from tradewright.domain.errors import PluginFeatureNotSupportedError
from tradewright.domain.instruments import OrderType
from tradewright.domain.orders import (
    Balance,
    OrderRequest,
    OrderStatus,
    Position,
    TimeInForce,
    VenueFill,
    VenueOrder,
)
from tradewright.domain.ticks import Side
from tradewright.plugins._alpaca_errors import NAME, malformed
from tradewright.plugins._alpaca_parse import is_stock
from tradewright.plugins._alpaca_times import time_ms

_STATUS: Final[Mapping[str, OrderStatus]] = {
    "pending_new": "pending",
    "new": "open",
    "accepted": "open",
    "accepted_for_bidding": "open",
    "held": "open",
    "stopped": "open",
    "suspended": "open",
    "calculated": "open",
    "done_for_day": "open",
    "pending_cancel": "open",
    "pending_replace": "open",
    "partially_filled": "partially_filled",
    "filled": "filled",
    "canceled": "canceled",
    "replaced": "canceled",
    "expired": "expired",
    "rejected": "rejected",
}
_TYPES: Final[Mapping[str, OrderType]] = {
    "market": "market",
    "limit": "limit",
    "stop": "stop",
    "stop_limit": "stop_limit",
    "trailing_stop": "stop",
}
_SIDES: Final[Mapping[str, Side]] = {"buy": "buy", "sell": "sell", "sell_short": "sell"}


def order_body(request: OrderRequest) -> dict[str, object]:
    """What is sent to place the order; ``PluginFeatureNotSupportedError`` for what Alpaca does not do."""
    for wanted, what in ((request.post_only, "post-only"), (request.reduce_only, "reduce-only")):
        if wanted:
            raise PluginFeatureNotSupportedError(f"{NAME} has no {what} orders.")
    stock = is_stock(request.symbol)
    if not stock and request.type == "stop":
        raise PluginFeatureNotSupportedError(f"{NAME} has no stop orders for crypto; stop-limit it has.")
    body: dict[str, object] = {
        "symbol": request.symbol,
        "qty": plain(request.amount),
        "side": request.side,
        "type": request.type,
        "time_in_force": _time_in_force(request, stock=stock),
        "client_order_id": request.client_order_id,
    }
    if stock:
        body["extended_hours"] = False
    if request.price is not None:
        body["limit_price"] = plain(request.price)
    if request.stop_price is not None:
        body["stop_price"] = plain(request.stop_price)
    return body


def _time_in_force(request: OrderRequest, *, stock: bool) -> TimeInForce:
    """What was asked for. Where nothing was: good till cancelled, but for the day where Alpaca takes
    nothing else, which is for fractions of a share; an order at the market is for now in any case."""
    asked = request.time_in_force
    if not stock:
        if asked not in (None, "gtc", "ioc"):
            raise PluginFeatureNotSupportedError(f"{NAME} takes orders for crypto as gtc or ioc alone.")
        return asked or "gtc"
    if asked is not None:
        return asked
    whole = request.amount == request.amount.to_integral_value()
    return "gtc" if whole and request.type != "market" else "day"


def plain(value: Decimal) -> str:
    """The decimal in full, without an exponent."""
    return f"{value:f}"


def order(row: object) -> VenueOrder:
    """An order as Alpaca knows it; ``MalformedAnswerPluginError`` for what is none."""
    if not isinstance(row, Mapping):
        raise malformed("an order is no object")
    venue_order_id, symbol = row.get("id"), row.get("symbol")
    side, kind = _side(row.get("side")), _type(row.get("type") or row.get("order_type"))
    filled = amount_of(row.get("filled_qty")) or Decimal(0)
    amount = amount_of(row.get("qty"))
    if not isinstance(venue_order_id, str) or not venue_order_id or not isinstance(symbol, str):
        raise malformed("an order has no id or no symbol")
    if side is None or kind is None:
        raise malformed("an order has an unknown side or type")
    if amount is None:
        amount = filled  # placed elsewhere by its value in dollars: what it buys is known at the end
    client_order_id = row.get("client_order_id")
    return VenueOrder(
        venue_order_id=venue_order_id,
        client_order_id=client_order_id if isinstance(client_order_id, str) else None,
        symbol=symbol,
        side=side,
        type=kind,
        status=_status(row.get("status"), filled),
        amount=amount,
        filled=filled,
        remaining=max(amount - filled, Decimal(0)),
        price=amount_of(row.get("limit_price")),
        average=amount_of(row.get("filled_avg_price")),
        created_ms=time_ms(row.get("created_at") or row.get("submitted_at")),
        updated_ms=time_ms(row.get("updated_at")),
    )


def _side(theirs: object) -> Side | None:
    return _SIDES.get(theirs) if isinstance(theirs, str) else None


def _type(theirs: object) -> OrderType | None:
    return _TYPES.get(theirs) if isinstance(theirs, str) else None


def _status(theirs: object, filled: Decimal) -> OrderStatus:
    ours = _STATUS.get(theirs, "unknown") if isinstance(theirs, str) else "unknown"
    return "partially_filled" if ours == "open" and filled > 0 else ours


def fill(row: Mapping[str, Any], symbol: str) -> VenueFill:
    """An execution out of the account's activities; an error for what is none."""
    trade_id, order_id, side = row.get("id"), row.get("order_id"), _side(row.get("side"))
    price, amount, at = (
        amount_of(row.get("price")),
        amount_of(row.get("qty")),
        time_ms(row.get("transaction_time")),
    )
    if not isinstance(trade_id, str) or not isinstance(order_id, str) or side is None:
        raise malformed("a fill has no id, order or side")
    if price is None or amount is None or at is None:
        raise malformed("a fill has no price, amount or time")
    return VenueFill(
        trade_id=trade_id,
        venue_order_id=order_id,
        symbol=symbol,
        side=side,
        price=price,
        amount=abs(amount),
        time_ms=at,
    )


def cash(account: object) -> Balance:
    """The account's cash. What open orders hold back is what can't be spent without borrowing."""
    row = account if isinstance(account, Mapping) else {}
    total, spendable = amount_of(row.get("cash")), amount_of(row.get("non_marginable_buying_power"))
    currency = row.get("currency", "USD")
    if total is None or not isinstance(currency, str):
        raise malformed("the account has no cash")
    free = total if spendable is None else min(total, max(spendable, Decimal(0)))
    return Balance(currency, free, total - free)


def is_coin(row: Mapping[str, Any]) -> bool:
    """Whether a position of the account is a holding of a currency, not of a stock."""
    return row.get("asset_class") == "crypto"


def holding(row: Mapping[str, Any], pair: str) -> Balance:
    """A position in a pair as the balance that it is."""
    total = amount_of(row.get("qty"))
    free = amount_of(row.get("qty_available"))
    if total is None:
        raise malformed("a position has no amount")
    free = total if free is None else min(free, total)
    return Balance(pair.partition("/")[0], free, total - free)


def position(row: Mapping[str, Any]) -> Position:
    """A position in a stock, negative where it was sold short."""
    symbol, amount = row.get("symbol"), amount_of(row.get("qty"))
    if not isinstance(symbol, str) or amount is None:
        raise malformed("a position has no symbol or amount")
    return Position(
        symbol=symbol,
        amount=-abs(amount) if row.get("side") == "short" else amount,
        entry_price=amount_of(row.get("avg_entry_price")),
        mark_price=amount_of(row.get("current_price")),
        unrealized_pnl=amount_of(row.get("unrealized_pl")),
    )


def amount_of(value: object) -> Decimal | None:
    """A number as Alpaca wrote it; None for nothing, ``MalformedAnswerPluginError`` for what is none."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise malformed("a number is none")
    try:
        result = Decimal(value)
    except InvalidOperation:
        raise malformed("a number is none") from None
    if not result.is_finite() or abs(result.adjusted()) > 30:
        raise malformed("a number is not finite")
    return result
