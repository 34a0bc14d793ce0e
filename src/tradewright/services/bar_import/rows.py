"""The rows of one symbol from one source, checked: ascending, possible, final, each time once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradewright.domain.bars import Bars, impossible_rows
from tradewright.domain.timeframes import DAY_MS, TIMEFRAMES, Timeframe, Times
from tradewright.services.bar_import.source import Source
from tradewright.services.bar_import.table import Table
from tradewright.services.bar_import.times import refuse_beyond

_ENOUGH_TO_TELL: Final = 20
"""How many bars it takes to be sure that all of them open on the hour by intent, not by chance."""


@dataclass(frozen=True, slots=True)
class SymbolRows:
    """Bars of one symbol from one source, with the line of each; ``read`` counts the duplicates too."""

    source: Source
    symbol: str
    bars: Bars
    lines: Times
    read: int

    @property
    def duplicates(self) -> int:
        """How many rows said again what another one had said."""
        return self.read - len(self.bars)

    def place_of(self, time_ms: int) -> str | None:
        """Where the bar that opens then stands, or None where this source has none."""
        row = int(np.searchsorted(self.bars.time, time_ms))
        if row == len(self.bars) or self.bars.time[row] != time_ms:
            return None
        return self.source.place(int(self.lines[row]))


@dataclass(frozen=True, slots=True)
class RowRules:
    """What the rows are held to."""

    timeframe: Timeframe
    now_ms: int
    sparse: bool

    def check(self, table: Table, index: int | None, symbol: str) -> SymbolRows:
        """The rows of the table's symbol ``index``, or all; ``BarFileError`` names the first bad line."""
        bars, lines = (table.bars, table.lines) if index is None else table.rows_of(index)
        self._check_each(table.source, bars, lines)
        if table.only_dates and self.timeframe.length_ms < DAY_MS:
            raise table.source.error(
                f"the times are dates without a time of day, so these are no bars of {self.timeframe}: "
                "say which they are, for instance with --timeframe 1d.",
                int(lines[0]),
            )
        step = np.diff(bars.time)
        if (step < 0).any():
            row = int((step < 0).argmax()) + 1
            raise table.source.error(
                f"the time {clock_text(int(bars.time[row]))} is before that of the row above; "
                "the bars of a symbol must ascend.",
                int(lines[row]),
            )
        first = without_repeats(bars, lines, table.source)
        read = len(bars)
        if not first.all():
            bars, lines = bars.take(first), lines[first]
        rows = SymbolRows(table.source, symbol, bars, lines, read)
        if not self.sparse:
            self._check_density(rows)
        return rows

    def _check_each(self, source: Source, bars: Bars, lines: Times) -> None:
        refuse_beyond(bars.time, source, lines)
        misaligned = self.timeframe.floor_array(bars.time) != bars.time
        impossible = impossible_rows(bars)
        forming = bars.time >= self.timeframe.floor(self.now_ms)
        bad = misaligned | impossible | forming
        if not bad.any():
            return
        row = int(bad.argmax())
        time = clock_text(int(bars.time[row]))
        if misaligned[row]:
            sentence = (
                f"no bar of {self.timeframe} opens at {time}; "
                "is --timeframe right, and is the time that of the bar's opening?"
            )
        elif impossible[row]:
            sentence = f"no market can have made this bar: {_why_impossible(bars, row)}."
        else:
            sentence = f"the bar of {time} has not ended yet; leave it out, since what is stored is final."
        raise source.error(sentence, int(lines[row]))

    def _check_density(self, rows: SymbolRows) -> None:
        """Refuse hours that are given as minutes: each would vouch for 59 minutes without a trade."""
        if len(rows.bars) < _ENOUGH_TO_TELL:
            return
        for coarser in reversed(TIMEFRAMES.values()):
            if coarser is self.timeframe or not self.timeframe.nests_in(coarser):
                continue
            if (coarser.floor_array(rows.bars.time) == rows.bars.time).all():
                raise rows.source.error(
                    f"every bar of {rows.symbol} opens where a bar of {coarser} does: "
                    f"import with --timeframe {coarser}, or with --sparse if they are {self.timeframe} bars."
                )


def without_repeats(bars: Bars, lines: Times, source: Source) -> NDArray[np.bool_]:
    """Which rows of ascending bars are the first of their time; others must say the same."""
    first = np.ones(len(bars), dtype=np.bool_)
    first[1:] = bars.time[1:] != bars.time[:-1]
    for row in np.flatnonzero(~first).tolist():
        if not same_values(bars, row - 1, bars, row):
            other = f"{source.counts} {lines[row - 1]}"
            raise source.error(
                f"this bar of {clock_text(int(bars.time[row]))} contradicts that of {other}.", int(lines[row])
            )
    return first


def same_values(mine: Bars, row: int, theirs: Bars, other_row: int) -> bool:
    """Whether two bars have the same prices and volume."""
    pairs = zip(mine.columns()[1:], theirs.columns()[1:], strict=True)
    return all(bool(a[row] == b[other_row]) for a, b in pairs)


def clock_text(time_ms: int) -> str:
    """A time for people: to the second, or finer where it is."""
    text = str(np.datetime64(time_ms, "ms")).replace("T", " ").removesuffix(".000")
    return f"{text} UTC"


def _why_impossible(bars: Bars, row: int) -> str:
    _, opening, high, low, close, volume = (column[row] for column in bars.columns())
    prices = {"open": opening, "high": high, "low": low, "close": close}
    for name, value in (*prices.items(), ("volume", volume)):
        if not np.isfinite(value):
            return f"the {name} is {value}"
    for name, value in prices.items():
        if value <= 0:
            return f"the {name} is {value}"
    if volume < 0:
        return f"the volume is {volume}"
    for name, value in prices.items():
        if high < value:
            return f"the high {high} is below the {name} {value}"
    name, value = next((name, value) for name, value in prices.items() if low > value)
    return f"the low {low} is above the {name} {value}"
