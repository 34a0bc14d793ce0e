"""Whatever an exchange puts into its pages, no bar is wrong, twice or invented."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import get_args

import pytest

from tests.contract.ccxt_venues.reader import Reader, open_reader
from tests.contract.ccxt_venues.rig import BEGIN_MS, NOW_MS, SYMBOL, Rig, make_rig
from tests.contract.ccxt_venues.test_pages import assert_beginning
from tests.venues.candle_faults import HARMLESS, LOSSY, Kind
from tests.venues.clock import HastyClock
from tests.venues.faults import QUICK_FAULTS, RequestFault
from tests.venues.okx import OkxVenue
from tradewright.domain.bars import impossible_rows
from tradewright.domain.errors import (
    MalformedAnswerPluginError,
    NetworkPluginError,
    PluginError,
    TradewrightError,
    UnknownProvider,
    UnknownSymbol,
    UnknownTimeframe,
)
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, ONE_MINUTE, TIMEFRAMES, Timeframe
from tradewright.plugins.base import PluginSetup
from tradewright.plugins.ccxt import CCXTPlugin

NAMES = ("1m", "5m", "1h", "1d")


@pytest.mark.parametrize("kind", HARMLESS)
async def test_a_page_in_disorder_is_still_the_truth(rig: Rig, kind: Kind) -> None:
    chance = random.Random(kind)
    rig.venue.candle_faults.do(kind)
    for _ in range(12):
        timeframe = TIMEFRAMES[chance.choice(NAMES)]
        start = NOW_MS - chance.randrange(700 * timeframe.length_ms)
        end = start + chance.randrange(1, 400) * timeframe.length_ms
        page = await rig.plugin.fetch_ohlcv(SYMBOL, timeframe, start_ms=start, end_ms=end)
        assert_beginning(rig, timeframe, start, end, None, page.rows())
    assert rig.venue.candle_faults.broken >= 12


async def test_rows_that_are_left_out_are_never_made_up(rig: Rig) -> None:
    rig.venue.candle_faults.do("missing")
    start, end = NOW_MS - 11 * HOUR_MS, NOW_MS - HOUR_MS
    page = await rig.plugin.fetch_ohlcv(SYMBOL, ONE_MINUTE, start_ms=start, end_ms=end)
    truth = rig.truth(ONE_MINUTE, start, end).rows()
    assert set(page.rows()) < set(truth)


async def test_a_bar_that_was_corrected_is_the_corrected_one(rig: Rig) -> None:
    at = ONE_MINUTE.floor(NOW_MS - HOUR_MS)
    rig.market.revise((at, 20.0, 30.0, 10.0, 25.0, 7.5))
    page = await rig.plugin.fetch_ohlcv(SYMBOL, ONE_MINUTE, start_ms=at, end_ms=at + MINUTE_MS)
    assert page.rows() == [(at, 20.0, 30.0, 10.0, 25.0, 7.5)]
    start, end = at - HOUR_MS, ONE_MINUTE.floor(NOW_MS)
    rig.venue.candle_faults.do("revised", times=1)
    once = await rig.plugin.fetch_ohlcv(SYMBOL, ONE_MINUTE, start_ms=start, end_ms=end)
    truth = rig.truth(ONE_MINUTE, start, end)
    assert once.time.tolist() == truth.time.tolist()
    assert (once.volume != truth.volume).sum() == 1


async def test_a_venue_that_gives_fewer_rows_than_it_should_is_asked_on(clock: HastyClock) -> None:
    async with make_rig("okx", clock) as rig:
        assert isinstance(rig.venue, OkxVenue)
        rig.venue.history_page = 100
        start = BEGIN_MS + 3 * DAY_MS
        page = await rig.plugin.fetch_ohlcv(SYMBOL, ONE_MINUTE, start_ms=start, end_ms=start + DAY_MS)
        assert page.rows() == rig.truth(ONE_MINUTE, start, start + DAY_MS).rows()[:300]


@pytest.mark.parametrize("body", ["malformed", "html", "deep", "huge", "cut_body", "reset", "hang"])
async def test_a_body_that_is_none_is_an_error_and_no_empty_page(rig: Rig, body: str) -> None:
    await rig.plugin.fetch_instruments()
    await rig.plugin.venue_time_ms()
    getattr(rig.venue.faults, body)(times=2)  # aiohttp asks again on a kept connection that was reset
    start = NOW_MS - HOUR_MS
    with pytest.raises((MalformedAnswerPluginError, NetworkPluginError)):
        await rig.plugin.fetch_ohlcv(SYMBOL, ONE_MINUTE, start_ms=start, end_ms=NOW_MS)
    await rig.venue.heal()
    page = await rig.plugin.fetch_ohlcv(SYMBOL, ONE_MINUTE, start_ms=start, end_ms=NOW_MS)
    assert len(page) > 50


@pytest.mark.parametrize("body", ['{"msg":"We are back soon."}', '["soon"]', '[["x","y"]]', "[null]"])
async def test_json_that_is_no_page_is_an_error(clock: HastyClock, body: str) -> None:
    async with make_rig("binance", clock) as rig:
        await rig.plugin.fetch_instruments()
        rig.venue.faults.answer("/api/v3/klines", body=body)
        with pytest.raises(MalformedAnswerPluginError):
            await rig.plugin.fetch_ohlcv(SYMBOL, ONE_MINUTE, start_ms=BEGIN_MS, end_ms=NOW_MS)


async def test_no_json_at_all_breaks_the_plugin(rig: Rig) -> None:
    """Bodies of any form: sound bars or one of our errors, and the next call is as if nothing had been."""
    chance = random.Random(12)
    await rig.plugin.fetch_instruments()
    outcomes = Counter[str]()
    start, end = NOW_MS - HOUR_MS, ONE_MINUTE.floor(NOW_MS)
    for _ in range(250):
        rig.venue.faults.answer(body=json.dumps(anything(chance, NOW_MS)), times=1)
        try:
            page = await rig.plugin.fetch_ohlcv(SYMBOL, ONE_MINUTE, start_ms=start, end_ms=end)
        except TradewrightError as error:
            outcomes[type(error).__name__] += 1
        else:
            assert not impossible_rows(page).any()
            assert (ONE_MINUTE.floor_array(page.time) == page.time).all()
            outcomes["a page"] += 1
        await rig.venue.heal()
    page = await rig.plugin.fetch_ohlcv(SYMBOL, ONE_MINUTE, start_ms=start, end_ms=end)
    assert page.equals(rig.truth(ONE_MINUTE, start, end))
    assert outcomes["MalformedAnswerPluginError"]


def anything(chance: random.Random, now_ms: int, depth: int = 0) -> object:
    """Some JSON, with the words of these venues in it and numbers of all kinds."""
    scalars: tuple[object, ...] = (
        *(None, True, "", "x", "NaN", "-1", "1e400", "0", 0, -1, 1e308, 10**400, 1.5),
        *(now_ms - chance.randrange(HOUR_MS), str(now_ms), now_ms // 60_000 * 60_000, now_ms // 60_000 * 60),
    )
    if depth > 3 or chance.random() < 0.35:
        return chance.choice(scalars)
    items = [anything(chance, now_ms, depth + 1) for _ in range(chance.randrange(8))]
    if chance.random() < 0.5:
        return items
    names = (
        "error",
        "result",
        "XBTUSDT",
        "last",
        "code",
        "msg",
        "data",
        "retCode",
        "retMsg",
        "list",
        "symbol",
    )
    return {chance.choice(names): item for item in items} | chance.choice(
        ({}, {"code": "0"}, {"retCode": 0}, {"error": []})
    )


@pytest.mark.parametrize(
    "text",
    ["'; drop table bars; --", "../../etc/passwd", "*", "BTC/USDT\r\nX: y", "__class__", "Exchange", ""],
)
async def test_names_that_are_none_reach_no_venue(rig: Rig, text: str) -> None:
    await rig.plugin.fetch_instruments()
    asked = rig.venue.counts.total()
    with pytest.raises(UnknownSymbol):
        await rig.plugin.fetch_ohlcv(text, ONE_MINUTE, start_ms=BEGIN_MS, end_ms=NOW_MS)
    with pytest.raises(UnknownTimeframe):
        Timeframe.parse(text)
    with pytest.raises(UnknownTimeframe):
        await rig.plugin.fetch_ohlcv(SYMBOL, Timeframe(text, 7), start_ms=BEGIN_MS, end_ms=NOW_MS)
    with pytest.raises(UnknownProvider):
        CCXTPlugin(PluginSetup(text))
    assert rig.venue.counts.total() == asked


async def test_the_same_seed_breaks_the_same_requests(rig: Rig) -> None:
    async def outcomes() -> list[bool]:
        rig.venue.faults.random(4, 0.5, kinds=("server_error", "malformed", "empty_body", "html"))
        found = []
        for _ in range(20):
            try:
                await rig.plugin.fetch_ticker(SYMBOL)
            except PluginError:
                found.append(False)
            else:
                found.append(True)
        return found

    await rig.plugin.fetch_instruments()
    first = await outcomes()
    assert first == await outcomes()
    assert 0 < sum(first) < 20


async def test_readers_get_the_truth_of_a_venue_that_does_everything_wrong(rig: Rig) -> None:
    chance = random.Random(21)
    async with open_reader(rig) as reader:
        for _ in range(25):
            rig.venue.faults.random(chance.randrange(10**6), 0.15)
            rig.venue.candle_faults.random(chance.randrange(10**6), 0.7)
            timeframe = TIMEFRAMES[chance.choice(NAMES)]
            now_ms = rig.venue.now_ms()
            end = max(BEGIN_MS + DAY_MS, timeframe.shift(timeframe.floor(now_ms), -chance.randrange(600)))
            start = max(BEGIN_MS, end - chance.randrange(1, 300) * timeframe.length_ms)
            await reader.ask(timeframe, start, end + timeframe.length_ms, whole=False)
            await rig.clock.advance(chance.randrange(90))
        await rig.venue.heal()
        await rig.clock.advance(60)
        now_ms = rig.venue.now_ms()
        for name in NAMES:
            timeframe = TIMEFRAMES[name]
            end = timeframe.end(timeframe.floor(now_ms))
            await reader.ask(timeframe, max(BEGIN_MS, timeframe.shift(end, -500)), end)


async def test_a_forming_candle_that_is_called_closed_is_not_kept_as_one(reader: Reader) -> None:
    rig = reader.rig
    rig.venue.candle_faults.do("unclosed_as_closed")
    for _ in range(6):
        now_ms = rig.venue.now_ms()
        answer = await reader.ask(ONE_MINUTE, now_ms - HOUR_MS, now_ms + MINUTE_MS)
        assert answer.forming == (int(answer.bars.time[-1]) == ONE_MINUTE.floor(now_ms))
        await rig.clock.advance(25)


def test_every_kind_is_one_or_the_other() -> None:
    assert set(HARMLESS) | set(LOSSY) == set(get_args(Kind))
    assert set(QUICK_FAULTS) < set(get_args(RequestFault))
