"""Alpaca's time stamps, its rate limit, and what its errors give away."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tradewright.domain.errors import (
    AuthenticationPluginError,
    MalformedAnswerPluginError,
    NetworkPluginError,
    PluginError,
    RateLimitPluginError,
)
from tradewright.domain.timeframes import DAY_MS, TIMEFRAMES
from tradewright.plugins import PluginLoader
from tradewright.plugins import _alpaca_times as times
from tradewright.plugins._alpaca_errors import refusal, stream_error
from tradewright.plugins._alpaca_pace import PER_MINUTE, Pace
from tradewright.plugins.alpaca import AlpacaPlugin
from tradewright.testing import DrivenClock

NEW_YORK: Final = ZoneInfo("America/New_York")


def ms(text: str) -> int:
    found = times.time_ms(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2021-02-22T15:51:44Z", 1_614_009_104_000),
        ("2021-02-22T15:51:44.208Z", 1_614_009_104_208),
        ("2021-02-22T15:51:44.208999999Z", 1_614_009_104_208),
        ("2021-02-22T10:51:44.2-05:00", 1_614_009_104_200),
        ("2021-02-22T15:51:44", None),
        ("2021-02-22", None),
        ("yesterday", None),
        ("9" * 50, None),
        (1_614_009_104, None),
        (None, None),
    ],
)
def test_times_are_read_to_the_millisecond(text: object, at: int | None) -> None:
    assert times.time_ms(text) == at


def test_a_time_is_written_as_it_is_read() -> None:
    assert times.rfc3339(1_614_009_104_208) == "2021-02-22T15:51:44.208Z"
    assert ms(times.rfc3339(0)) == 0
    assert times.date_text(1_614_009_104_208) == "2021-02-22"
    assert times.date_ms("2021-02-22") == ms("2021-02-22T00:00:00Z")
    assert times.date_ms("2021-2-22") is None


@pytest.mark.parametrize("name", ["1d", "1w", "1M"])
def test_days_of_stocks_go_there_and_back_over_thirty_years_of_clock_changes(name: str) -> None:
    timeframe = TIMEFRAMES[name]
    for opened in timeframe.opens(ms("1998-01-01T00:00:00Z"), ms("2028-01-01T00:00:00Z")).tolist():
        theirs = times.their_opening(opened, timeframe, stock=True)
        local = datetime.fromtimestamp(theirs / 1000, NEW_YORK)
        assert (local.hour, local.minute) == (0, 0)
        assert times.our_opening(theirs, timeframe, stock=True) == opened
        assert theirs - opened in (4 * 3_600_000, 5 * 3_600_000)


def test_what_is_not_aligned_is_no_bar() -> None:
    day, hour = TIMEFRAMES["1d"], TIMEFRAMES["1h"]
    midnight = ms("2024-01-03T05:00:00Z")
    assert times.our_opening(midnight, day, stock=True) == ms("2024-01-03T00:00:00Z")
    assert times.our_opening(midnight + 1, day, stock=True) is None
    assert times.our_opening(midnight, day, stock=False) is None  # crypto's days are those of UTC
    assert times.our_opening(ms("2024-01-03T00:00:00Z"), day, stock=False) == ms("2024-01-03T00:00:00Z")
    assert times.our_opening(midnight, hour, stock=True) == midnight
    assert times.our_opening(midnight + 60_000, hour, stock=True) is None
    tuesday = ms("2024-01-02T05:00:00Z")
    assert times.our_opening(tuesday, TIMEFRAMES["1w"], stock=True) is None


def test_every_offered_timeframe_below_a_day_is_aligned_in_new_york_as_in_utc() -> None:
    offsets = np.array([4, 5]) * 3_600_000
    for timeframe in times.OFFERED:
        if timeframe.length_ms < DAY_MS:
            assert not (offsets % timeframe.length_ms).any()


async def test_calls_are_spaced_by_the_quota_on_monotonic_time() -> None:
    clock = DrivenClock()
    pace = Pace(clock)
    pace.heed(200, {"X-RateLimit-Limit": str(PER_MINUTE)})
    waited_s = []
    for _ in range(PER_MINUTE):
        before = clock.monotonic()
        call = asyncio.create_task(pace.acquire(), name="test/acquire")
        await clock.settle()
        while not call.done():
            await clock.advance(0.05)
        waited_s.append(clock.monotonic() - before)
    assert waited_s[:5] == [0] * 5
    assert 50 <= sum(waited_s) <= 70


async def test_the_headers_say_when_to_come_back() -> None:
    clock = DrivenClock(1_700_000_000_000)
    for headers, left_s in (
        ({"Retry-After": "7"}, 7.0),
        ({"X-RateLimit-Reset": "1700000012", "Date": "Tue, 14 Nov 2023 22:13:20 GMT"}, 12.0),
        ({"X-RateLimit-Reset": "1700000012"}, 12.0),
        ({"Retry-After": "soon", "X-RateLimit-Reset": "later"}, 10.0),
        ({"Retry-After": "99999999"}, 3_600.0),
        ({}, 10.0),
    ):
        pace = Pace(clock)
        pace.heed(429, headers)
        assert pace.retry_after_s == pytest.approx(left_s)
        with pytest.raises(RateLimitPluginError) as raised:
            await pace.acquire()
        assert raised.value.retry_after_s == pytest.approx(left_s)


async def test_a_spent_quota_closes_the_host_until_its_reset() -> None:
    clock = DrivenClock(1_700_000_000_000)
    pace = Pace(clock)
    pace.heed(200, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1700000030"})
    assert pace.retry_after_s == pytest.approx(30)
    await clock.advance(30)
    await pace.acquire()


def test_no_words_of_the_venue_give_a_key_or_an_address_away() -> None:
    keys = "PKABCDEF0123456789XY a/Secret+with0123456789abcdef"
    said = f"bad https://user:pw@host/path?key=1 {keys} client_order_id"
    error = refusal(422, {"code": 1, "message": said}, writing=False)
    for hidden in ("host", "pw", "PKABCDEF", "Secret"):
        assert hidden not in error.message
    assert "client_order_id" in error.message
    assert len(refusal(422, {"message": "x " * 5_000}, writing=False).message) < 300


@pytest.mark.parametrize(
    ("code", "error"),
    [
        *((code, AuthenticationPluginError) for code in (401, 402, 409)),
        *((code, NetworkPluginError) for code in (404, 407, 500)),
        *((code, PluginError) for code in (400, 405, 410, 499)),
    ],
)
def test_errors_of_a_stream_become_ours(code: int, error: type[PluginError]) -> None:
    made = stream_error(code, "said so")
    assert isinstance(made, error)
    assert not isinstance(made, MalformedAnswerPluginError)


def test_one_plugin_serves_alpaca_in_both_markets() -> None:
    loader = PluginLoader(entry_points=())
    assert not loader.broken
    for market in ("crypto", "stocks"):
        assert loader.plugin_class(market, "alpaca") is AlpacaPlugin
        assert [info.provider for info in loader.providers(market)].count("alpaca") == 1
