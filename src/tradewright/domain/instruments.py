"""Instruments: what can be traded at a provider, and under which rules; and how series are named."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final, Literal, TypeAlias

import msgspec

from tradewright.domain.errors import InvalidInput
from tradewright.domain.timeframes import Timeframe

InstrumentType: TypeAlias = Literal["spot", "swap", "future", "option", "stock", "etf", "index"]
OrderType: TypeAlias = Literal["market", "limit", "stop", "stop_limit"]

ALWAYS_OPEN: Final = "24/7"
"""The calendar of markets that never close."""

_SYMBOL: Final = re.compile(r"[A-Za-z0-9$][A-Za-z0-9$._:/\-]{0,63}")
_IDENTIFIER: Final = re.compile(r"[a-z0-9][a-z0-9_]{0,39}")


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """A symbol at a provider. Steps and limits are decimal strings on the wire; null where unknown.

    ``calendar`` is ``"24/7"`` or the ISO code of an exchange calendar (``XNYS``).
    """

    market: str
    symbol: str
    base: str
    quote: str
    type: InstrumentType = "spot"
    active: bool = True
    price_tick: Decimal | None = None
    amount_step: Decimal | None = None
    min_amount: Decimal | None = None
    min_cost: Decimal | None = None
    order_types: tuple[OrderType, ...] = ()
    calendar: str = ALWAYS_OPEN
    name: str | None = None


class Split(msgspec.Struct, frozen=True):
    """A split of a stock: from ``time`` (00:00 UTC of its first session) on, ``ratio`` shares stand for
    each one before; 4 for a four-for-one split, 0.1 for a one-for-ten reverse split."""

    time: int
    ratio: Decimal


class InstrumentKey(msgspec.Struct, frozen=True, order=True):
    """Names one instrument."""

    market: str
    provider: str
    symbol: str

    def series(self, timeframe: Timeframe) -> SeriesKey:
        """The series of this instrument's bars."""
        return SeriesKey(self.market, self.provider, self.symbol, timeframe.name)


class SeriesKey(msgspec.Struct, frozen=True, order=True):
    """Names one series of bars."""

    market: str
    provider: str
    symbol: str
    timeframe: str

    @property
    def instrument(self) -> InstrumentKey:
        """The instrument the series belongs to."""
        return InstrumentKey(self.market, self.provider, self.symbol)


def check_identifier(field: str, value: str) -> str:
    """``value`` when it can be the name of a market or provider; else ``InvalidInput``."""
    if not _IDENTIFIER.fullmatch(value):
        raise InvalidInput(
            f"The {field} must be 1 to 40 lower-case letters, digits and underscores.",
            {field: "not a valid name"},
        )
    return value


def check_symbol(value: str) -> str:
    """``value`` when it can be a symbol; else ``InvalidInput``.

    Dots may stand inside a symbol (``BRK.B``) but never form a path step.
    """
    if not _SYMBOL.fullmatch(value) or ".." in value:
        raise InvalidInput(
            "The symbol must be 1 to 64 letters, digits and signs of $ . _ : / - and not begin with a sign.",
            {"symbol": "not a valid symbol"},
        )
    return value
