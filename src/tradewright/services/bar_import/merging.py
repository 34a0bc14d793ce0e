"""Several sources of one symbol become one batch: what adjoins is joined, what overlaps must agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.errors import BarFileError
from tradewright.domain.intervals import Interval, IntervalSet
from tradewright.domain.timeframes import Timeframe
from tradewright.services.bar_import.rows import SymbolRows, clock_text


@dataclass(frozen=True, slots=True)
class MergedSymbol:
    """All bars of one symbol, and for which intervals its sources vouch."""

    symbol: str
    parts: tuple[SymbolRows, ...]
    bars: Bars
    covered: IntervalSet

    @property
    def read(self) -> int:
        """How many rows the sources had."""
        return sum(part.read for part in self.parts)

    def place_of(self, time_ms: int) -> str | None:
        """Where the bar that opens then stands first."""
        places = (part.place_of(time_ms) for part in self.parts)
        return next((place for place in places if place is not None), None)


def merge(parts: Sequence[SymbolRows], timeframe: Timeframe, *, sparse: bool) -> MergedSymbol:
    """The union of the parts; ``BarFileError`` where two of them contradict each other."""
    ordered = sorted(parts, key=lambda part: int(part.bars.time[0]))
    bars = _joined(ordered)
    if sparse:
        covered = rows_as_intervals(bars, timeframe)
    else:
        covered = IntervalSet.of(_vouched(part, timeframe) for part in ordered)
        for part in ordered:
            _check_vouching(part, bars, ordered, timeframe)
    return MergedSymbol(parts[0].symbol, tuple(parts), bars, covered)


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


def _vouched(part: SymbolRows, timeframe: Timeframe) -> Interval:
    """From the first bar to the end of the last."""
    return Interval(int(part.bars.time[0]), timeframe.end(int(part.bars.time[-1])))


def _check_vouching(
    part: SymbolRows, merged: Bars, others: Sequence[SymbolRows], timeframe: Timeframe
) -> None:
    """Refuse a bar of another source where this one vouches that there was no trade."""
    inside = merged.between(*_vouched(part, timeframe))
    if len(inside) == len(part.bars):
        return
    time_ms = int(np.setdiff1d(inside.time, part.bars.time, assume_unique=True)[0])
    place = next(place for place in (other.place_of(time_ms) for other in others) if place is not None)
    raise BarFileError(
        f"{place}: there is a bar of {part.symbol} at {clock_text(time_ms)}, and {part.source.label}, "
        "which covers this time, has none. Import with --sparse, or the better file alone."
    )
