"""Parquet, read in batches and only the columns that are needed; pyarrow is imported at first use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from tradewright.domain.bars import Bars, Values
from tradewright.domain.timeframes import Times
from tradewright.services.bar_import.header import VALUE_NAMES, Columns, from_header
from tradewright.services.bar_import.source import ROWS_MAX, Source, reason
from tradewright.services.bar_import.table import Chunk, SymbolColumn, Table, join
from tradewright.services.bar_import.times import TimeColumn

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK_ROWS = 50_000


def read_parquet(stream: BinaryIO, source: Source, rows_before: int) -> Table:
    """The rows of a Parquet file; ``BarFileError`` names the first row that can't be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(stream)
        if file.metadata.num_rows + rows_before > ROWS_MAX:
            raise source.error(f"there are more than {ROWS_MAX:,} rows in all; import in several steps.")
        names = list(file.schema_arrow.names)
        columns = from_header(names, source, line=None)
        reader = _ParquetReader(source, columns, names)
        rows = join(reader.chunks(file), source, rows_before)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise source.error(f"this is not a sound Parquet file ({reason(error)}).") from error
    return Table(source, rows.bars, rows.lines, rows.symbol, reader.symbols.symbols, reader.only_dates)


class _ParquetReader:
    def __init__(self, source: Source, columns: Columns, names: list[str]) -> None:
        self._source = source
        self._time = names[columns.time]
        self._values = dict(zip(VALUE_NAMES, (names[index] for index in columns.values), strict=True))
        self._symbol = None if columns.symbol is None else names[columns.symbol]
        self._times = TimeColumn(source)
        self._dates = False
        self.symbols = SymbolColumn()

    @property
    def only_dates(self) -> bool:
        """Whether the file has dates without a time of day."""
        return self._dates or self._times.only_dates

    def chunks(self, file: Any) -> Iterator[Chunk]:
        wanted = [self._time, *self._values.values()]
        if self._symbol is not None:
            wanted.append(self._symbol)
        first = 1
        for batch in file.iter_batches(batch_size=_CHUNK_ROWS, columns=wanted):
            lines = np.arange(first, first + batch.num_rows, dtype=np.int64)
            first += batch.num_rows
            yield self._chunk(batch, lines)

    def _chunk(self, batch: pa.RecordBatch, lines: Times) -> Chunk:
        time = self._parse_time(self._column(batch, self._time, "time", lines), lines)
        values = [self._parse_values(batch, name, lines) for name in self._values]
        symbol = None
        if self._symbol is not None:
            texts = self._column(batch, self._symbol, "symbol", lines).to_pylist()
            symbol = self.symbols.parse([str(text).strip() for text in texts])
        return Chunk(Bars(time, *values), lines, symbol)

    def _column(self, batch: pa.RecordBatch, column: str, meaning: str, lines: Times) -> Any:
        values = batch.column(column)
        if values.null_count:
            row = int(np.argmax(values.is_null().to_numpy(zero_copy_only=False)))
            raise self._source.error(f"there is no {meaning}.", int(lines[row]))
        return values

    def _parse_values(self, batch: pa.RecordBatch, name: str, lines: Times) -> Values:
        import pyarrow as pa

        column = self._column(batch, self._values[name], name, lines)
        kind = column.type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            raise self._source.error(f"the column for {name} holds {kind}, not numbers.")
        values: Values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return values

    def _parse_time(self, column: Any, lines: Times) -> Times:
        import pyarrow as pa

        kind = column.type
        if pa.types.is_integer(kind):
            return self._times.parse_integers(column.cast(pa.int64()).to_numpy(), lines)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return self._times.parse_texts(column.to_pylist(), lines)
        if pa.types.is_timestamp(kind):
            ticks = column.cast(pa.int64()).to_numpy()
            return self._in_milliseconds(ticks, kind.unit, lines)
        if pa.types.is_date(kind):
            self._dates = True
            days = column.cast(pa.date32()).cast(pa.int32()).to_numpy().astype(np.int64)
            return self._in_milliseconds(days * 86_400, "s", lines)
        raise self._source.error(f"the column for time holds {kind}, not times.")

    def _in_milliseconds(self, ticks: Times, unit: str, lines: Times) -> Times:
        if unit == "s":
            return ticks * 1_000
        step = {"ms": 1, "us": 1_000, "ns": 1_000_000}[unit]
        broken = ticks % step != 0
        if broken.any():
            row = int(broken.argmax())
            raise self._source.error("the time is not a whole number of milliseconds.", int(lines[row]))
        times: Times = ticks // step
        return times
