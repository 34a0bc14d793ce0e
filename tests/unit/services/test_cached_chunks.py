"""Where chunks begin, and that nothing but a chunk of the same key is read as one."""

from __future__ import annotations

import random

import numpy as np
import pytest

from bench.generated import minute_bars
from tradewright.domain.bars import Bars
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import Coverage
from tradewright.domain.timeframes import DAY_MS, MINUTE_MS, TIMEFRAMES
from tradewright.services.cached_chunks import (
    CHUNK_BARS,
    EMPTY_CHUNK,
    Chunk,
    bars_of,
    chunk_index,
    chunk_start,
    decode,
    encode,
    merged,
)

KEY = "bars:1m:0:7:crypto:kraken:BTC/USD"
BARS = minute_bars(1_000)
START_MS = int(BARS.time[0])
COVERAGE = Coverage(
    IntervalSet.of(
        [(START_MS, START_MS + 900 * MINUTE_MS), (START_MS + 950 * MINUTE_MS, START_MS + 1_000 * MINUTE_MS)]
    ),
    IntervalSet.single(START_MS + 900 * MINUTE_MS, START_MS + 950 * MINUTE_MS),
)


def encoded(key: str, chunk: Chunk) -> bytes:
    """Return the value of a chunk that can be kept."""
    value = encode(key, chunk)
    assert value is not None
    return value


@pytest.mark.parametrize("timeframe", TIMEFRAMES.values(), ids=str)
def test_every_time_lies_in_the_chunk_of_its_number(timeframe) -> None:  # type: ignore[no-untyped-def]
    rng = random.Random(1)
    for _ in range(200):
        time_ms = rng.randrange(-20 * 365 * DAY_MS, 80 * 365 * DAY_MS)
        index = chunk_index(timeframe, time_ms)
        start, end = chunk_start(timeframe, index), chunk_start(timeframe, index + 1)
        assert start <= time_ms < end
        assert timeframe.floor(start) == start
        assert timeframe.count(start, end) == CHUNK_BARS
        assert chunk_index(timeframe, start) == chunk_index(timeframe, end - 1) == index


@pytest.mark.parametrize("bars", [BARS, Bars.empty(), BARS[:1]], ids=["many", "none", "one"])
@pytest.mark.parametrize("coverage", [COVERAGE, Coverage(), Coverage(outage=COVERAGE.complete)])
def test_a_chunk_comes_back_as_it_was(bars: Bars, coverage: Coverage) -> None:
    value = encoded(KEY, Chunk.of(bars, coverage))
    chunk = decode(KEY, value)
    assert chunk is not None
    assert bars_of(chunk.table).equals(bars)
    assert chunk.coverage == coverage
    assert len(value) <= 100 + 48 * len(bars)


def test_what_is_read_is_not_copied_and_not_writable() -> None:
    value = encoded(KEY, Chunk.of(BARS, COVERAGE))
    chunk = decode(KEY, value)
    assert chunk is not None
    for column in bars_of(chunk.table).columns():
        assert np.shares_memory(column, np.frombuffer(value, np.uint8))
        assert not column.flags.writeable


def test_what_is_damaged_is_no_chunk() -> None:
    value = encoded(KEY, Chunk.of(BARS[:100], COVERAGE))
    rng = random.Random(2)
    for bit in range(0, 8 * len(value), 7):
        damaged = bytearray(value)
        damaged[bit // 8] ^= 1 << bit % 8
        assert decode(KEY, bytes(damaged)) is None, bit
    for length in range(len(value)):
        assert decode(KEY, value[:length]) is None, length
    for _ in range(1_000):
        foreign = bytearray(value)
        start = rng.randrange(len(value))
        foreign[start : start + 40] = rng.randbytes(len(foreign[start : start + 40]))
        assert bytes(foreign) == value or decode(KEY, bytes(foreign)) is None
        assert decode(KEY, rng.randbytes(rng.randrange(300))) is None
    assert decode(KEY, value + bytes(48)) is None, "words of nothing do not change a sum"
    assert decode(KEY, value + value) is None


def test_a_value_of_another_key_or_version_is_no_chunk() -> None:
    value = encoded(KEY, Chunk.of(BARS, COVERAGE))
    assert decode(KEY.replace(":0:", ":1:"), value) is None
    assert decode(KEY, value[:3] + b"\x02" + value[4:]) is None


def test_a_coverage_in_too_many_pieces_is_not_kept() -> None:
    pieces = Coverage(IntervalSet.of((2 * each, 2 * each + 1) for each in range(70_000)))
    assert encode(KEY, Chunk.of(Bars.empty(), pieces)) is None


def test_merging_adds_and_says_when_nothing_is_new() -> None:
    first, second = COVERAGE.complete.items
    one = merged(EMPTY_CHUNK, BARS.between(*first), Coverage(IntervalSet((first,))))
    assert one is not None
    assert merged(one, BARS.between(*first), Coverage(IntervalSet((first,)))) is None
    assert (
        merged(one, BARS[10:20], Coverage(IntervalSet.single(int(BARS.time[10]), int(BARS.time[20])))) is None
    )
    both = merged(one, BARS.between(*second), Coverage(IntervalSet((second,)), COVERAGE.outage))
    assert both is not None
    assert both.coverage == COVERAGE
    assert bars_of(both.table).equals(Bars.concat([BARS.between(*first), BARS.between(*second)]))
