"""Klines, exact: made from trades or from finer klines in decimal arithmetic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import Final

_SECOND: Final = 1_000
_MINUTE: Final = 60_000
_HOUR: Final = 3_600_000
_DAY: Final = 86_400_000
_MONDAY: Final = 4 * _DAY  # the epoch is a Thursday

_FIXED: Final[dict[str, tuple[int, int]]] = {
    "1s": (_SECOND, 0),
    **{f"{n}m": (n * _MINUTE, 0) for n in (1, 3, 5, 15, 30)},
    **{f"{n}h": (n * _HOUR, 0) for n in (1, 2, 4, 6, 8, 12)},
    "1d": (_DAY, 0),
    "3d": (3 * _DAY, 0),
    "1w": (7 * _DAY, _MONDAY),
}

INTERVALS: Final = (*_FIXED, "1M")
KEPT: Final = 20_000


def kline_span(interval: str, time_ms: int) -> tuple[int, int]:
    """`[open, end)` of the interval's kline that contains the time."""
    if interval == "1M":
        at = datetime.fromtimestamp(time_ms / 1000, UTC)
        first = datetime(at.year, at.month, 1, tzinfo=UTC)
        following = datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC)
        return int(first.timestamp()) * 1000, int(following.timestamp()) * 1000
    length, offset = _FIXED[interval]
    open_ms = (time_ms - offset) // length * length + offset
    return open_ms, open_ms + length


@dataclass(slots=True)
class Kline:
    """One kline; `end` is exclusive (the venue writes `end - 1`)."""

    open_ms: int
    end_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal = Decimal(0)
    trades: int = 0
    taker_volume: Decimal = Decimal(0)
    taker_quote_volume: Decimal = Decimal(0)
    first_trade_id: int = -1
    last_trade_id: int = -1
    closed: bool = False

    def merge(self, later: Kline) -> None:
        """Take in a kline that lies inside this one and after everything it holds."""
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close = later.close
        self.volume += later.volume
        self.quote_volume += later.quote_volume
        self.trades += later.trades
        self.taker_volume += later.taker_volume
        self.taker_quote_volume += later.taker_quote_volume
        self.first_trade_id = self.first_trade_id if self.first_trade_id >= 0 else later.first_trade_id
        self.last_trade_id = max(self.last_trade_id, later.last_trade_id)

    def row(self) -> list[int | str]:
        """The REST form."""
        return [
            self.open_ms,
            eight(self.open),
            eight(self.high),
            eight(self.low),
            eight(self.close),
            eight(self.volume),
            self.end_ms - 1,
            eight(self.quote_volume),
            self.trades,
            eight(self.taker_volume),
            eight(self.taker_quote_volume),
            "0",
        ]

    def event(self, symbol: str, interval: str, event_ms: int) -> dict[str, object]:
        """The websocket form."""
        body: dict[str, object] = {
            "t": self.open_ms,
            "T": self.end_ms - 1,
            "s": symbol,
            "i": interval,
            "f": self.first_trade_id,
            "L": self.last_trade_id,
            "o": eight(self.open),
            "c": eight(self.close),
            "h": eight(self.high),
            "l": eight(self.low),
            "v": eight(self.volume),
            "n": self.trades,
            "x": self.closed,
            "q": eight(self.quote_volume),
            "V": eight(self.taker_volume),
            "Q": eight(self.taker_quote_volume),
            "B": "0",
        }
        return {"e": "kline", "E": event_ms, "s": symbol, "k": body}


def eight(value: Decimal) -> str:
    """A number as the venue writes it."""
    return f"{value:.8f}"


class KlineSeries:
    """The klines of one interval, the newest `keep` of them.

    An interval without a trade has no kline, as in the recorded candles.
    """

    def __init__(self, interval: str, keep: int = KEPT) -> None:
        self.interval = interval
        self._keep = keep
        self._by_open: dict[int, Kline] = {}
        self.newest: Kline | None = None
        self.changed = False

    def __len__(self) -> int:
        return len(self._by_open)

    def add(self, piece: Kline, time_ms: int) -> None:
        """Take in what happened at `time_ms` (a trade as a kline, or a finer kline)."""
        newest = self.newest
        if newest is None or time_ms >= newest.end_ms:
            open_ms, end_ms = kline_span(self.interval, time_ms)
            self.newest = replace(piece, open_ms=open_ms, end_ms=end_ms, closed=False)
            self._by_open[open_ms] = self.newest
            if len(self._by_open) > self._keep:
                del self._by_open[next(iter(self._by_open))]
        else:
            newest.merge(piece)
        self.changed = True

    def close_before(self, limit_ms: int) -> Kline | None:
        """Close the newest kline when it ends by `limit_ms`; returns it when that is news."""
        newest = self.newest
        if newest is None or newest.closed or newest.end_ms > limit_ms:
            return None
        newest.closed = True
        self.changed = False
        return newest

    def select(self, start_ms: int | None, end_ms: int | None, limit: int) -> list[Kline]:
        """Klines that open in `[start, end]`: the first `limit` from a start, else the last ones."""
        chosen: Iterable[Kline] = self._by_open.values()
        if end_ms is not None:
            chosen = (kline for kline in chosen if kline.open_ms <= end_ms)
        if start_ms is not None:
            return list(islice((kline for kline in chosen if kline.open_ms >= start_ms), limit))
        return list(chosen)[-limit:]

    def since(self, start_ms: int) -> list[Kline]:
        """Klines that open at or after `start_ms`."""
        return [kline for kline in self._by_open.values() if kline.open_ms >= start_ms]


class KlineBoard:
    """One symbol's klines of every interval, of each the newest `keep`; coarser ones are built when first
    asked for."""

    def __init__(self, keep: int = KEPT) -> None:
        self._keep = keep
        self._series = {interval: KlineSeries(interval, keep) for interval in ("1s", "1m")}

    def add(self, piece: Kline, time_ms: int) -> None:
        """Take in a trade."""
        for series in self._series.values():
            series.add(piece, time_ms)

    def add_minute(self, minute: Kline) -> None:
        """Take in a recorded minute, of whose seconds nothing is known."""
        for interval, series in self._series.items():
            if interval != "1s":
                series.add(minute, minute.open_ms)

    def series(self, interval: str) -> KlineSeries:
        """The series of that interval; `KeyError` where the venue has none."""
        if interval not in INTERVALS:
            raise KeyError(interval)
        if interval not in self._series:
            built = KlineSeries(interval, self._keep)
            for minute in self._series["1m"].since(0):
                built.add(minute, minute.open_ms)
            self._series[interval] = built
        return self._series[interval]

    def live(self) -> list[KlineSeries]:
        """The series in use."""
        return list(self._series.values())
