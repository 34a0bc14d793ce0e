"""Stock splits taken out of bars."""

from __future__ import annotations

from decimal import Decimal

from tradewright.domain.adjustment import split_adjusted
from tradewright.domain.bars import Bars
from tradewright.domain.instruments import Split
from tradewright.domain.timeframes import DAY_MS


def days(*closes: float) -> Bars:
    return Bars.from_rows([(n * DAY_MS, c, c, c, c, 100.0) for n, c in enumerate(closes)])


def test_what_came_before_a_split_is_divided_and_what_came_after_is_not() -> None:
    adjusted = split_adjusted(days(400, 404, 101, 102), [Split(2 * DAY_MS, Decimal(4))])
    assert adjusted.close.tolist() == [100, 101, 101, 102]
    assert adjusted.volume.tolist() == [400, 400, 100, 100]


def test_splits_add_up() -> None:
    splits = [Split(DAY_MS, Decimal(2)), Split(3 * DAY_MS, Decimal("0.1"))]
    adjusted = split_adjusted(days(10, 5, 5, 50), splits)
    assert [round(close, 9) for close in adjusted.close.tolist()] == [50, 50, 50, 50]


def test_a_split_of_the_future_of_these_bars_counts_for_all_of_them() -> None:
    assert split_adjusted(days(8, 8), [Split(9 * DAY_MS, Decimal(8))]).open.tolist() == [1, 1]


def test_nothing_to_adjust_is_the_same_bars() -> None:
    bars = days(1, 2)
    assert split_adjusted(bars, []) is bars
    assert split_adjusted(bars, [Split(0, Decimal(3))]) is bars
    assert len(split_adjusted(Bars.empty(), [Split(0, Decimal(3))])) == 0
