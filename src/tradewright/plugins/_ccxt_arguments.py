"""What CCXT's ``create_order`` is given for an order of ours; what it would not understand is refused.

CCXT hands on, or leaves out, parameters that it does not know. A stop price that is left out makes an order
that is done at once. So nothing is passed that CCXT does not say it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from tradewright.domain.errors import InvalidInput, PluginFeatureNotSupportedError
from tradewright.domain.orders import OrderRequest
from tradewright.plugins._ccxt_parse import exchange_order_types, market_order_types

_TIMES_IN_FORCE: Final[Mapping[str, str]] = {"ioc": "IOC", "fok": "FOK", "day": "DAY"}


class Arguments(NamedTuple):
    """Of ``create_order``, beside the symbol and the side."""

    type: str
    amount: float | str
    price: float | str | None
    params: dict[str, Any]


def order_arguments(library: Any, exchange: Any, request: OrderRequest) -> Arguments:
    """The arguments. ``InvalidInput`` for an order that contradicts itself or the market's steps,
    ``PluginFeatureNotSupportedError`` for one that the market does not take. ``library`` is
    ``_ccxt_exchange``, which imports CCXT."""
    symbol, market = request.symbol, exchange.markets[request.symbol]
    types = market_order_types(exchange.id, market, exchange_order_types(exchange))
    if request.type not in types:
        raise _not_taken(exchange, f"{request.type} orders")
    limited, stopped = request.type in ("limit", "stop_limit"), request.type in ("stop", "stop_limit")
    _only_if(limited, "price", request.price)
    _only_if(stopped, "stop_price", request.stop_price)
    if request.side == "buy" and not limited and _feature(exchange, symbol, "marketBuyRequiresPrice"):
        raise _not_taken(exchange, "market orders to buy but by their cost")
    amount = library.outgoing_amount(exchange, symbol, request.amount)
    price = library.outgoing_price(exchange, symbol, request.price) if request.price is not None else None
    params: dict[str, Any] = {"clientOrderId": request.client_order_id}
    if request.stop_price is not None:
        stop = library.outgoing_price(exchange, symbol, request.stop_price, "stop_price")
        params |= _trigger(exchange, request, stop)
    params |= _conditions(exchange, market, request)
    return Arguments("limit" if limited else "market", amount, price, params)


def _trigger(exchange: Any, request: OrderRequest, stop: float | str) -> dict[str, Any]:
    """The stop price under the name that CCXT reads."""
    if _feature(exchange, request.symbol, "triggerPrice") is True:
        if _feature(exchange, request.symbol, "triggerDirection") is not True:
            return {"triggerPrice": stop}
        direction = "ascending" if request.side == "buy" else "descending"
        return {"triggerPrice": stop, "triggerDirection": direction}
    if _feature(exchange, request.symbol, "stopLossPrice") is True:
        return {"stopLossPrice": stop}
    raise _not_taken(exchange, "stop orders")


def _conditions(exchange: Any, market: Mapping[str, Any], request: OrderRequest) -> dict[str, Any]:
    known = _feature(exchange, request.symbol, "timeInForce")
    takes: Mapping[str, Any] = known if isinstance(known, Mapping) else {}
    params: dict[str, Any] = {}
    named = _TIMES_IN_FORCE.get(request.time_in_force or "gtc")
    if named is not None:
        if takes.get(named) is not True:
            raise _not_taken(exchange, f"{named} orders")
        params["timeInForce"] = named
    if request.post_only:
        if request.type != "limit" or named is not None:
            raise InvalidInput(
                "Only a limit order that rests can be post-only.", {"post_only": "not for this order"}
            )
        if takes.get("PO") is not True:
            raise _not_taken(exchange, "post-only orders")
        params["postOnly"] = True
    if request.reduce_only:
        if market.get("contract") is not True:
            raise InvalidInput("A spot order reduces no position.", {"reduce_only": "not for spot"})
        params["reduceOnly"] = True
    return params


def _feature(exchange: Any, symbol: str, name: str) -> object:
    """What CCXT says of a parameter of new orders; None where it says nothing."""
    known: object = exchange.feature_value(symbol, "createOrder", name)
    return known


def _only_if(wanted: bool, field: str, value: Decimal | None) -> None:
    if wanted and value is None:
        raise InvalidInput(f"Such an order needs a {field}.", {field: "missing"})
    if not wanted and value is not None:
        raise InvalidInput(f"Such an order has no {field}.", {field: "not for this order"})


def _not_taken(exchange: Any, what: str) -> PluginFeatureNotSupportedError:
    return PluginFeatureNotSupportedError(f"{exchange.name} takes no {what} there.")
