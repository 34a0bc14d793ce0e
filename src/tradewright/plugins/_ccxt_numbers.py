"""Numbers on their way through CCXT, without losing a digit.

CCXT reckons in strings of digits, but reads and hands out floats. Where an account is concerned it is told
to keep the strings (``number = str``), and JSON is read so that its fractions are strings to begin with.
A subclass of ``float`` or a ``Decimal`` would be no way: CCXT takes numbers of exactly the types ``str``,
``int`` and ``float`` out of its structures and treats all others as missing.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any, Final

_DIGITS_MAX: Final = 60
_MAGNITUDE_MAX: Final = 40


def decimal_of(value: object) -> Decimal | None:
    """The number as the venue wrote it; None for what is none, is not finite or is beyond all reason."""
    if value is None or isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    text = str(value)
    if len(text) > _DIGITS_MAX or not text.isascii() or "_" in text:
        return None
    try:
        result = Decimal(text)
    except InvalidOperation:
        return None
    if not result.is_finite() or (result and abs(result.adjusted()) > _MAGNITUDE_MAX):
        return None
    return result


def outgoing_number(value: Decimal) -> float | str:
    """What CCXT is given for the number: a float, with which all exchanges can reckon, where it holds all
    digits, else the digits."""
    number = float(value)
    return number if Decimal(repr(number)) == value else f"{value:f}"


def exact_json(text: str | bytes) -> Any:
    """Read JSON, with fractions as strings; ``ValueError`` for NaN and the infinities."""
    return json.loads(text, parse_float=str, parse_constant=_refuse)


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is no number")
