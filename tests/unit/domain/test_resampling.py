"""Coarser bars from finer ones, and bars from trades: by a plain model, and by recorded candles."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.resampling import bars_from_ticks, bars_from_trades, resample, whole_bars
from tradewright.domain.ticks import Trade
from tradewright.domain.timeframes import DAY_MS, MINUTE_MS, ONE_MINUTE, TIMEFRAMES, Timeframe

NESTING = [
    (fine, middle, coarse)
    for fine in TIMEFRAMES.values()
    for middle in TIMEFRAMES.values()
    for coarse in TIMEFRAMES.values()
    if fine.length_ms < middle.length_ms < coarse.length_ms
    and fine.nests_in(middle)
    and middle.nests_in(coarse)
]


@st.composite
def bars_of(draw: st.DrawFn, timeframe: Timeframe, most: int = 80) -> Bars:
    """Bars with holes, over a few coarse periods."""
    seed = draw(st.integers(0, 2**32 - 1))
    start_ms = timeframe.floor(draw(st.integers(0, 60 * 365)) * DAY_MS)
    step = draw(st.sampled_from((1, 1, 2, 7, 30)))
    rng = np.random.default_rng(seed)
    count = draw(st.integers(0, most))
    places = np.cumsum(rng.integers(1, step + 1, count))
    time = np.array([timeframe.shift(start_ms, int(place)) for place in places], dtype=np.int64)
    prices = np.sort(rng.lognormal(3, 0.3, (4, count)), axis=0)
    swap = rng.integers(0, 2, count) == 1
    opened, closed = np.where(swap, prices[1], prices[2]), np.where(swap, prices[2], prices[1])
    return Bars(time, opened, prices[3], prices[0], closed, rng.exponential(10, count))


def plainly_resampled(bars: Bars, to: Timeframe) -> list[BarRow]:
    """The same, row by row."""
    rows = []
    for opened_ms, group in groupby(bars.rows(), key=lambda row: to.floor(row[0])):
        members = list(group)
        rows.append(
            (
                opened_ms,
                members[0][1],
                max(row[2] for row in members),
                min(row[3] for row in members),
                members[-1][4],
                sum(row[5] for row in members),
            )
        )
    return rows


def assert_same_market(made: Bars, expected: Bars) -> None:
    """Times and prices exactly, volume to 1e-12."""
    for mine, theirs in zip(made.columns()[:5], expected.columns()[:5], strict=True):
        assert np.array_equal(mine, theirs)
    assert np.allclose(made.volume, expected.volume, rtol=1e-12, atol=0)


@settings(deadline=None)
@given(st.data(), st.sampled_from([(fine, coarse) for fine, _, coarse in NESTING]))
def test_a_coarse_bar_is_made_of_its_fine_bars(
    data: st.DataObject, pair: tuple[Timeframe, Timeframe]
) -> None:
    bars = data.draw(bars_of(pair[0]))
    assert_same_market(resample(bars, pair[1]), Bars.from_rows(plainly_resampled(bars, pair[1])))


@settings(deadline=None, max_examples=200)
@given(st.data(), st.sampled_from(NESTING))
def test_two_steps_equal_one(data: st.DataObject, steps: tuple[Timeframe, Timeframe, Timeframe]) -> None:
    fine, middle, coarse = steps
    bars = data.draw(bars_of(fine))
    assert_same_market(resample(resample(bars, middle), coarse), resample(bars, coarse))


@given(st.data(), st.sampled_from(list(TIMEFRAMES.values())))
def test_to_itself_nothing_changes(data: st.DataObject, timeframe: Timeframe) -> None:
    bars = data.draw(bars_of(timeframe))
    assert resample(bars, timeframe).equals(bars)


def test_nothing_becomes_nothing() -> None:
    assert not len(resample(Bars.empty(), ONE_MINUTE))
    assert not len(bars_from_trades([]))


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(1, 9), st.floats(0.1, 5)), max_size=50))
def test_bars_from_trades(raw: list[tuple[int, float, float]]) -> None:
    raw.sort(key=lambda trade: trade[0])
    trades = [
        Trade(time, str(number), None, price, amount) for number, (time, price, amount) in enumerate(raw)
    ]
    made = bars_from_trades(trades)
    expected = []
    for minute, group in groupby(raw, key=lambda trade: trade[0] // MINUTE_MS):
        members = list(group)
        paid = [price for _, price, _ in members]
        volume = sum(amount for *_, amount in members)
        expected.append((minute * MINUTE_MS, paid[0], max(paid), min(paid), paid[-1], volume))
    assert_same_market(made, Bars.from_rows(expected))


@given(
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 5_000)), max_size=6),
    st.sampled_from(list(TIMEFRAMES.values())[:8]),
)
def test_whole_bars_are_those_covered_in_full(raw: list[tuple[int, int]], timeframe: Timeframe) -> None:
    covered = IntervalSet.of((start * MINUTE_MS // 2, end * MINUTE_MS // 2) for start, end in raw)
    whole = whole_bars(covered, timeframe)
    inside = [
        opened
        for opened in timeframe.opens(0, 2_500 * MINUTE_MS + timeframe.length_ms).tolist()
        if covered.contains(opened, timeframe.end(opened))
    ]
    assert [opened for part in whole for opened in timeframe.opens(part.start, part.end).tolist()] == inside


@pytest.mark.golden
def test_recorded_trades_make_the_recorded_candles(recorded_data: Path) -> None:
    trades = pq.read_table(recorded_data / "binance_XRPETH_trades_2019-10-11_13.parquet")
    candles = pq.read_table(recorded_data / "binance_XRPETH_1m_2019-10-11_13.parquet")
    made = bars_from_ticks(*(trades.column(name).to_numpy() for name in ("time_ms", "price", "amount")))
    recorded = Bars(
        *(candles.column(name).to_numpy() for name in ("time_ms", "open", "high", "low", "close", "volume"))
    )
    assert len(recorded) == 2_469
    assert made.equals(recorded)
