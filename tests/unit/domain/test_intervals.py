"""Sets of intervals against sets of whole numbers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tradewright.domain.intervals import Interval, IntervalSet

pairs = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=10)


def points(intervals: IntervalSet) -> set[int]:
    return {point for start, end in intervals for point in range(start, end)}


def model(raw: list[tuple[int, int]]) -> set[int]:
    return {point for start, end in raw for point in range(start, end)}


def assert_sound(intervals: IntervalSet) -> None:
    """Disjoint, ascending, not empty, not touching."""
    for item in intervals:
        assert isinstance(item, Interval)
        assert item.start < item.end
    items = list(intervals)
    assert all(left.end < right.start for left, right in pairwise(items))


@given(pairs)
def test_any_intervals_become_their_union(raw: list[tuple[int, int]]) -> None:
    made = IntervalSet.of(raw)
    assert_sound(made)
    assert points(made) == model(raw)
    assert made.length_ms == len(model(raw))
    assert bool(made) == bool(model(raw))
    assert len(made) == len(list(made))


@given(pairs, pairs)
def test_union_intersection_and_difference(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    a, b = IntervalSet.of(left), IntervalSet.of(right)
    for made, expected in (
        (a.union(b), model(left) | model(right)),
        (a.intersect(b), model(left) & model(right)),
        (a.subtract(b), model(left) - model(right)),
    ):
        assert_sound(made)
        assert points(made) == expected


@given(pairs, st.integers(-5, 65), st.integers(-5, 65))
def test_clipping_and_containing(raw: list[tuple[int, int]], start: int, end: int) -> None:
    intervals = IntervalSet.of(raw)
    clipped = intervals.clip(start, end)
    assert_sound(clipped)
    assert points(clipped) == model(raw) & set(range(start, end))
    if start < end:
        assert intervals.contains(start, end) == (set(range(start, end)) <= model(raw))


@given(pairs, pairs)
def test_touching_keeps_whole_intervals(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    a, b = IntervalSet.of(left), IntervalSet.of(right)
    expected = [item for item in a if set(range(*item)) & points(b)]
    assert list(a.touching(b)) == expected


@given(pairs, st.integers(0, 12))
def test_bridging_fills_short_gaps_and_no_others(raw: list[tuple[int, int]], shorter_than: int) -> None:
    intervals = IntervalSet.of(raw)
    bridged = intervals.bridged(shorter_than)
    gaps = [(left.end, right.start) for left, right in pairwise(intervals)]
    filled = {point for start, end in gaps if end - start < shorter_than for point in range(start, end)}
    assert_sound(bridged)
    assert points(bridged) == points(intervals) | filled


@given(pairs)
def test_equal_sets_are_equal_values(raw: list[tuple[int, int]]) -> None:
    again = IntervalSet.of((point, point + 1) for point in model(raw))
    assert again == IntervalSet.of(raw)
    assert hash(again) == hash(IntervalSet.of(raw))


def test_one_interval_or_none() -> None:
    assert list(IntervalSet.single(3, 7)) == [(3, 7)]
    assert not IntervalSet.single(7, 7)
    assert not IntervalSet.single(8, 7)
