"""Bars as columns: rows, slices, merging, and rows that can't be."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewright.domain.bars import BarRow, Bars, impossible_rows

prices = st.floats(1e-8, 1e8)


@st.composite
def bar_rows(draw: st.DrawFn, most: int = 12) -> list[BarRow]:
    """Sound rows with ascending times."""
    times = sorted(draw(st.sets(st.integers(0, 40), max_size=most)))
    rows = []
    for time in times:
        first, second, third, fourth = sorted(draw(st.tuples(prices, prices, prices, prices)))
        opened, closed = draw(st.permutations((second, third)))
        rows.append((time * 60_000, opened, fourth, first, closed, draw(st.floats(0, 1e9))))
    return rows


@given(bar_rows())
def test_rows_go_in_and_come_out(rows: list[BarRow]) -> None:
    bars = Bars.from_rows(rows)
    assert bars.rows() == rows
    assert len(bars) == len(rows)
    assert bars.time.dtype == np.int64
    assert all(column.dtype == np.float64 and column.flags.c_contiguous for column in bars.columns()[1:])
    assert Bars.from_rows(iter(rows)).equals(bars)
    assert not impossible_rows(bars).any()


@given(bar_rows(), st.randoms(use_true_random=False))
def test_rows_in_any_order_are_sorted_and_the_last_of_equals_counts(
    rows: list[BarRow], random: Random
) -> None:
    shuffled = [*rows, *((row[0], *(value / 2 for value in row[1:])) for row in rows)]
    random.shuffle(shuffled)
    expected = {row[0]: tuple(row) for row in shuffled}
    assert Bars.from_unordered(shuffled).rows() == [expected[time] for time in sorted(expected)]


@given(bar_rows(), bar_rows())
def test_merging_is_a_union_by_time_in_which_the_newer_wins(old: list[BarRow], new: list[BarRow]) -> None:
    merged = Bars.from_rows(old).merged_with(Bars.from_rows(new))
    expected = {row[0]: row for row in (*old, *new)}
    assert merged.rows() == [expected[time] for time in sorted(expected)]


@given(bar_rows(), st.integers(0, 12), st.integers(0, 12))
def test_parts_joined_are_the_whole(rows: list[BarRow], first: int, second: int) -> None:
    bars = Bars.from_rows(rows)
    cuts = sorted((first, second))
    assert Bars.concat((bars[: cuts[0]], bars[cuts[0] : cuts[1]], bars[cuts[1] :])).equals(bars)


@given(bar_rows(), st.integers(-1, 42), st.integers(-1, 42))
def test_between_takes_the_start_and_leaves_the_end(rows: list[BarRow], start: int, end: int) -> None:
    start_ms, end_ms = start * 60_000, end * 60_000
    part = Bars.from_rows(rows).between(start_ms, end_ms)
    assert part.rows() == [row for row in rows if start_ms <= row[0] < end_ms]


@given(bar_rows(), st.data())
def test_taking_by_a_mask(rows: list[BarRow], data: st.DataObject) -> None:
    mask = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    taken = Bars.from_rows(rows).take(np.array(mask, dtype=np.bool_))
    assert taken.rows() == [row for row, chosen in zip(rows, mask, strict=True) if chosen]


def test_no_bars() -> None:
    none = Bars.empty()
    assert len(none) == 0
    assert none.rows() == []
    assert none.equals(Bars.from_rows([]))
    assert Bars.concat([]).equals(none)
    assert none.merged_with(none).equals(none)
    assert not impossible_rows(none).any()


def test_a_slice_is_a_view() -> None:
    bars = Bars.from_rows([(minute * 60_000, 1, 2, 0.5, 1, 3) for minute in range(10)])
    assert np.shares_memory(bars.between(60_000, 300_000).close, bars.close)


def test_equality_is_of_every_bit() -> None:
    bars = Bars.from_rows([(0, 1, 2, 0.5, 1, 3)])
    for column in range(1, 6):
        row = [0, 1.0, 2.0, 0.5, 1.0, 3.0]
        row[column] = math.nextafter(row[column], 9)
        assert not bars.equals(Bars.from_rows([row]))
    assert not bars.equals(Bars.from_rows([(60_000, 1, 2, 0.5, 1, 3)]))


@pytest.mark.parametrize(
    "row",
    [
        (0, 0.0, 2.0, 0.0, 1.0, 1.0),
        (0, 1.0, 2.0, -0.5, 1.0, 1.0),
        (0, 1.0, 0.9, 0.5, 0.8, 1.0),
        (0, 1.0, 2.0, 1.1, 1.5, 1.0),
        (0, 1.0, 2.0, 0.5, 2.1, 1.0),
        (0, 1.0, 2.0, 0.5, 0.4, 1.0),
        (0, 1.0, 2.0, 0.5, 1.0, -1.0),
        (0, math.nan, 2.0, 0.5, 1.0, 1.0),
        (0, 1.0, math.inf, 0.5, 1.0, 1.0),
        (0, 1.0, 2.0, 0.5, 1.0, math.nan),
    ],
)
def test_impossible_rows_are_found(row: BarRow) -> None:
    sound = (60_000, 1.0, 1.0, 1.0, 1.0, 0.0)
    assert impossible_rows(Bars.from_rows([row, sound])).tolist() == [True, False]
