"""Which column of a file means what.

Names are compared without regard to case, spaces and underscores. Of several columns that could be
the time, the first in the order of ``TIME_NAMES`` counts. Columns of other names are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tradewright.services.bar_import.source import Source, shown

TIME_NAMES: Final = (
    "time_ms",
    "timestamp_ms",
    "open_time",
    "open_timestamp",
    "timestamp",
    "time",
    "unix",
    "unix_time",
    "unix_timestamp",
    "datetime",
    "date_time",
    "date",
    "ts",
    "t",
)
SYMBOL_NAMES: Final = ("symbol", "ticker", "pair", "instrument")
VALUE_NAMES: Final = {
    "open": ("open", "open_price", "o"),
    "high": ("high", "high_price", "h"),
    "low": ("low", "low_price", "l"),
    "close": ("close", "close_price", "c"),
    "volume": ("volume", "base_volume", "volume_base", "vol", "v"),
}


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the columns stand, counted from 0."""

    time: int
    values: tuple[int, int, int, int, int]
    symbol: int | None
    width: int


WITHOUT_HEADER: Final = (0, (1, 2, 3, 4, 5))
"""The order of a file without a header: time, open, high, low, close, volume, then what is ignored."""


def without_header(width: int, source: Source) -> Columns:
    """The columns of a file whose first line is already a row."""
    if width < 6:
        raise source.error(
            f"there is no header, and {width} columns are too few for time, open, high, low, close, volume.",
            1,
        )
    return Columns(*WITHOUT_HEADER, symbol=None, width=width)


def from_header(names: Sequence[str], source: Source, line: int | None = 1) -> Columns:
    """The columns by their names; ``BarFileError`` where one is missing or there twice."""
    found: dict[str, int] = {}
    for index, name in enumerate(names):
        key = _key(name)
        if key in found and key in _KNOWN:
            raise source.error(f"the column {shown(name)} is there twice.", line)
        found.setdefault(key, index)
    time = _first(found, TIME_NAMES)
    values = {name: _first(found, synonyms) for name, synonyms in VALUE_NAMES.items()}
    missing = [name for name, index in (("time", time), *values.items()) if index is None]
    if missing:
        there = ", ".join(shown(name) for name in names[:20])
        raise source.error(
            f"there is no column for {', '.join(missing)}; the columns are {there}. "
            "Known names of the time are time, timestamp, date, open_time and the like.",
            line,
        )
    indices = [index for index in values.values() if index is not None]
    opening, high, low, close, volume = indices
    assert time is not None
    return Columns(time, (opening, high, low, close, volume), _first(found, SYMBOL_NAMES), len(names))


def _first(found: dict[str, int], names: Sequence[str]) -> int | None:
    return next((found[_key(name)] for name in names if _key(name) in found), None)


def _key(name: str) -> str:
    return name.strip().lower().replace(" ", "").replace("_", "")


_KNOWN: Final = frozenset(
    _key(name) for names in (TIME_NAMES, SYMBOL_NAMES, *VALUE_NAMES.values()) for name in names
)
