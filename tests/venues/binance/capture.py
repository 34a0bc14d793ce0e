"""Reads a websocket capture of one spot symbol: `<receive ns> <json>` per line, gzipped or not.

A capture holds `depthUpdate`, `trade` and `bookTicker` messages of the combined stream and one REST
depth snapshot. Everything after this module knows times only as offsets from the capture's start.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

Level: TypeAlias = tuple[str, str]
"""`(price, amount)` as the venue writes them, with eight decimals."""


@dataclass(frozen=True, slots=True)
class CapturedTrade:
    """One trade; `closes_aggregate` says that the next trade belongs to another aggregate trade."""

    at_ms: float
    id: int
    price: Decimal
    amount: Decimal
    trade_ms: float
    event_ms: float
    buyer_is_maker: bool
    closes_aggregate: bool


@dataclass(frozen=True, slots=True)
class CapturedDepth:
    """Changed levels of the book; an amount of zero removes the level."""

    at_ms: float
    first_id: int
    last_id: int
    event_ms: float
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class CapturedQuote:
    """The best bid and ask."""

    at_ms: float
    update_id: int
    bid: Level
    ask: Level


CapturedEvent: TypeAlias = CapturedTrade | CapturedDepth | CapturedQuote


@dataclass(frozen=True, slots=True)
class BookSnapshot:
    """The whole book as it stood after the update `last_id`."""

    last_id: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class Capture:
    """A capture, ready for replay: `at_ms` ascends from 0 to `duration_ms`.

    `at_ms` is when the venue sends an event, never before the event's own time. The depth updates
    begin exactly after the snapshot and lack none.
    """

    symbol: str
    snapshot: BookSnapshot
    events: tuple[CapturedEvent, ...]
    duration_ms: float

    @property
    def trades(self) -> Iterator[CapturedTrade]:
        """The trades, in order."""
        return (event for event in self.events if isinstance(event, CapturedTrade))

    @property
    def trade_ids(self) -> int:
        """How many trade ids the capture spans."""
        ids = [trade.id for trade in self.trades]
        return ids[-1] - ids[0] + 1 if ids else 0

    @property
    def update_ids(self) -> int:
        """How many book update ids the capture spans after its snapshot."""
        last = self.snapshot.last_id
        for event in self.events:
            if isinstance(event, CapturedDepth):
                last = max(last, event.last_id)
            elif isinstance(event, CapturedQuote):
                last = max(last, event.update_id)
        return last - self.snapshot.last_id


def load_capture(path: Path) -> Capture:
    """The capture in that file; `ValueError` where it lacks a snapshot or an update of the book."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        return parse_capture(lines)


def parse_capture(lines: Iterator[str] | Sequence[str]) -> Capture:
    """The capture in those lines; see `load_capture`."""
    snapshot: BookSnapshot | None = None
    messages: list[tuple[float, Mapping[str, Any]]] = []
    for line in lines:
        received_ns, _, text = line.partition(" ")
        message = json.loads(text)
        if "lastUpdateId" in message:
            snapshot = BookSnapshot(
                message["lastUpdateId"], _levels(message["bids"]), _levels(message["asks"])
            )
        else:
            messages.append((int(received_ns) / 1e6, message["data"]))
    if snapshot is None or not messages:
        raise ValueError("A capture needs one depth snapshot and at least one event.")
    # The recording machine's clock was off: the smallest delay seen is taken for none at all.
    skew_ms = max((data["E"] - received for received, data in messages if "E" in data), default=0.0)
    start_ms = messages[0][0] + skew_ms
    events = [_event(received + skew_ms - start_ms, start_ms, data) for received, data in messages]
    kept = tuple(_mark_aggregates(list(_after_snapshot(events, snapshot))))
    symbol = messages[0][1]["s"]
    return Capture(symbol, snapshot, kept, events[-1].at_ms)


def _levels(rows: Sequence[Sequence[str]]) -> tuple[Level, ...]:
    return tuple((price, amount) for price, amount in rows)


def _event(at_ms: float, start_ms: float, data: Mapping[str, Any]) -> CapturedEvent:
    match data.get("e"):
        case "trade":
            return CapturedTrade(
                at_ms=at_ms,
                id=data["t"],
                price=Decimal(data["p"]),
                amount=Decimal(data["q"]),
                trade_ms=data["T"] - start_ms,
                event_ms=data["E"] - start_ms,
                buyer_is_maker=data["m"],
                closes_aggregate=True,
            )
        case "depthUpdate":
            first, last, event_ms = data["U"], data["u"], data["E"] - start_ms
            return CapturedDepth(at_ms, first, last, event_ms, _levels(data["b"]), _levels(data["a"]))
        case None:
            return CapturedQuote(at_ms, data["u"], (data["b"], data["B"]), (data["a"], data["A"]))
        case other:
            raise ValueError(f"A capture holds no {other!r} events.")


def _after_snapshot(events: Sequence[CapturedEvent], snapshot: BookSnapshot) -> Iterator[CapturedEvent]:
    """Leave out what the snapshot already holds, and check that no update is missing."""
    expected = snapshot.last_id + 1
    for event in events:
        match event:
            case CapturedDepth(last_id=last) if last >= expected:
                if expected > snapshot.last_id + 1 and event.first_id != expected:
                    raise ValueError(f"The capture lacks the book updates from {expected}.")
                if event.first_id > expected:
                    raise ValueError("The capture's snapshot is older than its first book update.")
                yield replace(event, first_id=expected)
                expected = last + 1
            case CapturedQuote(update_id=update) if update > snapshot.last_id:
                yield event
            case CapturedTrade():
                yield event


def _mark_aggregates(events: list[CapturedEvent]) -> list[CapturedEvent]:
    """Trades of one moment, side and price are one aggregate; say of each trade if it is its last."""
    last: int | None = None
    for index, event in enumerate(events):
        if not isinstance(event, CapturedTrade):
            continue
        if last is not None:
            before = events[last]
            assert isinstance(before, CapturedTrade)
            if (before.trade_ms, before.price, before.buyer_is_maker) == (
                event.trade_ms,
                event.price,
                event.buyer_is_maker,
            ):
                events[last] = replace(before, closes_aggregate=False)
        last = index
    return events
