"""What one exchange needs that CCXT does not do by itself: with `_ccxt_permissions`, where it is asked what a
key may do, the only place that knows exchanges by name.

A row of the table holds facts of a venue, or of CCXT's code for it; an exchange without a row is asked as
CCXT's manual has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

from tradewright.plugins._ccxt_manifest import load_manifest


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What venues serve of the market, and how; the defaults are those of an exchange without a row."""

    windowed: bool = False
    """A page of bars is the newest of ``[since, until]``, so a page must not ask for more time than it has
    rows for. Elsewhere it is the earliest from ``since`` on, however far away they are."""
    start_parameter: str | None = None
    """The venue's own name of a page's first time, where CCXT rounds ``since`` past the bar it names."""
    reach_bars: int | None = None
    """How many of the newest bars of each timeframe the venue serves, the forming one among them."""
    recent_bars: int | None = None
    """Pages that begin at most so many bars ago take ``recent_params``, older ones ``older_params``."""
    recent_params: Mapping[str, str] = field(default_factory=dict)
    older_params: Mapping[str, str] = field(default_factory=dict)
    newest_only: bool = False
    """A page of bars is the newest ones, whatever was asked for: CCXT does not pass ``since`` on. No row of
    the table says so, but the manifest does."""
    own_grid: tuple[str, ...] = ()
    """Timeframes whose bars open at other times than ours; they are made from finer ones."""
    spot_trades_max: int | None = None
    """How many trades of a spot market one call may ask for."""
    book_levels_max: int | None = None
    """How many levels of the order book one call may ask for."""
    trades_method: Mapping[str, str] = field(default_factory=dict)
    """CCXT's method for trades by the kind of market (``spot``, ``linear``, ``inverse``), where the one that
    it chooses gives other ids than its ``watch_trades``."""
    late_bars: bool = False
    """The stream of bars may tell a change many seconds after the trade that made it."""
    counts_trades: bool = False
    """The ids of a symbol's trades are numbers that rise by one."""
    ticker_stream: str | None = None
    """The name of the stream of tickers, where the one that CCXT chooses holds no bid and no ask."""


_BINANCES: Final = frozenset({"binance", "binancecoinm", "binanceus", "binanceusdm"})

_BINANCE: Final = DataFacts(
    trades_method={
        "spot": "publicGetTrades",
        "linear": "fapiPublicGetTrades",
        "inverse": "dapiPublicGetTrades",
    },
    counts_trades=True,
    ticker_stream="ticker",
)
_BYBIT: Final = DataFacts(
    windowed=True,
    start_parameter="start",
    spot_trades_max=60,
    book_levels_max=200,
    late_bars=True,  # "push frequency: 1-60 s"
)
_OKX: Final = DataFacts(
    windowed=True,
    recent_bars=1_000,  # of the 1,440 that the other path knows, by a clock that may be a little wrong
    recent_params={"type": "Candles"},
    older_params={"type": "HistoryCandles"},
    spot_trades_max=500,
)

_DATA: Final[Mapping[str, DataFacts]] = {
    **dict.fromkeys(_BINANCES, _BINANCE),
    **dict.fromkeys(("bybit", "bybiteu", "bybitid"), _BYBIT),
    **dict.fromkeys(("okx", "okxus", "myokx"), _OKX),
    "kraken": DataFacts(reach_bars=720, own_grid=("1w",), book_levels_max=500),
}
_PLAIN: Final = DataFacts()


@cache  # as many as there are exchanges
def data_facts(provider: str) -> DataFacts:
    """The exchange's row, and what the manifest says of it."""
    facts, entry = _DATA.get(provider, _PLAIN), load_manifest().exchanges.get(provider)
    return replace(facts, newest_only=True) if entry is not None and entry.ignores_since else facts


def trades_params(provider: str, market: Mapping[str, Any]) -> dict[str, str]:
    """Parameters of ``fetch_trades`` with which trade ids are the ones that ``watch_trades`` gives."""
    kind = "spot" if market.get("type") == "spot" else "inverse" if market.get("inverse") else "linear"
    method = data_facts(provider).trades_method.get(kind)
    return {"fetchTradesMethod": method} if method else {}


def trades_limit(provider: str, market: Mapping[str, Any], limit: int) -> int:
    """How many trades to ask for where ``limit`` are wanted."""
    most = data_facts(provider).spot_trades_max if market.get("type") == "spot" else None
    return limit if most is None else min(limit, most)


def ticker_params(provider: str) -> dict[str, str]:
    """Parameters of ``watch_ticker`` with which tickers hold a bid and an ask."""
    stream = data_facts(provider).ticker_stream
    return {"name": stream} if stream else {}


def order_book_limit(provider: str, depth: int) -> int | None:
    """A limit that venues with a few fixed ones take; None leaves it to the venue's default."""
    if depth <= 20:
        return None
    most = data_facts(provider).book_levels_max or 5_000
    return min(most, next((limit for limit in (100, 500, 1_000) if depth <= limit), 5_000))


@dataclass(frozen=True, slots=True)
class TradingFacts:
    """What vendors say of their trading side; the defaults are the careful ones."""

    echoes_client_id: bool = False
    """The answer to a new order names our client id, so an answer without it is none."""
    rate_limit_is_final: bool = False
    """A refusal for asking too often means that nothing was done."""
    client_id_filter: str | None = None
    """The parameter with which CCXT's lists of orders hold the one of that client id, where its
    ``fetch_order`` can't find it."""
    no_client_id_lookup: bool = False
    """CCXT's ``fetch_order`` takes a client id, but asks by something else."""
    spot_edit_replaces: bool = False
    """An edit of a spot order is a cancellation and a new order, of which one can fail and one be done."""
    cancellations_have_ids: bool = False
    """The answer to a cancellation names the cancellation first, and our client id as the original one."""
    fetch_order_params: Mapping[str, Any] = field(default_factory=dict)
    """What ``fetch_order`` wants to be told."""


_TRADING: Final[Mapping[str, TradingFacts]] = {
    **dict.fromkeys(
        _BINANCES,
        TradingFacts(
            echoes_client_id=True,
            rate_limit_is_final=True,
            spot_edit_replaces=True,
            cancellations_have_ids=True,
        ),
    ),
    **dict.fromkeys(("okx", "okxus", "myokx"), TradingFacts(echoes_client_id=True, rate_limit_is_final=True)),
    **dict.fromkeys(
        ("bybit", "bybiteu", "bybitid"),
        TradingFacts(
            echoes_client_id=True,
            rate_limit_is_final=True,
            client_id_filter="orderLinkId",
            fetch_order_params={"acknowledged": True},
        ),
    ),
    "kraken": TradingFacts(
        rate_limit_is_final=True, client_id_filter="clientOrderId", no_client_id_lookup=True
    ),
}
_UNKNOWN: Final = TradingFacts()


def trading_facts(provider: str) -> TradingFacts:
    """The exchange's row."""
    return _TRADING.get(provider, _UNKNOWN)


@dataclass(frozen=True, slots=True)
class SandboxFacts:
    """What is known of the test network that CCXT names; the defaults are those of one that has addresses
    of its own."""

    header: str | None = None
    """The header by which a venue that answers for both at one address tells them apart."""
    shared_hosts: frozenset[str] = frozenset()
    """Where CCXT reads what is public of both from, without a key."""
    of_another: str | None = None
    """Whose network it really is, where it belongs to another company, which must not get the key; so none
    is offered."""


_SANDBOXES: Final[Mapping[str, SandboxFacts]] = {
    **dict.fromkeys(("okx", "okxus", "myokx"), SandboxFacts(header="x-simulated-trading")),
    "gemini": SandboxFacts(shared_hosts=frozenset({"docs.gemini.com", "exchange.gemini.com"})),
    # CCXT made these of the class of the company that is named, or of a copy of it.
    "binanceus": SandboxFacts(of_another="Binance, from which Binance US is apart"),
    "blockchaincom": SandboxFacts(of_another="Delta Exchange"),  # and the secret itself is in a header
    **dict.fromkeys(("bequant", "fmfwio"), SandboxFacts(of_another="HitBTC")),
}
_OWN_ADDRESSES: Final = SandboxFacts()


def sandbox_facts(provider: str) -> SandboxFacts:
    """The exchange's row."""
    return _SANDBOXES.get(provider, _OWN_ADDRESSES)


def stops_of_market(provider: str, market: Mapping[str, Any]) -> bool | None:
    """Whether the market itself says that it takes stop orders; None where it says nothing."""
    named = (market.get("info") or {}).get("orderTypes") if provider in _BINANCES else None
    return bool({"STOP_LOSS", "STOP_MARKET"}.intersection(named)) if isinstance(named, list) else None
