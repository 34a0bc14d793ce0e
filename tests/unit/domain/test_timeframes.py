"""Timeframes against the calendar of the standard library."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewright.domain.errors import UnknownTimeframe
from tradewright.domain.timeframes import DAY_MS, TIMEFRAMES, Timeframe

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
timeframes = st.sampled_from(list(TIMEFRAMES.values()))
times = st.integers(-20 * 365 * DAY_MS, 100 * 365 * DAY_MS)


def ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def at(time_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=time_ms)


def calendar_floor(timeframe: Timeframe, time_ms: int) -> int:
    """When the bar opens, by the calendar alone."""
    moment = at(time_ms)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    count, unit = int(timeframe.name[:-1]), timeframe.name[-1]
    match unit:
        case "m":
            return ms(moment.replace(minute=moment.minute // count * count, second=0, microsecond=0))
        case "h":
            return ms(midnight.replace(hour=moment.hour // count * count))
        case "d":
            return ms(midnight)
        case "w":
            return ms(midnight - timedelta(days=moment.weekday()))
        case _:
            return ms(midnight.replace(day=1))


def test_there_are_thirteen_in_ascending_order() -> None:
    assert list(TIMEFRAMES) == [
        "1m",
        "3m",
        "5m",
        "15m",
        "30m",
        "1h",
        "2h",
        "4h",
        "6h",
        "12h",
        "1d",
        "1w",
        "1M",
    ]
    lengths = [timeframe.length_ms for timeframe in TIMEFRAMES.values()]
    assert lengths == sorted(set(lengths))


@given(timeframes, times)
def test_bars_open_where_the_calendar_says(timeframe: Timeframe, time_ms: int) -> None:
    assert timeframe.floor(time_ms) == calendar_floor(timeframe, time_ms)


@given(timeframes, times)
def test_a_time_lies_in_its_bar(timeframe: Timeframe, time_ms: int) -> None:
    opened = timeframe.floor(time_ms)
    assert opened <= time_ms < timeframe.end(opened)
    assert timeframe.end(opened) - opened <= timeframe.length_ms
    assert timeframe.floor(opened) == opened
    assert timeframe.floor(timeframe.end(opened) - 1) == opened
    assert timeframe.ceil(time_ms) == (opened if opened == time_ms else timeframe.end(opened))


@given(timeframes, times, st.integers(-500, 500))
def test_shifting_goes_there_and_back(timeframe: Timeframe, time_ms: int, bars: int) -> None:
    opened = timeframe.floor(time_ms)
    shifted = timeframe.shift(opened, bars)
    assert timeframe.floor(shifted) == shifted
    assert timeframe.shift(shifted, -bars) == opened
    if bars > 0:
        assert timeframe.count(opened, shifted) == bars
        assert timeframe.shift(timeframe.shift(opened, bars - 1), 1) == shifted


@given(timeframes, times, st.integers(-2, 40), st.integers(0, 10**7))
def test_openings_are_those_that_a_walk_meets(
    timeframe: Timeframe, start_ms: int, bars: int, rest_ms: int
) -> None:
    end_ms = start_ms + bars * timeframe.length_ms + rest_ms
    walked = []
    opened = timeframe.ceil(start_ms)
    while opened < end_ms:
        walked.append(opened)
        opened = timeframe.end(opened)
    assert timeframe.opens(start_ms, end_ms).tolist() == walked
    assert timeframe.count(start_ms, end_ms) == len(walked)


@given(timeframes, st.lists(times, max_size=30))
def test_arrays_are_floored_like_single_times(timeframe: Timeframe, many: list[int]) -> None:
    floored = timeframe.floor_array(np.array(many, dtype=np.int64))
    assert timeframe.end_array(floored).tolist() == [timeframe.end(time) for time in floored.tolist()]
    assert floored.dtype == np.int64
    assert floored.tolist() == [timeframe.floor(time_ms) for time_ms in many]


@given(timeframes, timeframes, times)
def test_nesting_is_what_it_says(fine: Timeframe, coarse: Timeframe, time_ms: int) -> None:
    if fine.nests_in(coarse):
        opened = coarse.floor(time_ms)
        assert fine.floor(opened) == opened
        assert fine.floor(coarse.end(opened)) == coarse.end(opened)


def test_what_does_not_nest_has_a_bar_that_shows_it() -> None:
    start_ms = ms(datetime(2024, 1, 1, tzinfo=UTC))
    for fine in TIMEFRAMES.values():
        for coarse in TIMEFRAMES.values():
            opens = coarse.opens(start_ms, start_ms + 60 * coarse.length_ms)
            aligned = bool((fine.floor_array(opens) == opens).all())
            shorter = fine.length_ms <= coarse.length_ms
            assert fine.nests_in(coarse) == (aligned and shorter), f"{fine} in {coarse}"


@pytest.mark.parametrize(
    ("name", "moment", "opened", "ended"),
    [
        ("1w", (2024, 2, 29), (2024, 2, 26), (2024, 3, 4)),
        ("1w", (2023, 1, 1), (2022, 12, 26), (2023, 1, 2)),
        ("1w", (1969, 12, 31), (1969, 12, 29), (1970, 1, 5)),
        ("1M", (2024, 2, 29), (2024, 2, 1), (2024, 3, 1)),
        ("1M", (2023, 12, 31), (2023, 12, 1), (2024, 1, 1)),
        ("1M", (1969, 12, 31), (1969, 12, 1), (1970, 1, 1)),
    ],
)
def test_weeks_and_months(
    name: str, moment: tuple[int, int, int], opened: tuple[int, int, int], ended: tuple[int, int, int]
) -> None:
    timeframe = Timeframe.parse(name)
    opened_ms = ms(datetime(*opened, tzinfo=UTC))
    assert timeframe.floor(ms(datetime(*moment, 23, 59, tzinfo=UTC))) == opened_ms
    assert timeframe.end(opened_ms) == ms(datetime(*ended, tzinfo=UTC))


@pytest.mark.parametrize("name", ["", "1", "m", "1H", "1y", "60m", "1m ", "7m", "../1m"])
def test_other_names_are_unknown(name: str) -> None:
    with pytest.raises(UnknownTimeframe, match="there are 1m, 3m"):
        Timeframe.parse(name)


def test_a_name_finds_its_timeframe() -> None:
    for name, timeframe in TIMEFRAMES.items():
        assert Timeframe.parse(name) is timeframe
        assert str(timeframe) == name
