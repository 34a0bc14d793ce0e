"""A page is the earliest bars of its interval, however the exchange orders, bounds and limits them."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from tests.contract.ccxt_venues.rig import BEGIN_MS, HOLE, NOW_MS, SYMBOL, Rig
from tradewright.domain.bars import BarRow
from tradewright.domain.timeframes import DAY_MS, MINUTE_MS, ONE_DAY, ONE_MINUTE, TIMEFRAMES, Timeframe


async def test_random_pages_equal_the_truth(rig: Rig) -> None:
    chance = random.Random(3)
    for _ in range(120):
        timeframe = chance.choice(rig.plugin.timeframes)
        start = chance.randrange(BEGIN_MS - 5 * DAY_MS, NOW_MS)
        if timeframe.length_ms < 5 * MINUTE_MS and chance.random() < 0.5:
            start = NOW_MS - chance.randrange(720 * timeframe.length_ms)
        end = start + chance.randrange(1, 1_500) * timeframe.length_ms + chance.randrange(3)
        limit = chance.choice((None, None, 1, 2, 100))
        page = await rig.plugin.fetch_ohlcv(SYMBOL, timeframe, start_ms=start, end_ms=end, limit=limit)
        assert_beginning(rig, timeframe, start, end, limit, page.rows())


def assert_beginning(
    rig: Rig, timeframe: Timeframe, start: int, end: int, limit: int | None, rows: Sequence[BarRow]
) -> None:
    """The rows are the earliest of the truth; the forming bar may follow as the last one."""
    now_open = timeframe.floor(rig.venue.now_ms())
    closed = [row for row in rows if row[0] < now_open]
    truth = rig.truth(timeframe, start, end).rows()
    assert closed == truth[: len(closed)]
    assert len(rows) - len(closed) in (0, 1)
    most = min(limit or rig.plugin.ohlcv_page_limit, rig.plugin.ohlcv_page_limit)
    assert len(rows) <= most
    if len(rows) < most and end <= now_open:
        assert len(closed) == len(truth), f"{timeframe} from {start} to {end}: a page that is short"
    if truth:
        assert rows, f"{timeframe} from {start} to {end} gave nothing of {len(truth)} bars"
    if len(rows) > len(closed):
        assert closed == truth
        assert rows[-1][0] == now_open < end


@pytest.mark.parametrize("name", ["1m", "1h", "1d", "1M"])
async def test_pages_one_after_the_other_give_everything(rig: Rig, name: str) -> None:
    timeframe = TIMEFRAMES[name]
    if timeframe not in rig.plugin.timeframes:
        return
    start, end = NOW_MS - 3_000 * MINUTE_MS if name == "1m" else BEGIN_MS - DAY_MS, NOW_MS
    rows: list[BarRow] = []
    cursor = start
    for _ in range(40):
        page = (await rig.plugin.fetch_ohlcv(SYMBOL, timeframe, start_ms=cursor, end_ms=end)).rows()
        if not page:
            break
        rows += page
        cursor = timeframe.end(page[-1][0])
    closed = [row for row in rows if row[0] < timeframe.floor(NOW_MS)]
    assert closed == rig.truth(timeframe, start, end).rows()
    assert len(rows) == len(closed) + 1


async def test_the_first_bar_of_all_is_found_from_the_beginning_of_time(rig: Rig) -> None:
    for timeframe in rig.plugin.timeframes:
        page = await rig.plugin.fetch_ohlcv(SYMBOL, timeframe, start_ms=0, end_ms=NOW_MS, limit=1)
        served = rig.truth(timeframe, 0, NOW_MS)
        expected = served.rows()[:1] or [page.rows()[0]]
        assert page.rows() == expected
    assert rig.candle_requests() <= 12 * len(rig.plugin.timeframes)


async def test_a_page_goes_on_behind_a_long_hole(rig: Rig) -> None:
    page = await rig.plugin.fetch_ohlcv(SYMBOL, ONE_MINUTE, start_ms=HOLE[0], end_ms=NOW_MS, limit=5)
    assert page.rows() == rig.truth(ONE_MINUTE, HOLE[0], NOW_MS).rows()[:5]


async def test_what_is_out_of_reach_is_not_asked_for(rig: Rig) -> None:
    reach = rig.plugin.ohlcv_reach_bars
    if reach is None:
        return
    await rig.plugin.fetch_instruments()
    for timeframe in (ONE_MINUTE, TIMEFRAMES["1h"]):
        border = rig.served_from(timeframe)
        page = await rig.plugin.fetch_ohlcv(SYMBOL, timeframe, start_ms=border - 3 * DAY_MS, end_ms=border)
        assert not len(page)
        assert rig.candle_requests() == 0
    page = await rig.plugin.fetch_ohlcv(SYMBOL, ONE_MINUTE, start_ms=BEGIN_MS, end_ms=NOW_MS, limit=3)
    assert page.rows() == rig.truth(ONE_MINUTE, 0, NOW_MS).rows()[:3]
    assert rig.candle_requests() == 1


async def test_timeframes_whose_bars_open_at_other_times_are_not_offered(rig: Rig) -> None:
    weeks = [timeframe for timeframe in rig.plugin.timeframes if timeframe.name == "1w"]
    for week in weeks:
        page = await rig.plugin.fetch_ohlcv(SYMBOL, week, start_ms=BEGIN_MS, end_ms=NOW_MS)
        assert page.rows()[:-1] == rig.truth(week, BEGIN_MS, NOW_MS).rows()
    assert weeks or rig.venue.provider == "kraken"
    assert ONE_DAY in rig.plugin.timeframes


async def test_the_first_time_of_a_page_is_said_exactly(rig: Rig) -> None:
    if rig.venue.provider != "bybit":
        return
    for name in ("1m", "1w", "1M"):
        timeframe = TIMEFRAMES[name]
        first = timeframe.ceil(BEGIN_MS)
        await rig.plugin.fetch_ohlcv(SYMBOL, timeframe, start_ms=first, end_ms=NOW_MS, limit=1)
        asked = rig.venue.requests("kline")[-1].arguments
        assert int(asked["start"]) == first
        assert timeframe.count(first, int(asked["end"]) + 1) <= int(asked["limit"])
