"""Several sources of one symbol become one batch: what adjoins is joined, what overlaps must agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.errors import BarFileError
from tradewright.domain.intervals import NO_INTERVALS, Interval, IntervalSet
from tradewright.domain.timeframes import Timeframe
from tradewright.runtime.calendars import TradingCalendar
from tradewright.services.bar_import.gaps import long_gaps
from tradewright.services.bar_import.rows import SymbolRows, clock_text

Vouching: TypeAlias = Literal["rows", "stretches", "all"]
"""What a source is taken to be all of: its rows, what lies between them but for long gaps, or everything."""


@dataclass(frozen=True, slots=True)
class MergedSymbol:
    """All bars of one symbol, and for which intervals its sources vouch."""

    symbol: str
    parts: tuple[SymbolRows, ...]
    bars: Bars
    covered: IntervalSet
    unknown: IntervalSet = NO_INTERVALS
    """Long stretches between the rows for which no source vouches."""

    @property
    def read(self) -> int:
        """How many rows the sources had."""
        return sum(part.read for part in self.parts)

    def place_of(self, time_ms: int) -> str | None:
        """Where the bar that opens then stands first."""
        places = (part.place_of(time_ms) for part in self.parts)
        return next((place for place in places if place is not None), None)


def merge(
    parts: Sequence[SymbolRows], timeframe: Timeframe, calendar: TradingCalendar, vouching: Vouching
) -> MergedSymbol:
    """The union of the parts; ``BarFileError`` where two of them contradict each other."""
    ordered = sorted(parts, key=lambda part: int(part.bars.time[0]))
    bars = _joined(ordered)
    symbol = parts[0].symbol
    if vouching == "rows":
        return MergedSymbol(symbol, tuple(parts), bars, rows_as_intervals(bars, timeframe))
    vouched = [_vouched(part, timeframe, calendar, vouching) for part in ordered]
    for part, intervals in zip(ordered, vouched, strict=True):
        _check_vouching(part, intervals, bars, ordered)
    covered = IntervalSet.of(interval for intervals in vouched for interval in intervals)
    unknown = long_gaps(bars.time, timeframe, calendar).subtract(covered)
    return MergedSymbol(symbol, tuple(parts), bars, covered, unknown)


def rows_as_intervals(bars: Bars, timeframe: Timeframe) -> IntervalSet:
    """The times of the bars themselves and nothing between them."""
    if not len(bars):
        return IntervalSet()
    ends = timeframe.floor_array(bars.time + timeframe.length_ms)
    if timeframe.unit == "month":  # whose length is that of the longest
        ends = timeframe.floor_array(bars.time + timeframe.length_ms + timeframe.length_ms // 31)
    breaks = np.flatnonzero(ends[:-1] != bars.time[1:])
    starts = bars.time[np.concatenate(([0], breaks + 1))].tolist()
    return IntervalSet(tuple(map(Interval, starts, ends[np.concatenate((breaks, [len(bars) - 1]))].tolist())))


def _joined(ordered: Sequence[SymbolRows]) -> Bars:
    """The bars of parts that are ordered by their first; only what overlaps is merged bar by bar."""
    runs: list[Bars] = []
    for index, part in enumerate(ordered):
        if runs and runs[-1].time[-1] >= part.bars.time[0]:
            _check_agreement(runs[-1], part, ordered[:index])
            runs[-1] = runs[-1].merged_with(part.bars)
        else:
            runs.append(part.bars)
    return Bars.concat(runs)


def _check_agreement(merged: Bars, part: SymbolRows, before: Sequence[SymbolRows]) -> None:
    _, mine, theirs = np.intersect1d(part.bars.time, merged.time, assume_unique=True, return_indices=True)
    differs = np.zeros(len(mine), dtype=np.bool_)
    for a, b in zip(part.bars.columns()[1:], merged.columns()[1:], strict=True):
        differs |= a[mine] != b[theirs]
    if not differs.any():
        return
    row = int(mine[differs.argmax()])
    time_ms = int(part.bars.time[row])
    other = next(place for place in (earlier.place_of(time_ms) for earlier in before) if place is not None)
    bar = f"this bar of {part.symbol} at {clock_text(time_ms)}"
    raise BarFileError(f"{part.place_of(time_ms)}: {bar} contradicts that of {other}.")


def _vouched(
    part: SymbolRows, timeframe: Timeframe, calendar: TradingCalendar, vouching: Vouching
) -> IntervalSet:
    """From the first bar to the end of the last, long gaps left out unless it is said to be all there is."""
    times = part.bars.time
    whole = IntervalSet.single(int(times[0]), timeframe.end(int(times[-1])))
    return whole if vouching == "all" else whole.subtract(long_gaps(times, timeframe, calendar))


def _check_vouching(
    part: SymbolRows, vouched: IntervalSet, merged: Bars, others: Sequence[SymbolRows]
) -> None:
    """Refuse a bar of another source where this one vouches that there was no trade."""
    inside = merged.inside(vouched)
    if len(inside) == len(part.bars):
        return
    time_ms = int(np.setdiff1d(inside.time, part.bars.time, assume_unique=True)[0])
    place = next(place for place in (other.place_of(time_ms) for other in others) if place is not None)
    raise BarFileError(
        f"{place}: there is a bar of {part.symbol} at {clock_text(time_ms)}, and {part.source.label}, "
        "which covers this time, has none. Import with --sparse, or the better file alone."
    )
