"""Bars as CSV or Parquet, a piece at a time; pyarrow is imported at first use, and in a thread.

Numbers only, and a header of our own words: nothing in a file can be taken for a formula.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from tradewright.domain.bars import Bars

if TYPE_CHECKING:
    import pyarrow as pa

CSV_HEADER = "time,open,high,low,close,volume"


class BarWriter(ABC):
    """Turns bars into the bytes of a file. Its methods are called in turn, never two at a time."""

    content_type: ClassVar[str]
    suffix: ClassVar[str]

    @abstractmethod
    def begin(self) -> bytes:
        """What stands before the first bar."""

    @abstractmethod
    def add(self, bars: Bars) -> bytes:
        """The next bars; they ascend and come after all before them."""

    @abstractmethod
    def end(self) -> bytes:
        """What stands after the last bar."""


class CSVBarWriter(BarWriter):
    """``time,open,high,low,close,volume``: epoch ms, and the shortest decimals that are the same floats."""

    content_type = "text/csv; charset=utf-8; header=present"
    suffix = "csv"

    def begin(self) -> bytes:
        return f"{CSV_HEADER}\n".encode()

    def add(self, bars: Bars) -> bytes:
        import pyarrow as pa
        import pyarrow.csv

        sink = io.BytesIO()
        table = pa.table(dict(zip(CSV_HEADER.split(","), bars.columns(), strict=True)))
        pyarrow.csv.write_csv(table, sink, pyarrow.csv.WriteOptions(include_header=False))
        return sink.getvalue()

    def end(self) -> bytes:
        return b""


class _Drain:
    """A file for pyarrow to write to, which gives away what was written so far."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written = 0
        self.closed = False

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._written += len(part)
        return len(part)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        """Everything is given away when it is asked for."""

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


class ParquetBarWriter(BarWriter):
    """The same columns in Parquet: ``time`` as timestamps in ms UTC, one row group for each piece."""

    content_type = "application/vnd.apache.parquet"
    suffix = "parquet"

    def __init__(self) -> None:
        self._drain = _Drain()
        self._schema: pa.Schema | None = None
        self._writer: Any = None

    def begin(self) -> bytes:
        import pyarrow as pa
        import pyarrow.parquet

        time, *values = CSV_HEADER.split(",")
        self._schema = pa.schema(
            [(time, pa.timestamp("ms", tz="UTC")), *((name, pa.float64()) for name in values)]
        )
        self._writer = pyarrow.parquet.ParquetWriter(self._drain, self._schema, compression="zstd")
        return self._drain.take()

    def add(self, bars: Bars) -> bytes:
        import pyarrow as pa

        time, *values = (pa.array(column) for column in bars.columns())
        columns = [time.cast(pa.timestamp("ms", tz="UTC")), *values]
        self._writer.write_table(pa.table(columns, schema=self._schema))
        return self._drain.take()

    def end(self) -> bytes:
        self._writer.close()
        return self._drain.take()
