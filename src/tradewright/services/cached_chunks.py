"""Bars as a cache keeps them: chunks of a series, each one binary value.

A value consists of words of 8 bytes, little-endian: a head of two words, the intervals (start and end)
of ``complete`` and then of ``outage``, and the six columns one after the other, 48 bytes a bar. Columns
are read where they lie. The head is ``TWB``, a byte for the version, the two numbers of intervals (16 bits
each), and a word that makes the sum of all words what the key and the length say it has to be: what is
damaged, cut off, or was stored under another key is not taken for bars. Such a sum sees every single
flipped bit, and costs a third of a CRC.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tradewright.domain.bars import Bars
from tradewright.domain.intervals import NO_INTERVALS, Interval, IntervalSet
from tradewright.domain.ports import Coverage
from tradewright.domain.timeframes import Timeframe

CHUNK_BARS: Final = 1_024
"""How many bars of a timeframe make a chunk. A chart asks for some hundred to a thousand, anywhere, which
is one or two of these. Smaller ones cost more for each bar (1,000 bars in chunks of 256 take half as long
again); in larger ones most of what travels was not asked for, and each new bar writes its chunk anew."""

_HEAD: Final = struct.Struct("<4sHHQ")
_MAGIC: Final = b"TWB\x01"
_HEAD_WORDS: Final = 2
_WORD_BYTES: Final = 8
_WORD_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF
_COLUMNS: Final = 6
_INTERVALS_MAX: Final = 0xFFFF

Table: TypeAlias = NDArray[np.int64]
"""Six rows of equal length, the columns of ``Bars``; those of floats as the words that hold them, so that
one array operation does for all six what it does for one."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is known of one chunk: all bars inside ``complete`` and ``outage``, ascending."""

    table: Table
    complete: IntervalSet = NO_INTERVALS
    outage: IntervalSet = NO_INTERVALS

    @classmethod
    def of(cls, bars: Bars, coverage: Coverage) -> Chunk:
        """The chunk that knows this."""
        table = np.empty((_COLUMNS, len(bars)), dtype=np.int64)
        table[0] = bars.time
        floats = table.view(np.float64)
        for row, column in enumerate(bars.values(), start=1):
            floats[row] = column
        return cls(table, coverage.complete, coverage.outage)

    @property
    def coverage(self) -> Coverage:
        """What is known, and how."""
        return Coverage(self.complete, self.outage)

    def between(self, start_ms: int, end_ms: int) -> Table:
        """The bars that open in ``[start_ms, end_ms)``; a view."""
        time = self.table[0]
        return self.table[:, int(time.searchsorted(start_ms)) : int(time.searchsorted(end_ms))]

    def covers(self, start_ms: int, end_ms: int) -> bool:
        """Whether all of the interval is known."""
        if self.complete.contains(start_ms, end_ms):
            return True
        return bool(self.outage) and self.coverage.known.contains(start_ms, end_ms)


EMPTY_CHUNK: Final = Chunk(np.empty((6, 0), dtype=np.int64))


def bars_of(table: Table) -> Bars:
    """The bars of a table, as views."""
    return Bars(table[0], *table[1:].view(np.float64))


def chunk_index(timeframe: Timeframe, time_ms: int) -> int:
    """The number of the chunk that holds the bar of that time; chunk 0 begins at the epoch (weeks: on
    the first Monday after it)."""
    if timeframe.unit == "fixed":
        return (time_ms - timeframe.offset_ms) // (CHUNK_BARS * timeframe.length_ms)
    opening = timeframe.floor(time_ms)
    months = timeframe.count(0, opening) if opening >= 0 else -timeframe.count(opening, 0)
    return months // CHUNK_BARS


def chunk_start(timeframe: Timeframe, index: int) -> int:
    """When the first bar of a chunk opens; that of the next one is where the chunk ends."""
    return timeframe.shift(timeframe.offset_ms, index * CHUNK_BARS)


def encode(key: str, chunk: Chunk) -> bytes | None:
    """The chunk as one value, or None where its intervals are too many to be worth keeping."""
    complete, outage = chunk.complete, chunk.outage
    if max(len(complete), len(outage)) > _INTERVALS_MAX:
        return None
    place = _HEAD_WORDS + 2 * (len(complete) + len(outage))
    value = bytearray((place + chunk.table.size) * _WORD_BYTES)
    words = np.frombuffer(value, "<i8")
    words[_HEAD_WORDS:place] = [time for interval in (*complete, *outage) for time in interval]
    words[place:].reshape(chunk.table.shape)[:] = chunk.table
    counts = (_MAGIC, len(complete), len(outage))
    _HEAD.pack_into(value, 0, *counts, 0)
    _HEAD.pack_into(value, 0, *counts, (_sum_due(key, words) - _sum(words)) & _WORD_MASK)
    return bytes(value)


def decode(key: str, value: bytes) -> Chunk | None:
    """What ``encode`` made for this key, or None where it is anything else. The columns are views."""
    if len(value) < _HEAD.size or len(value) % _WORD_BYTES:
        return None
    magic, complete, outage, _ = _HEAD.unpack_from(value)
    words = np.frombuffer(value, "<i8")
    if magic != _MAGIC or _sum(words) != _sum_due(key, words):
        return None
    place = _HEAD_WORDS + 2 * (complete + outage)
    bars, left_over = divmod(len(words) - place, _COLUMNS)
    if bars < 0 or left_over:
        return None
    ends = words[_HEAD_WORDS:place].tolist()
    intervals = tuple(map(Interval, ends[::2], ends[1::2]))
    return Chunk(
        words[place:].reshape(_COLUMNS, bars),
        IntervalSet(intervals[:complete]),
        IntervalSet(intervals[complete:]) if outage else NO_INTERVALS,
    )


def _sum(words: NDArray[np.int64]) -> int:
    return int(np.add.reduce(words)) & _WORD_MASK


def _sum_due(key: str, words: NDArray[np.int64]) -> int:
    return zlib.crc32(key.encode()) << 32 | len(words)


def merged(old: Chunk, new_bars: Bars, new: Coverage) -> Chunk | None:
    """What is known together with ``new_bars``, all there are inside ``new``; these win. None where that
    is what ``old`` says already."""
    if not (old.complete or old.outage):
        return Chunk.of(new_bars, new) if new.known else None
    coverage = Coverage(
        old.complete.subtract(new.outage).union(new.complete),
        old.outage.subtract(new.complete).union(new.outage),
    )
    old_bars = bars_of(old.table)
    if coverage == old.coverage and old_bars.inside(new.known).equals(new_bars):
        return None
    kept = old_bars.inside(old.coverage.known.subtract(new.known))
    return Chunk.of(kept.merged_with(new_bars), coverage)
