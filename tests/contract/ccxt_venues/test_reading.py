"""Reading through the data engine at each exchange: the truth, or a gap that says what it is."""

from __future__ import annotations

import random

import pytest

from tests.contract.ccxt_venues.reader import Reader
from tests.contract.ccxt_venues.rig import BEGIN_MS, NOW_MS
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, ONE_MINUTE, TIMEFRAMES


async def test_random_ranges_are_the_truth(reader: Reader) -> None:
    chance = random.Random(8)
    names = ("1m", "5m", "15m", "1h", "4h", "1d", "1w")
    for _ in range(40):
        timeframe = TIMEFRAMES[chance.choice(names)]
        bars = chance.randrange(1, 400)
        end = chance.randrange(BEGIN_MS + 2 * HOUR_MS, NOW_MS + HOUR_MS)
        if chance.random() < 0.4:
            end = NOW_MS + HOUR_MS
        start = timeframe.shift(timeframe.floor(end), -bars)
        await reader.ask(timeframe, max(BEGIN_MS - DAY_MS, start), end)
    asked = reader.rig.candle_requests()
    reader.rig.venue.candle_faults.empty()
    await reader.ask(timeframe, max(BEGIN_MS - DAY_MS, start), end)
    assert reader.rig.candle_requests() - asked <= 3, "what is known was asked for again"


async def test_what_was_missed_while_away_is_never_called_quiet(reader: Reader) -> None:
    """An exchange that forgets: fifteen hours later, three of them are beyond its reach."""
    first = await reader.ask(ONE_MINUTE, NOW_MS - 2 * HOUR_MS, NOW_MS)
    assert len(first.bars)
    await reader.rig.clock.advance(15 * 3_600)
    now_ms = reader.rig.venue.now_ms()
    answer = await reader.ask(ONE_MINUTE, NOW_MS - HOUR_MS, now_ms)
    unknown = [gap for gap in answer.gaps if gap.reason == "not_fetched"]
    if reader.rig.plugin.ohlcv_reach_bars is None:
        assert not unknown
        return
    (gap,) = unknown
    assert abs(gap.start - NOW_MS) <= 2 * MINUTE_MS
    assert abs(gap.end - (now_ms - 12 * HOUR_MS)) <= 3 * MINUTE_MS


async def test_what_is_beyond_reach_costs_no_request_and_is_labelled(reader: Reader) -> None:
    if reader.rig.plugin.ohlcv_reach_bars is None:
        return
    start, end = NOW_MS - 20 * DAY_MS, NOW_MS - 19 * DAY_MS
    hours = await reader.ask(TIMEFRAMES["1h"], start, end)
    assert len(hours.bars)
    answer = await reader.ask(ONE_MINUTE, start, end)
    assert "1" not in [request.arguments["interval"] for request in reader.rig.venue.requests("OHLC")]
    assert not len(answer.bars)
    assert {gap.reason for gap in answer.gaps} == {"not_fetched"}


@pytest.mark.parametrize("offset_ms", [-HOUR_MS, HOUR_MS])
async def test_what_is_final_goes_by_the_venues_clock(reader: Reader, offset_ms: int) -> None:
    rig = reader.rig
    rig.venue.faults.wrong_clock(offset_ms)
    venue_now_ms = rig.venue.now_ms()
    opened = ONE_MINUTE.floor(venue_now_ms)
    answer = await reader.ask(ONE_MINUTE, opened - HOUR_MS, opened + 2 * HOUR_MS)
    assert answer.bars.time[-1] <= opened
    assert answer.forming == (answer.bars.time[-1] == opened)
    await rig.clock.advance(70)
    later = await reader.ask(ONE_MINUTE, opened - HOUR_MS, opened + 2 * HOUR_MS)
    assert len(later.bars) >= len(answer.bars)
