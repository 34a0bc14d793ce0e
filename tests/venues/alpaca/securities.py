"""The state of one stock or pair as the venue would know it now, and its bars of every timeframe."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

NEW_YORK: Final = ZoneInfo("America/New_York")
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
TRADES_KEPT: Final = 20_000

_TIMEFRAME: Final = re.compile(r"([1-9][0-9]?)(Min|T|Hour|H|Day|D|Week|W|Month|M)")


def stamp(at_ms: float) -> str:
    """A time as the venue writes it."""
    whole = datetime.fromtimestamp(int(at_ms) // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = int(at_ms) % 1000
    return f"{whole}.{fraction:03d}Z" if fraction else f"{whole}Z"


def session_date(at_ms: int) -> datetime:
    """The date in New York."""
    return datetime.fromtimestamp(at_ms / 1000, NEW_YORK).replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass(slots=True)
class Bar:
    """One bar; `t` is when it opens, for days and longer midnight of the venue's zone."""

    t: int
    o: float
    h: float
    l: float  # noqa: E741  the venue's own name
    c: float
    v: float
    n: int = 1

    def merge(self, later: Bar, *, prices: bool = True) -> None:
        """Take in what came after; `prices` false counts the volume alone."""
        if prices:
            self.h, self.l, self.c = max(self.h, later.h), min(self.l, later.l), later.c
        self.v += later.v
        self.n += later.n

    def row(self) -> dict[str, object]:
        """The REST form."""
        volume: float = int(self.v) if self.v == int(self.v) else self.v
        mean = round((self.o + self.h + self.l + self.c) / 4, 6)
        return {
            "t": stamp(self.t),
            "o": self.o,
            "h": self.h,
            "l": self.l,
            "c": self.c,
            "v": volume,
            "n": self.n,
            "vw": mean,
        }


@dataclass(frozen=True, slots=True)
class Print:
    """One trade."""

    id: int
    t: int
    price: float
    size: float
    side: str
    conditions: tuple[str, ...] = ("@",)


@dataclass(frozen=True, slots=True)
class SplitAction:
    """A split on its first session's date."""

    date: str
    new_rate: float
    old_rate: float


@dataclass(slots=True)
class Security:
    """One symbol. `minutes` ascend; `days`, where given, are its daily bars in place of made ones."""

    symbol: str
    name: str
    minutes: list[Bar] = field(default_factory=list)
    days: list[Bar] = field(default_factory=list)
    splits: list[SplitAction] = field(default_factory=list)
    prints: deque[Print] = field(default_factory=lambda: deque(maxlen=TRADES_KEPT))
    bid: tuple[float, float] = (0.0, 0.0)
    ask: tuple[float, float] = (0.0, 0.0)
    quoted_ms: int = 0
    bids: dict[float, float] = field(default_factory=dict)
    asks: dict[float, float] = field(default_factory=dict)

    @property
    def stock(self) -> bool:
        """Whether it is a stock; pairs hold a slash."""
        return "/" not in self.symbol

    @property
    def tick(self) -> Decimal:
        """The step of its price."""
        return Decimal("0.01")

    @property
    def last(self) -> float:
        """The last price."""
        return (
            self.prints[-1].price if self.prints else self.minutes[-1].c if self.minutes else self.days[-1].c
        )

    def end_past(self) -> None:
        """Know the last trade of the bars that are there, so that there is one from the start."""
        if not self.prints and self.minutes:
            last = self.minutes[-1]
            self.prints.append(Print(1, last.t + MINUTE_MS - 1, last.c, 100, "B"))

    def add(self, trade: Print) -> None:
        """A trade happened; an odd lot counts towards the volume of its minute, not its prices."""
        self.prints.append(trade)
        opened, priced = trade.t // MINUTE_MS * MINUTE_MS, "I" not in trade.conditions
        piece = Bar(opened, trade.price, trade.price, trade.price, trade.price, trade.size)
        if self.minutes and self.minutes[-1].t == opened:
            self.minutes[-1].merge(piece, prices=priced)
        elif priced:
            self.minutes.append(piece)

    def bars(self, timeframe: str) -> Sequence[Bar]:
        """All bars of the timeframe; `KeyError` where the venue has none such."""
        match = _TIMEFRAME.fullmatch(timeframe)
        if match is None:
            raise KeyError(timeframe)
        count, unit = int(match[1]), match[2]
        if unit in ("Min", "T", "Hour", "H"):
            length = count * (MINUTE_MS if unit in ("Min", "T") else HOUR_MS)
            return (
                self.minutes
                if length == MINUTE_MS
                else _grouped(self.minutes, lambda t: t // length * length)
            )
        days = self.days or self._made_days()
        if unit in ("Day", "D"):
            return days
        return _grouped(days, self._monday if unit in ("Week", "W") else self._first)

    def minute(self, at_ms: int) -> Bar | None:
        """The minute that opens then."""
        index = bisect_left(self.minutes, at_ms, key=lambda bar: bar.t)
        return self.minutes[index] if index < len(self.minutes) and self.minutes[index].t == at_ms else None

    def _date(self, at_ms: int) -> datetime:
        return (
            session_date(at_ms)
            if self.stock
            else datetime.fromtimestamp(at_ms // DAY_MS * DAY_MS / 1000, UTC)
        )

    def _monday(self, at_ms: int) -> int:
        date = self._date(at_ms)
        return _ms((date - timedelta(days=date.weekday())).replace(hour=0))

    def _first(self, at_ms: int) -> int:
        return _ms(self._date(at_ms).replace(day=1, hour=0))

    def _made_days(self) -> list[Bar]:
        """Of stocks, the prices of a day are those of its regular session, its volume is all of it."""
        days: list[Bar] = []
        priced = False
        for minute in self.minutes:
            opened, regular = _ms(self._date(minute.t)), not self.stock or _is_regular(minute.t)
            if not days or days[-1].t != opened:
                days.append(Bar(opened, minute.o, minute.h, minute.l, minute.c, minute.v, minute.n))
                priced = regular
            elif regular and not priced:
                day, priced = days[-1], True
                day.o, day.h, day.l, day.c = minute.o, minute.h, minute.l, minute.c
                day.v, day.n = day.v + minute.v, day.n + minute.n
            else:
                days[-1].merge(minute, prices=regular)
        return days


def _is_regular(at_ms: int) -> bool:
    local = datetime.fromtimestamp(at_ms / 1000, NEW_YORK)
    return 9 * 60 + 30 <= local.hour * 60 + local.minute < 16 * 60


def _grouped(bars: Iterable[Bar], opening: Callable[[int], int]) -> list[Bar]:
    found: list[Bar] = []
    for bar in bars:
        opened = opening(bar.t)
        if found and found[-1].t == opened:
            found[-1].merge(bar)
        else:
            found.append(Bar(opened, bar.o, bar.h, bar.l, bar.c, bar.v, bar.n))
    return found


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000
