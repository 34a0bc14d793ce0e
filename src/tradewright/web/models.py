"""The bodies and queries of the HTTP API; OpenAPI and the browser's types are generated from them."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from tradewright.domain.backfills import BackfillJob
from tradewright.domain.bars import BarRow
from tradewright.domain.capabilities import CredentialField
from tradewright.domain.instruments import Instrument
from tradewright.domain.streams import Gap, Problem
from tradewright.domain.ticks import OrderBook, Ticker, Trade

TIME_MAX_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""

Word = Annotated[str, Meta(min_length=1, max_length=64)]
TimeMs = Annotated[int, Meta(ge=0, le=TIME_MAX_MS)]


def plain(number: Decimal | None) -> str | None:
    """The number without an exponent and without zeros that say nothing."""
    if number is None:
        return None
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class NoQuery(msgspec.Struct, frozen=True):
    """No parameter is taken."""


class MarketQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which market."""

    market: Word


class InstrumentQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which instrument."""

    market: Word
    provider: Word
    symbol: Word


class SymbolsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Instruments of a provider; ``search`` looks for a part of the symbol or the name."""

    market: Word
    provider: Word
    search: Annotated[str, Meta(max_length=64)] = ""
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
    cursor: Annotated[str, Meta(max_length=256)] | None = None


class OhlcvQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which bars. Times are epoch ms, UTC: ``start <= t < end``. ``adjustment`` is for stocks."""

    market: Word
    provider: Word
    symbol: Word
    timeframe: Word
    start: TimeMs | None = None
    end: TimeMs | None = None
    limit: Annotated[int, Meta(ge=1, le=5_000)] = 500
    adjustment: Literal["raw", "split"] | None = None


class BackfillRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which history to fetch: ``[start, end)`` in epoch ms."""

    market: Word
    provider: Word
    symbol: Word
    start: TimeMs
    end: TimeMs
    newest_first: bool = False


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which page of a list: so many behind the one whose ``next_cursor`` is given."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=256)] | None = None


class OrderBookQuery(InstrumentQuery, frozen=True, kw_only=True):
    """Which book, and how many levels of each side."""

    depth: Annotated[int, Meta(ge=1, le=100)] = 25


class TradesQuery(InstrumentQuery, frozen=True, kw_only=True):
    """Which trades, and how many."""

    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class MarketItem(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin in a market, and how many providers it brings."""

    market: str
    plugin: str
    providers: int


class MarketList(msgspec.Struct, frozen=True, kw_only=True):
    """All markets."""

    items: list[MarketItem]
    next_cursor: str | None = None


class ProviderItem(msgspec.Struct, frozen=True, kw_only=True):
    """A provider: what it can do, and which fields a key to it has."""

    provider: str
    name: str
    market: str
    plugin: str
    timeframes: tuple[str, ...]
    capabilities: tuple[str, ...]
    credential_fields: tuple[CredentialField, ...]
    testnet: bool
    simulated: bool


class ProviderList(msgspec.Struct, frozen=True, kw_only=True):
    """The providers of a market."""

    items: list[ProviderItem]
    next_cursor: str | None = None


class InstrumentItem(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument; steps and limits are decimal strings, null where the provider does not tell."""

    market: str
    symbol: str
    base: str
    quote: str
    type: str
    active: bool
    price_tick: str | None
    amount_step: str | None
    min_amount: str | None
    min_cost: str | None
    order_types: tuple[str, ...]
    calendar: str
    name: str | None

    @classmethod
    def of(cls, instrument: Instrument) -> InstrumentItem:
        """The wire form of a domain instrument."""
        return cls(
            market=instrument.market,
            symbol=instrument.symbol,
            base=instrument.base,
            quote=instrument.quote,
            type=instrument.type,
            active=instrument.active,
            price_tick=plain(instrument.price_tick),
            amount_step=plain(instrument.amount_step),
            min_amount=plain(instrument.min_amount),
            min_cost=plain(instrument.min_cost),
            order_types=instrument.order_types,
            calendar=instrument.calendar,
            name=instrument.name,
        )


class SymbolList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of instruments; ``problems`` say why the list may be out of date."""

    items: list[InstrumentItem]
    next_cursor: str | None = None
    problems: tuple[Problem, ...] = ()


class SourceItem(msgspec.Struct, frozen=True, kw_only=True):
    """Which source answered ``[start, end)``."""

    source: Literal["cache", "aggregate", "db", "plugin"]
    start: int
    end: int


class StoredRange(msgspec.Struct, frozen=True, kw_only=True):
    """The openings of the first and of the last bar that is stored."""

    first: int
    last: int


class OhlcvResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Bars ``[t, open, high, low, close, volume]``, ascending and unique. ``forming`` says that the last
    one has not ended; ``gaps`` where bars are missing and why; ``problems`` which source failed.
    ``stored`` is told where there is no bar in the answer but some elsewhere in the store."""

    market: str
    provider: str
    symbol: str
    timeframe: str
    bars: list[BarRow]
    forming: bool
    sources: list[SourceItem]
    gaps: tuple[Gap, ...]
    problems: tuple[Problem, ...] = ()
    stored: StoredRange | None = None


class TradeList(msgspec.Struct, frozen=True, kw_only=True):
    """Public trades ``[t, id, side, price, amount]``, newest last."""

    items: list[Trade]
    next_cursor: str | None = None


class BackfillList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of backfills, newest first."""

    items: list[BackfillJob]
    next_cursor: str | None = None


class ProblemDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Every error answer (RFC 9457); ``errors`` maps a field to what is wrong with it."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The server is alive. Its version is for who is logged in, or sits at the server itself."""

    status: Literal["ok"]
    version: str | msgspec.UnsetType = msgspec.UNSET


class DependencyState(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that serving depends on; without one that is not ``required`` the server still serves.
    ``detail`` is for who is logged in, or sits at the server itself."""

    name: str
    ok: bool
    required: bool = True
    detail: str = ""


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the server can serve, and the state of each dependency."""

    ready: bool
    dependencies: list[DependencyState]


HTTP_MODELS: Final = (
    MarketList,
    ProviderList,
    SymbolList,
    OhlcvResponse,
    TradeList,
    BackfillRequest,
    BackfillJob,
    BackfillList,
    Ticker,
    OrderBook,
    ProblemDocument,
    Health,
    Readiness,
)
"""What the generator of the browser's types reads."""
