"""The bodies and queries of what tells and hands out what is stored."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from tradewright.domain.ports import CoverageKind
from tradewright.services.coverage import BUCKETS_MAX, STRETCHES_MAX
from tradewright.web.models import InstrumentQuery, TimeMs, Word


class CoverageQuery(InstrumentQuery, frozen=True, kw_only=True):
    """Coverage of which instrument, within ``[start, end)``; at most ``limit`` stretches and holes."""

    start: TimeMs | None = None
    end: TimeMs | None = None
    limit: Annotated[int, Meta(ge=1, le=STRETCHES_MAX)] = STRETCHES_MAX


class StripQuery(InstrumentQuery, frozen=True, kw_only=True):
    """The strip over ``[start, end)`` in so many equal parts; all that is known, up to now, by default."""

    start: TimeMs | None = None
    end: TimeMs | None = None
    buckets: Annotated[int, Meta(ge=1, le=BUCKETS_MAX)] = 600


class StoredQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the instruments that hold anything."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=512)] | None = None


class ExportQuery(InstrumentQuery, frozen=True, kw_only=True):
    """The stored bars with ``start <= t < end``, without bounds all of them, as a file."""

    timeframe: Word
    start: TimeMs | None = None
    end: TimeMs | None = None
    format: Literal["csv", "parquet"] = "csv"


class BarFile(msgspec.Struct, frozen=True):
    """A file of bars: ``time,open,high,low,close,volume``, as CSV or as Parquet."""


class CoverageItem(msgspec.Struct, frozen=True, kw_only=True):
    """For ``[start, end)`` the stored bars of the timeframe are all there are (``complete``), or the venue
    was down (``outage``)."""

    timeframe: str
    start: int
    end: int
    kind: CoverageKind


class Hole(msgspec.Struct, frozen=True, kw_only=True):
    """Minutes of trading time of which nothing is known."""

    start: int
    end: int


class CoverageResponse(msgspec.Struct, frozen=True, kw_only=True):
    """``holes`` are those of the minutes between ``since``, the first one that is known, and now. Where there
    are more stretches than the limit, the newest are told: the answer is whole from ``whole_since`` on, and
    asking again with that as ``end`` brings what was before."""

    market: str
    provider: str
    symbol: str
    items: list[CoverageItem]
    holes: list[Hole]
    since: int | None = None
    whole_since: int | None = None


class StripItem(msgspec.Struct, frozen=True, kw_only=True):
    """One timeframe's row: for each part of the range, how many ms of its trading time since ``since`` have
    bars, had no trades, are missing, or were an outage. ``resolution`` is the timeframe whose bars tell
    trades from none; null: not told, all that is known counts as ``have``."""

    timeframe: str
    resolution: str | None
    since: int
    have: list[int]
    no_trades: list[int]
    missing: list[int]
    outage: list[int]


class StripResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Part ``i`` of ``buckets`` is from ``start + i * (end - start) // buckets`` to the next one's start. No
    item where nothing is stored."""

    market: str
    provider: str
    symbol: str
    start: int
    end: int
    buckets: int
    items: list[StripItem]


class StoredTimeframe(msgspec.Struct, frozen=True, kw_only=True):
    """A stored timeframe, with the openings of its first and last bar."""

    timeframe: str
    first: int | None
    last: int | None


class StoredItem(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument that holds anything. ``known_share`` (0 to 1) is of its trading minutes since the first
    known one; null where no minute is known."""

    market: str
    provider: str
    symbol: str
    timeframes: list[StoredTimeframe]
    known_share: float | None


class StoredList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of instruments, ascending by market, provider, symbol."""

    items: list[StoredItem]
    next_cursor: str | None = None


COVERAGE_MODELS: Final = (CoverageResponse, StripResponse, StoredList)
"""What the generator of the browser's types reads besides ``models.HTTP_MODELS``."""
