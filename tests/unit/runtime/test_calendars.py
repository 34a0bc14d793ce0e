"""Sessions of the New York Stock Exchange: summer, winter, half days, holidays."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from tradewright.domain.instruments import ALWAYS_OPEN
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS
from tradewright.runtime.calendars import Calendars, TradingCalendar, load_session_calendar

NEW_YORK = ZoneInfo("America/New_York")
NOW_MS = 1_718_636_400_000  # 2024-06-17


def utc_ms(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * 1000


def new_york_ms(year: int, month: int, day: int, hour: int, minute: int) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=NEW_YORK).timestamp()) * 1000


@pytest.fixture(scope="module")
def nyse() -> TradingCalendar:
    return load_session_calendar("XNYS", NOW_MS)


def sessions_of_day(calendar: TradingCalendar, year: int, month: int, day: int) -> list[tuple[int, int]]:
    start_ms = utc_ms(year, month, day)
    return [(session.start, session.end) for session in calendar.open_intervals(start_ms, start_ms + DAY_MS)]


@pytest.mark.parametrize(
    ("day", "utc_hour_of_opening"),
    [
        ((2024, 3, 8), 14),  # the Friday before summer time
        ((2024, 3, 11), 13),  # the Monday after
        ((2024, 11, 1), 13),
        ((2024, 11, 4), 14),
        ((2007, 3, 12), 13),  # the first year of the longer summer time
        ((2006, 3, 13), 14),
    ],
)
def test_sessions_keep_new_york_s_time(
    nyse: TradingCalendar, day: tuple[int, int, int], utc_hour_of_opening: int
) -> None:
    expected = (new_york_ms(*day, 9, 30), new_york_ms(*day, 16, 0))
    assert sessions_of_day(nyse, *day) == [expected]
    assert expected[0] == utc_ms(*day, utc_hour_of_opening, 30)


@pytest.mark.parametrize("day", [(2023, 7, 3), (2023, 11, 24), (2024, 7, 3), (2024, 12, 24)])
def test_half_days_end_at_one(nyse: TradingCalendar, day: tuple[int, int, int]) -> None:
    assert sessions_of_day(nyse, *day) == [(new_york_ms(*day, 9, 30), new_york_ms(*day, 13, 0))]


@pytest.mark.parametrize(
    "day",
    [
        (2024, 6, 15),  # a Saturday
        (2024, 6, 19),  # Juneteenth
        (2024, 3, 29),  # Good Friday
        (2024, 12, 25),
        (2012, 10, 29),  # hurricane Sandy
        (2001, 9, 12),
    ],
)
def test_closed_days(nyse: TradingCalendar, day: tuple[int, int, int]) -> None:
    assert sessions_of_day(nyse, *day) == []


def test_intervals_are_cut_to_what_is_asked(nyse: TradingCalendar) -> None:
    opens_ms, closes_ms = new_york_ms(2024, 6, 17, 9, 30), new_york_ms(2024, 6, 17, 16, 0)
    cut = nyse.open_intervals(opens_ms + MINUTE_MS, closes_ms - MINUTE_MS)
    assert [tuple(part) for part in cut] == [(opens_ms + MINUTE_MS, closes_ms - MINUTE_MS)]
    assert not nyse.open_intervals(closes_ms, closes_ms + HOUR_MS)
    assert not nyse.open_intervals(opens_ms - HOUR_MS, opens_ms)
    assert not nyse.open_intervals(opens_ms, opens_ms)
    week = nyse.open_intervals(utc_ms(2024, 6, 17), utc_ms(2024, 6, 24))
    assert len(week) == 4  # Juneteenth is closed
    assert week.length_ms == 4 * (6 * HOUR_MS + HOUR_MS // 2)


def test_when_it_opens_next(nyse: TradingCalendar) -> None:
    friday_close_ms = new_york_ms(2024, 6, 14, 16, 0)
    monday_open_ms = new_york_ms(2024, 6, 17, 9, 30)
    assert nyse.next_open_ms(friday_close_ms) == monday_open_ms
    assert nyse.next_open_ms(friday_close_ms - 1) is None
    assert nyse.next_open_ms(monday_open_ms - 1) == monday_open_ms
    assert nyse.next_open_ms(monday_open_ms) is None
    assert nyse.next_open_ms(NOW_MS + 3_000 * DAY_MS) is None


def test_it_reaches_a_year_ahead(nyse: TradingCalendar) -> None:
    assert nyse.open_intervals(NOW_MS + 350 * DAY_MS, NOW_MS + 365 * DAY_MS)
    assert nyse.open_intervals(utc_ms(1990, 1, 2), utc_ms(1990, 1, 5))


async def test_always_open() -> None:
    always = await Calendars().get(ALWAYS_OPEN, NOW_MS)
    assert [tuple(part) for part in always.open_intervals(5, 900)] == [(5, 900)]
    assert not always.open_intervals(5, 5)
    assert always.next_open_ms(NOW_MS) is None


async def test_a_calendar_is_loaded_anew_before_its_sessions_run_out() -> None:
    calendars = Calendars()
    first = await calendars.get("XNYS", NOW_MS)
    assert await calendars.get("XNYS", NOW_MS + 89 * DAY_MS) is first
    later = await calendars.get("XNYS", NOW_MS + 91 * DAY_MS)
    assert later is not first
    ahead = NOW_MS + 91 * DAY_MS + 300 * DAY_MS
    assert later.open_intervals(ahead, ahead + 7 * DAY_MS)


async def test_calendars_are_loaded_once_and_unknown_ones_refused() -> None:
    calendars = Calendars()
    with pytest.raises(KeyError):
        await calendars.get("NOPE", NOW_MS)
    first = await calendars.get("XLON", NOW_MS)
    assert await calendars.get("XLON", NOW_MS) is first


@pytest.mark.parametrize(("name", "since"), [("XTKS", 1998), ("XSAU", 2022)])
def test_an_exchange_of_which_less_is_known_has_a_calendar(name: str, since: int) -> None:
    calendar = load_session_calendar(name, NOW_MS)
    assert calendar.open_intervals(utc_ms(since, 3, 1), utc_ms(since, 3, 8))
    assert not calendar.open_intervals(utc_ms(1991, 3, 1), utc_ms(1991, 3, 8))
