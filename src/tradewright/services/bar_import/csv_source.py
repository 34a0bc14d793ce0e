"""CSV: comma, semicolon or tab between the columns, a header or the order of Binance's public dumps."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, Final

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.timeframes import Times
from tradewright.services.bar_import.header import VALUE_NAMES, Columns, from_header, without_header
from tradewright.services.bar_import.numbers import parse_values
from tradewright.services.bar_import.source import Source, shown
from tradewright.services.bar_import.table import Chunk, SymbolColumn, Table, join
from tradewright.services.bar_import.times import TimeColumn, looks_like_time

_CHUNK_ROWS: Final = 50_000
_LINE_CHARACTERS_MAX: Final = 65_536
_DELIMITERS: Final = ",;\t"


def read_csv(stream: BinaryIO, source: Source, rows_before: int) -> Table:
    """The rows of a CSV file; ``BarFileError`` names the first line that can't be read."""
    # A byte that is no UTF-8 becomes a sign that no number holds, so the error names its line.
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape")
    reader = _CSVReader(text, source)
    rows = join(reader.chunks(), source, rows_before)
    return Table(source, rows.bars, rows.lines, rows.symbol, reader.symbols.symbols, reader.times.only_dates)


class _CSVReader:
    def __init__(self, text: io.TextIOWrapper, source: Source) -> None:
        self._source = source
        self._lines = _lines(text, source)
        self.times = TimeColumn(source)
        self.symbols = SymbolColumn()

    def chunks(self) -> Iterator[Chunk]:
        first = next(self._lines, "")
        delimiter = max(_DELIMITERS, key=first.count)
        cells = next(csv.reader([first], delimiter=delimiter), [])
        if not cells:
            raise self._source.error("the first line is empty; a header or a row should be there.", 1)
        if looks_like_time(cells[0]):
            columns = without_header(len(cells), self._source)
            yield self._chunk([cells], columns, 1)
        else:
            columns = from_header(cells, self._source)
        reader = csv.reader(self._lines, delimiter=delimiter)
        read = 1
        while rows := self._take(reader, read):
            yield self._chunk(rows, columns, read + 1)
            read += len(rows)

    def _take(self, reader: Iterator[list[str]], read: int) -> list[list[str]]:
        before = reader.line_num  # type: ignore[attr-defined]  # csv.reader's own, typed nowhere
        try:
            rows = list(islice(reader, _CHUNK_ROWS))
        except csv.Error as error:
            line = 1 + reader.line_num  # type: ignore[attr-defined]
            raise self._source.error(f"this can't be read as CSV ({error}).", line) from error
        if reader.line_num - before != len(rows):  # type: ignore[attr-defined]
            raise self._source.error(
                f"after line {read} a quoted field goes over several lines, which no column of bars does."
            )
        return rows

    def _chunk(self, rows: list[list[str]], columns: Columns, first_line: int) -> Chunk:
        lines = np.arange(first_line, first_line + len(rows), dtype=np.int64)
        if set(map(len, rows)) != {columns.width}:
            rows, lines = self._without_blank(rows, lines, columns.width)
        time = self.times.parse_texts([row[columns.time] for row in rows], lines)
        values = (
            parse_values([row[index] for row in rows], name, lines, self._source)
            for name, index in zip(VALUE_NAMES, columns.values, strict=True)
        )
        symbol = None
        if columns.symbol is not None:
            symbol = self.symbols.parse([row[columns.symbol].strip() for row in rows])
        return Chunk(Bars(time, *values), lines, symbol)

    def _without_blank(
        self, rows: list[list[str]], lines: Times, width: int
    ) -> tuple[list[list[str]], Times]:
        kept = []
        for index, row in enumerate(rows):
            if len(row) == width:
                kept.append(index)
            elif "".join(row).strip():
                raise self._source.error(
                    f"there are {len(row)} columns, not {width}: {shown(','.join(row))}.", int(lines[index])
                )
        return [rows[index] for index in kept], lines[kept]


def _lines(text: io.TextIOWrapper, source: Source) -> Iterator[str]:
    """The lines of the file, of bounded length, so that a file of one endless line fills no memory."""
    number = 0
    while line := text.readline(_LINE_CHARACTERS_MAX):
        number += 1
        if len(line) == _LINE_CHARACTERS_MAX and not line.endswith("\n"):
            raise source.error(f"the line is longer than {_LINE_CHARACTERS_MAX:,} characters.", number)
        yield line
