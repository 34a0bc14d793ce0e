"""Bars as the server sends and takes them: columns in one piece, never a Python object for each bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.timeframes import Times

COLUMNS: Final = ("series_id", "time", "open", "high", "low", "close", "volume")
_INT64: Final = np.iinfo(np.int64)

_TIMES: Final = np.dtype(">i8")
_PACKED_ROW: Final = np.dtype([(name, ">i8" if name == "time" else ">f8") for name in Bars.__slots__])

PACKED_BAR: Final = (
    "int8send(time) || float8send(open) || float8send(high) || float8send(low) || float8send(close) || "
    "float8send(volume)"
)
"""A bar in SQL as ``bars_of`` takes it, once all are put together by ``string_agg``: one value for any number
of bars, so the parser of the driver never sees a single one. It costs the server less than arrays, one for
each column, and less than COPY, which has a message for each row and can't be prepared."""

# A row of COPY is the number of its fields, then each field behind its length; head and end are fixed.
_COPY_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END: Final = b"\xff\xff"
_LENGTHS: Final = {">i4": 4, ">i8": 8, ">f8": 8}
_STORED_FIELDS: Final = (
    ("series_id", ">i4"),
    *((name, ">i8" if name == "time" else ">f8") for name in Bars.__slots__),
)


def _copy_row(fields: Sequence[tuple[str, str]]) -> np.dtype[np.void]:
    parts = [part for name, kind in fields for part in ((f"{name}_length", ">i4"), (name, kind))]
    return np.dtype([("fields", ">i2"), *parts])


_STORED_ROW: Final = _copy_row(_STORED_FIELDS)


def storable_ms(time_ms: int) -> int:
    """The time, or the nearest that the server can hold."""
    return max(int(_INT64.min), min(int(_INT64.max), time_ms))


def bars_of(packed: bytes | None) -> Bars:
    """Bars from the ``string_agg`` of their ``PACKED_BAR``, null where there are none."""
    if packed is None:
        return Bars.empty()
    rows = np.frombuffer(packed, _PACKED_ROW)
    values = (rows[name].astype(np.float64) for name in Bars.__slots__[1:])
    return Bars(rows["time"].astype(np.int64), *values)


def times_of(packed: bytes | None) -> Times:
    """The numbers of a ``string_agg`` of ``int8send``, null where there are none."""
    return np.frombuffer(packed or b"", _TIMES).astype(np.int64)


def copy_data(series_id: int, bars: Bars) -> memoryview:
    """Bars of a series in the binary form of COPY, in the order of ``COLUMNS``."""
    head, size = len(_COPY_HEAD), len(bars) * _STORED_ROW.itemsize
    data = bytearray(head + size + len(_COPY_END))
    data[:head], data[head + size :] = _COPY_HEAD, _COPY_END
    rows = np.frombuffer(data, _STORED_ROW, offset=head, count=len(bars))
    rows["fields"] = len(_STORED_FIELDS)
    rows["series_id"] = series_id
    for name, kind in _STORED_FIELDS:
        rows[f"{name}_length"] = _LENGTHS[kind]
    for name, column in zip(Bars.__slots__, bars.columns(), strict=True):
        rows[name] = column
    return memoryview(data)
