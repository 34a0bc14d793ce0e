"""Trades, tickers and order books as they go over the wire: frozen, with float64 numbers."""

from __future__ import annotations

from itertools import pairwise
from math import inf
from typing import Final, Literal, TypeAlias

import msgspec

Side: TypeAlias = Literal["buy", "sell"]
"""The side of the taker, where the venue says it."""

PriceLevel: TypeAlias = tuple[float, float]
"""``(price, amount)``."""

BOOK_DEPTH: Final = 25
"""How many levels a side of a streamed order book has at most."""


class Trade(msgspec.Struct, frozen=True, array_like=True):
    """One trade, on the wire ``[t, id, side, price, amount]``; ``id`` is unique per symbol at its venue."""

    time: int
    id: str
    side: Side | None
    price: float
    amount: float


class Ticker(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a market at ``t``; a field is null where the venue does not tell.

    ``high``, ``low``, ``volume`` (base), ``quote_volume`` and ``change_percent`` are over 24 hours.
    """

    t: int
    last: float | None = None
    bid: float | None = None
    ask: float | None = None
    high: float | None = None
    low: float | None = None
    volume: float | None = None
    quote_volume: float | None = None
    change_percent: float | None = None


class OrderBook(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides at ``t``, best level first: bids descend, asks ascend, and they do not cross."""

    t: int
    bids: tuple[PriceLevel, ...]
    asks: tuple[PriceLevel, ...]

    def top(self, depth: int) -> OrderBook:
        """The best ``depth`` levels of each side."""
        return OrderBook(t=self.t, bids=self.bids[:depth], asks=self.asks[:depth])

    @property
    def crossed(self) -> bool:
        """Whether the best bid is not below the best ask, which no sound book shows."""
        return bool(self.bids and self.asks and self.bids[0][0] >= self.asks[0][0])

    @property
    def sound(self) -> bool:
        """Whether a market can be like this: not crossed, each side in its order and without a price twice,
        every price and amount a positive number."""
        prices = [price for price, _ in self.bids], [price for price, _ in self.asks]
        return (
            not self.crossed
            and all(better > worse for better, worse in pairwise(prices[0]))
            and all(better < worse for better, worse in pairwise(prices[1]))
            and all(0 < value < inf for level in (*self.bids, *self.asks) for value in level)
        )
