"""Bars: OHLCV rows held as columns.

Source of the numbers: a venue's own candles, or trades aggregated by ``domain.resampling``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.timeframes import Times

Values: TypeAlias = NDArray[np.float64]
BarRow: TypeAlias = tuple[int, float, float, float, float, float]
"""``(time, open, high, low, close, volume)``, the form that goes over the wire."""


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Six columns of equal length; ``time`` is each bar's opening in epoch ms UTC, strictly ascending.

    The columns are not to be written to: they are shared freely between readers.
    """

    time: Times
    open: Values
    high: Values
    low: Values
    close: Values
    volume: Values

    @classmethod
    def empty(cls) -> Bars:
        """No bars."""
        none = np.empty(0, dtype=np.float64)
        return cls(np.empty(0, dtype=np.int64), none, none, none, none, none)

    @classmethod
    def from_rows(cls, rows: Sequence[BarRow] | Iterable[Sequence[float]]) -> Bars:
        """Bars from rows ``(time, open, high, low, close, volume)`` that ascend in time."""
        listed = list(rows)
        if not listed:
            return cls.empty()
        time = np.array([row[0] for row in listed], dtype=np.int64)
        values = np.array([row[1:6] for row in listed], dtype=np.float64)
        return cls(time, *(np.ascontiguousarray(values[:, column]) for column in range(5)))

    @classmethod
    def from_unordered(cls, rows: Iterable[Sequence[float]]) -> Bars:
        """Bars from rows in any order; of rows with one time, the last one counts."""
        by_time = {int(row[0]): row for row in rows}
        return cls.from_rows([by_time[time] for time in sorted(by_time)])

    @classmethod
    def concat(cls, parts: Sequence[Bars]) -> Bars:
        """The parts joined; each must end before the next begins."""
        filled = [part for part in parts if len(part)]
        if not filled:
            return cls.empty()
        if len(filled) == 1:
            return filled[0]
        return cls(
            np.concatenate([part.time for part in filled]),
            *(np.concatenate(values) for values in zip(*(part.values() for part in filled), strict=True)),
        )

    @classmethod
    def first_of(cls, parts: Sequence[Bars]) -> Bars:
        """The union of the parts by time; of bars with one time, the earliest part's counts."""
        filled = [part for part in parts if len(part)]
        if all(a.time[-1] < b.time[0] for a, b in pairwise(filled)):
            return cls.concat(filled)
        time = np.concatenate([part.time for part in filled])
        _, first = np.unique(time, return_index=True)
        values = zip(*(part.values() for part in filled), strict=True)
        return cls(time[first], *(np.concatenate(columns)[first] for columns in values))

    def merged_with(self, newer: Bars) -> Bars:
        """The union of both by time, where ``newer`` wins."""
        if not len(self) or not len(newer) or self.time[-1] < newer.time[0]:
            return Bars.concat((self, newer))
        return Bars.first_of((newer, self))

    def columns(self) -> tuple[Times, Values, Values, Values, Values, Values]:
        """The six columns in the order of a row."""
        return self.time, *self.values()

    def values(self) -> tuple[Values, Values, Values, Values, Values]:
        """The five columns of floats: open, high, low, close, volume."""
        return self.open, self.high, self.low, self.close, self.volume

    def __len__(self) -> int:
        return len(self.time)

    def between(self, start_ms: int, end_ms: int) -> Bars:
        """The bars that open in ``[start_ms, end_ms)``; a view, not a copy."""
        time = self.time
        return self[int(time.searchsorted(start_ms)) : int(time.searchsorted(end_ms))]

    def inside(self, intervals: IntervalSet) -> Bars:
        """The bars that open inside any of the intervals."""
        if not intervals:
            return Bars.empty()
        return Bars.concat([self.between(start, end) for start, end in intervals])

    def __getitem__(self, part: slice) -> Bars:
        return Bars(self.time[part], *(column[part] for column in self.values()))

    def take(self, mask: NDArray[np.bool_] | NDArray[np.intp]) -> Bars:
        """The bars chosen by a boolean mask or by ascending indices."""
        return Bars(self.time[mask], *(column[mask] for column in self.values()))

    def rows(self) -> list[BarRow]:
        """The bars as rows of plain Python numbers."""
        return list(zip(*(column.tolist() for column in self.columns()), strict=True))

    def equals(self, other: Bars) -> bool:
        """Whether all columns are equal, bit for bit."""
        return len(self) == len(other) and all(
            np.array_equal(mine, theirs) for mine, theirs in zip(self.columns(), other.columns(), strict=True)
        )


@dataclass(frozen=True, slots=True, eq=False)
class PageOfBars(Bars):
    """Bars as a venue gave them. In ``unknown`` there may be others: of rows that can't be right, or older
    than what the venue gives. No bar of the page lies in it."""

    unknown: IntervalSet = NO_INTERVALS

    @classmethod
    def of(cls, bars: Bars, unknown: IntervalSet) -> PageOfBars:
        """The bars, and where there may be others."""
        return cls(*bars.columns(), unknown)


def unknown_in(bars: Bars) -> IntervalSet:
    """Where there may be other bars than these, as far as whoever gave them told."""
    return bars.unknown if isinstance(bars, PageOfBars) else NO_INTERVALS


def impossible_rows(bars: Bars) -> NDArray[np.bool_]:
    """Which rows no market can have made: not finite, a price of zero or below, a negative volume,
    a high below, or a low above, any other price of the bar.

    Some commodity futures have traded below zero; spot markets, which we serve, have not.
    """
    prices = np.stack((bars.open, bars.high, bars.low, bars.close)) if len(bars) else np.empty((4, 0))
    sound = np.isfinite(prices).all(axis=0) & np.isfinite(bars.volume)
    sound &= (prices > 0).all(axis=0) & (bars.volume >= 0)
    sound &= (bars.high >= prices.max(axis=0)) & (bars.low <= prices.min(axis=0))
    bad: NDArray[np.bool_] = ~sound
    return bad
