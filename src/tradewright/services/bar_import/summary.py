"""What an import did, for programs and for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.services.bar_import.gaps import GapCount
from tradewright.services.bar_import.rows import clock_text

_TOLD_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class SymbolSummary:
    """What the files held of one symbol; ``first_ms`` and ``last_ms`` are the openings of its outer bars.

    Gaps are counted in regular sessions only, where the instrument has such. ``unknown`` are the long ones
    for which no file vouches.
    """

    symbol: str
    rows: int
    bars: int
    duplicates: int
    first_ms: int
    last_ms: int
    gaps: GapCount
    unknown: IntervalSet = NO_INTERVALS


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What the files of one command held, and what became of it in the store."""

    market: str
    provider: str
    timeframe: str
    files: int
    symbols: tuple[SymbolSummary, ...]
    inserted: int
    unchanged: int
    replaced: int

    @property
    def rows(self) -> int:
        """Rows read, of all symbols."""
        return sum(each.rows for each in self.symbols)

    @property
    def duplicates(self) -> int:
        """Equal duplicates dropped, of all symbols."""
        return sum(each.duplicates for each in self.symbols)


def format_summary(summary: ImportSummary) -> str:
    """The summary as a few lines of text."""
    total = (
        f"{_counted(summary.rows, 'row')} read from {_counted(summary.files, 'file')}: "
        f"{_counted(summary.inserted, 'bar')} stored, {summary.unchanged:,} unchanged, "
        f"{summary.replaced:,} replaced; {_counted(summary.duplicates, 'equal duplicate')} dropped."
    )
    lines = [line for each in summary.symbols for line in (_line(summary, each), _unknown(each)) if line]
    return "\n".join([total, *lines])


def _line(summary: ImportSummary, each: SymbolSummary) -> str:
    return (
        f"{summary.market} {summary.provider} {each.symbol} {summary.timeframe}: "
        f"{_counted(each.bars, 'bar')} from {clock_text(each.first_ms)} to {clock_text(each.last_ms)}; "
        f"{_gaps(each.gaps)}."
    )


def _unknown(each: SymbolSummary) -> str:
    """What a reader of the summary might take for known, and is not."""
    if not each.unknown:
        return ""
    told = [f"{clock_text(start)} to {clock_text(end)}" for start, end in each.unknown.items[:_TOLD_MAX]]
    more = len(each.unknown) - _TOLD_MAX
    rest = f" and {more:,} more" if more > 0 else ""
    count = _counted(len(each.unknown), "stretch", "stretches")
    return (
        f"{each.symbol}: not taken as known: {count} of more than a day without a row, "
        f"{', '.join(told)}{rest}. If nothing was traded there, import with --complete."
    )


def _gaps(count: GapCount) -> str:
    if not count.gaps:
        return "no gaps"
    longest = _counted(count.longest, "bar")
    return f"{count.missing:,} missing in {_counted(count.gaps, 'gap')}, the longest {longest}"


def _counted(number: int, noun: str, nouns: str = "") -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {nouns or noun + 's'}"
