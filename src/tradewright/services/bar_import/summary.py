"""What an import did, for programs and for people."""

from __future__ import annotations

from dataclasses import dataclass

from tradewright.services.bar_import.gaps import GapCount
from tradewright.services.bar_import.rows import clock_text


@dataclass(frozen=True, slots=True)
class SymbolSummary:
    """What the files held of one symbol; ``first_ms`` and ``last_ms`` are the openings of its outer bars.

    Gaps are counted in regular sessions only, where the instrument has such.
    """

    symbol: str
    rows: int
    bars: int
    duplicates: int
    first_ms: int
    last_ms: int
    gaps: GapCount


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
    return "\n".join([total, *(_line(summary, each) for each in summary.symbols)])


def _line(summary: ImportSummary, each: SymbolSummary) -> str:
    return (
        f"{summary.market} {summary.provider} {each.symbol} {summary.timeframe}: "
        f"{_counted(each.bars, 'bar')} from {clock_text(each.first_ms)} to {clock_text(each.last_ms)}; "
        f"{_gaps(each.gaps)}."
    )


def _gaps(count: GapCount) -> str:
    if not count.gaps:
        return "no gaps"
    longest = _counted(count.longest, "bar")
    return f"{count.missing:,} missing in {_counted(count.gaps, 'gap')}, the longest {longest}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
