"""Streams: what can be watched, and the messages in which it arrives.

The messages are at once what travels over the bus and what a client's socket receives, so that an
update is encoded once, by the feed's owner, and the same bytes go to everybody.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from tradewright.domain.backfills import BackfillJob
from tradewright.domain.bars import BarRow
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.ticks import OrderBook, Ticker, Trade

StreamKind: TypeAlias = Literal["ohlcv", "trades", "ticker", "order_book", "backfills"]
FeedState: TypeAlias = Literal["live", "polling", "stale", "down", "closed"]
GapReason: TypeAlias = Literal["no_trades", "outage", "not_fetched"]


class StreamKey(msgspec.Struct, frozen=True, kw_only=True):
    """Names one stream; ``timeframe`` is set for ``ohlcv`` and for nothing else. ``backfills`` is one
    stream of all instruments, and has the kind alone."""

    kind: StreamKind
    market: str = ""
    provider: str = ""
    symbol: str = ""
    timeframe: str | None = None

    @property
    def topic(self) -> str:
        """The name under which clients know it; opaque to them, since symbols may hold colons."""
        if self.kind == "backfills":
            return self.kind
        parts = [self.kind, self.market, self.provider, self.symbol]
        return ":".join([*parts, self.timeframe] if self.timeframe else parts)

    @property
    def instrument(self) -> InstrumentKey:
        """The instrument that is watched."""
        return InstrumentKey(self.market, self.provider, self.symbol)


class Gap(msgspec.Struct, frozen=True):
    """An interval ``[start, end)`` without a bar, and why; epoch ms."""

    start: int
    end: int
    reason: GapReason


class Update(msgspec.Struct, frozen=True, kw_only=True, tag="update", tag_field="type"):
    """A change of one topic. ``seq`` rises by one with each; ``epoch`` changes with the feed's owner.

    Just one of ``bars`` (with ``final``), ``trades``, ``ticker``, ``order_book``, ``backfill`` is set.
    ``conflated`` counts the updates that were left out before this one, for this client only.
    """

    topic: str
    epoch: str
    seq: int
    bars: tuple[BarRow, ...] | UnsetType = UNSET
    final: bool | UnsetType = UNSET
    trades: tuple[Trade, ...] | UnsetType = UNSET
    ticker: Ticker | UnsetType = UNSET
    order_book: OrderBook | UnsetType = UNSET
    backfill: BackfillJob | UnsetType = UNSET
    conflated: int | UnsetType = UNSET


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, tag="snapshot", tag_field="type"):
    """The state of a topic as of ``seq``; each topic begins with one.

    ``bars`` ascend; the last one may be forming, and then ``forming`` is true. ``gaps`` say where
    bars are missing and why, ``problems`` which source failed. ``backfills`` are the newest, newest first.
    """

    topic: str
    epoch: str
    seq: int
    bars: tuple[BarRow, ...] | UnsetType = UNSET
    forming: bool | UnsetType = UNSET
    gaps: tuple[Gap, ...] | UnsetType = UNSET
    problems: tuple[Problem, ...] | UnsetType = UNSET
    trades: tuple[Trade, ...] | UnsetType = UNSET
    ticker: Ticker | UnsetType | None = UNSET
    order_book: OrderBook | UnsetType | None = UNSET
    backfills: tuple[BackfillJob, ...] | UnsetType = UNSET


class FeedStatus(msgspec.Struct, frozen=True, kw_only=True, tag="feed", tag_field="type"):
    """What a feed says of itself. ``age_ms`` is the time since it last heard from the venue;
    ``opens_at`` (ISO 8601) tells when a closed market opens again; one that never does says why in
    ``detail``."""

    topic: str
    state: FeedState
    age_ms: int | None = None
    opens_at: str | None = None
    detail: str | None = None


class Problem(msgspec.Struct, frozen=True):
    """Why a part of an answer is missing: the source that failed, a stable code, and a sentence."""

    source: str
    code: str
    detail: str


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag="heartbeat", tag_field="type"):
    """Says up to where a topic has come, so that who missed the last update finds out; not for clients."""

    topic: str
    epoch: str
    seq: int


FeedMessage: TypeAlias = Update | FeedStatus | Heartbeat
"""What a feed's owner publishes on the bus under its topic."""
