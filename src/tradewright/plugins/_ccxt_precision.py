"""Amounts and prices on their way to a venue: in its steps, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any, Final

from tradewright.domain.errors import InvalidInput
from tradewright.plugins._ccxt_errors import ERRORS
from tradewright.plugins._ccxt_numbers import decimal_of, outgoing_number

DIGITS_MAX: Final = 36
MAGNITUDE_MAX: Final = 18
DIGITS_RECKONED: Final = 80
"""CCXT divides by the step with Python's decimals, whose usual 28 digits do not hold every quotient."""


def outgoing_amount(exchange: Any, symbol: str, amount: Decimal) -> float | str:
    """The amount in whole steps, rounded down; ``InvalidInput`` where nothing is left of it."""
    _check("amount", amount)
    if exchange.market(symbol)["precision"].get("amount") is None:
        return outgoing_number(amount)
    rounded = _in_steps("amount", exchange.amount_to_precision, symbol, amount)
    if not 0 < rounded <= amount:
        raise InvalidInput(
            f"{exchange.name} takes no such small amount of {symbol}.", {"amount": "below the smallest step"}
        )
    return outgoing_number(rounded)


def outgoing_price(exchange: Any, symbol: str, price: Decimal, field: str = "price") -> float | str:
    """The price as it is; ``InvalidInput`` where it does not lie on a tick, for a price is never changed."""
    _check(field, price)
    if exchange.market(symbol)["precision"].get("price") is None:
        return outgoing_number(price)
    nearest = _in_steps(field, exchange.price_to_precision, symbol, price)
    if nearest != price:
        raise InvalidInput(
            f"{exchange.name} has no such price of {symbol}; the nearest is {nearest:f}.",
            {field: "not a multiple of the tick"},
        )
    return outgoing_number(price)


def _check(field: str, value: Decimal) -> None:
    if not value.is_finite() or value <= 0:
        raise InvalidInput(f"The {field} must be a number above zero.", {field: "not above zero"})
    if len(value.as_tuple().digits) > DIGITS_MAX or abs(value.adjusted()) > MAGNITUDE_MAX:
        raise InvalidInput(f"The {field} has too many digits.", {field: "too many digits"})


def _in_steps(
    field: str, to_precision: Callable[[str, float | str], object], symbol: str, value: Decimal
) -> Decimal:
    """What CCXT makes of the value. It raises what it likes over a value that is less than one step."""
    try:
        with localcontext(prec=DIGITS_RECKONED):
            result = decimal_of(to_precision(symbol, outgoing_number(value)))
    except tuple(ERRORS):
        result = None
    if result is None:
        raise InvalidInput(f"The {field} is not of a size that the market takes.", {field: "out of range"})
    return result
