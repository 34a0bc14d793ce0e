"""A source read whole: its rows as columns in the order of the file, not yet checked against each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tradewright.domain.bars import Bars
from tradewright.domain.timeframes import Times
from tradewright.services.bar_import.source import ROWS_MAX, Source


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one source; ``bars`` need not ascend here; ``symbol`` indexes ``symbols``."""

    source: Source
    bars: Bars
    lines: Times
    symbol: NDArray[np.int32] | None
    symbols: tuple[str, ...]
    only_dates: bool

    def rows_of(self, index: int) -> tuple[Bars, Times]:
        """The rows of one of the symbols, with their lines."""
        assert self.symbol is not None
        chosen = self.symbol == index
        return (self.bars, self.lines) if chosen.all() else (self.bars.take(chosen), self.lines[chosen])


class SymbolColumn:
    """Numbers the symbols of a source in the order in which they appear."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def parse(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """The number of each row's symbol."""
        for text in dict.fromkeys(texts):
            self._numbers.setdefault(text, len(self._numbers))
        return np.fromiter(map(self._numbers.__getitem__, texts), dtype=np.int32, count=len(texts))

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self._numbers)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a source."""

    bars: Bars
    lines: Times
    symbol: NDArray[np.int32] | None


def join(chunks: Iterable[Chunk], source: Source, rows_before: int) -> Chunk:
    """All rows of a source as one; ``BarFileError`` where the command gets too many."""
    kept: list[Chunk] = []
    rows = rows_before
    for chunk in chunks:
        rows += len(chunk.lines)
        if rows > ROWS_MAX:
            raise source.error(f"there are more than {ROWS_MAX:,} rows in all; import in several steps.")
        if len(chunk.lines):
            kept.append(chunk)
    if not kept:
        raise source.error("there is no row in it.")
    columns = zip(*(chunk.bars.columns() for chunk in kept), strict=True)
    symbols = [chunk.symbol for chunk in kept if chunk.symbol is not None]
    return Chunk(
        Bars(*(np.concatenate(parts) for parts in columns)),
        np.concatenate([chunk.lines for chunk in kept]),
        np.concatenate(symbols) if symbols else None,
    )
