"""Bars as the server sends and takes them: columns in one piece, never a Python object for each bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import asyncpg
import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.timeframes import Times

COLUMNS: Final = ("series_id", "time", "open", "high", "low", "close", "volume")
_INT64: Final = np.iinfo(np.int64)

# An array in binary form is a head of five integers, then each element behind its length.
_ARRAY_HEAD_BYTES: Final = 20
_TIMES: Final = np.dtype([("length", ">i4"), ("value", ">i8")])
_VALUES: Final = np.dtype([("length", ">i4"), ("value", ">f8")])

# A row of COPY is the number of its fields, then each field behind its length; head and end are fixed.
_COPY_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END: Final = b"\xff\xff"
_LENGTHS: Final = {">i4": 4, ">i8": 8, ">f8": 8}
_BAR_FIELDS: Final = tuple((name, ">i8" if name == "time" else ">f8") for name in Bars.__slots__)
_STORED_FIELDS: Final = (("series_id", ">i4"), *_BAR_FIELDS)


def _copy_row(fields: Sequence[tuple[str, str]]) -> np.dtype[np.void]:
    parts = [part for name, kind in fields for part in ((f"{name}_length", ">i4"), (name, kind))]
    return np.dtype([("fields", ">i2"), *parts])


_BAR_ROW: Final = _copy_row(_BAR_FIELDS)
_STORED_ROW: Final = _copy_row(_STORED_FIELDS)


def storable_ms(time_ms: int) -> int:
    """The time, or the nearest that the server can hold."""
    return max(int(_INT64.min), min(int(_INT64.max), time_ms))


def bars_of(row: asyncpg.Record) -> Bars:
    """Bars from a row that begins with ``array_send`` of their six columns, null where there are none."""
    if row[0] is None:
        return Bars.empty()
    values = (_unpacked(row[index], _VALUES).astype(np.float64) for index in range(1, 6))
    return Bars(_unpacked(row[0], _TIMES).astype(np.int64), *values)


def times_of(array: bytes | None) -> Times:
    """The numbers of an ``array_send`` of bigints."""
    if array is None:
        return np.empty(0, dtype=np.int64)
    return _unpacked(array, _TIMES).astype(np.int64)


def _unpacked(array: bytes, kind: np.dtype[np.void]) -> np.ndarray[tuple[int], np.dtype[np.generic]]:
    return np.frombuffer(array, kind, offset=_ARRAY_HEAD_BYTES)["value"]


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


def bars_of_copy(data: bytes) -> Bars:
    """Bars from the binary form of COPY of their six columns."""
    count = (len(data) - len(_COPY_HEAD) - len(_COPY_END)) // _BAR_ROW.itemsize
    rows = np.frombuffer(data, _BAR_ROW, offset=len(_COPY_HEAD), count=count)
    values = (rows[name].astype(np.float64) for name in Bars.__slots__[1:])
    return Bars(rows["time"].astype(np.int64), *values)
