"""CSV: comma, semicolon or tab between the columns, a header or the order of Binance's public dumps."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO, Final

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.timeframes import Times
from tradewright.services.bar_import.header import VALUE_NAMES, Columns, from_header, without_header
from tradewright.services.bar_import.numbers import parse_values
from tradewright.services.bar_import.source import Source, reason, shown
from tradewright.services.bar_import.table import Chunk, SymbolColumn, Table, join
from tradewright.services.bar_import.times import TimeColumn, looks_like_time

_BLOCK_CHARACTERS: Final = 2**20
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
        self._text = text
        self.times = TimeColumn(source)
        self.symbols = SymbolColumn()

    def chunks(self) -> Iterator[Chunk]:
        delimiter = ","
        columns: Columns | None = None
        for lines, first_line in _blocks(self._text, self._source):
            if columns is None:
                delimiter = max(_DELIMITERS, key=lines[0].count)
            rows = self._rows(lines, delimiter, first_line)
            if columns is None:
                columns, is_row = self._columns(rows[0])
                if not is_row:
                    rows, first_line = rows[1:], first_line + 1
            if rows:
                yield self._chunk(rows, columns, first_line)

    def _columns(self, cells: list[str]) -> tuple[Columns, bool]:
        """Where the columns stand, by the first line, and whether that is a row already."""
        if not "".join(cells).strip():
            raise self._source.error("the first line is empty; a header or a row should be there.", 1)
        if looks_like_time(cells[0]):
            return without_header(len(cells), self._source), True
        return from_header(cells, self._source), False

    def _rows(self, lines: list[str], delimiter: str, first_line: int) -> list[list[str]]:
        """One row for each line, which may be empty."""
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        rows: list[list[str]] = []
        try:
            rows.extend(reader)
        except csv.Error as error:
            line = first_line + len(rows)
            raise self._source.error(f"this can't be read as CSV ({reason(error)}).", line) from error
        if len(rows) != len(lines):
            opened = next(index for index, line in enumerate(lines) if line.count('"') % 2)
            raise self._source.error(
                "a quoted field goes over several lines, which no column of bars does.", first_line + opened
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


def _blocks(text: io.TextIOWrapper, source: Source) -> Iterator[tuple[list[str], int]]:
    """The file as lists of lines, each with the number of its first.

    A line is never longer than a block, so that a file of one endless line fills no memory.
    """
    number, rest = 1, ""
    while block := text.read(_BLOCK_CHARACTERS):
        lines = (rest + block).split("\n")
        rest = lines.pop()
        if len(rest) > _BLOCK_CHARACTERS:
            raise source.error(
                f"the line is longer than {_BLOCK_CHARACTERS:,} characters.", number + len(lines)
            )
        if lines:
            yield lines, number
            number += len(lines)
    if rest or number == 1:
        yield [rest], number
