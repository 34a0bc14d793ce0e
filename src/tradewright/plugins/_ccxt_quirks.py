"""The few places where one exchange needs another call than CCXT chooses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_BINANCES: Final = frozenset({"binance", "binancecoinm", "binanceus", "binanceusdm"})


def trades_params(provider: str, market: Mapping[str, Any]) -> dict[str, str]:
    """Parameters of ``fetch_trades`` with which trade ids are the ones that ``watch_trades`` gives.

    CCXT reads Binance's aggregate trades, which count on their own.
    """
    if provider not in _BINANCES:
        return {}
    if market.get("type") == "spot":
        return {"fetchTradesMethod": "publicGetTrades"}
    return {"fetchTradesMethod": "dapiPublicGetTrades" if market.get("inverse") else "fapiPublicGetTrades"}


def ticker_params(provider: str) -> dict[str, str]:
    """Parameters of ``watch_ticker`` with which tickers hold a bid and an ask.

    CCXT subscribes to Binance's small ticker, which has none.
    """
    return {"name": "ticker"} if provider in _BINANCES else {}


def order_book_limit(depth: int) -> int | None:
    """A limit that venues with a few fixed ones take; None leaves it to the venue's default."""
    if depth <= 20:
        return None
    return next((limit for limit in (100, 500, 1_000) if depth <= limit), 5_000)
