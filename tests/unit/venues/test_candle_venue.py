"""The venue of arbitrary candles, through real CCXT code."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from tests.venues.candle_venue import CandleVenue
from tests.venues.clock import HastyClock
from tests.venues.generated import generate_minutes
from tests.venues.impatient import ImpatientPlugin
from tests.venues.truth import Market
from tradewright.domain.bars import Bars
from tradewright.domain.errors import PluginError
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import ONE_MINUTE, TIMEFRAMES, Timeframe
from tradewright.plugins.base import PluginSetup
from tradewright.plugins.ccxt import CCXTPlugin

SYMBOL = "BTC/USDT"
BEGIN_MS = 1_699_920_000_000
NOW_MS = BEGIN_MS + 3 * 86_400_000 + 37_000
HOLE = (BEGIN_MS + 86_400_000, BEGIN_MS + 86_400_000 + 90 * 60_000)
TRUTH = generate_minutes(5, BEGIN_MS, 4 * 1_440, quiet=0.05, holes=[HOLE])


@pytest.fixture
def clock() -> HastyClock:
    return HastyClock(NOW_MS)


@pytest.fixture
async def venue(clock: HastyClock) -> AsyncIterator[CandleVenue]:
    async with CandleVenue([Market("BTC", "USDT", TRUTH)], clock=clock) as opened:
        yield opened


@pytest.fixture
async def plugin(venue: CandleVenue, clock: HastyClock) -> AsyncIterator[CCXTPlugin]:
    setup = PluginSetup("binance", options=venue.provider_options(), clock=clock)
    made = ImpatientPlugin(setup)
    yield made
    await made.close()


def closed_truth(timeframe: Timeframe, start_ms: int, end_ms: int, now_ms: int) -> Bars:
    return resample(TRUTH, timeframe).between(start_ms, min(end_ms, timeframe.floor(now_ms)))


async def test_random_pages_are_the_truth_whatever_is_broken(venue: CandleVenue, plugin: CCXTPlugin) -> None:
    chance = random.Random(11)
    await plugin.fetch_instruments()
    venue.faults.random(1, 0.2, path="/api/v3/klines")
    venue.candle_faults.random(2, 0.4)
    failures = 0
    for _ in range(400):
        timeframe = chance.choice([TIMEFRAMES[name] for name in ("1m", "5m", "1h", "1d")])
        start = chance.randrange(BEGIN_MS - 3_600_000, NOW_MS)
        end = start + chance.randrange(1, 300) * timeframe.length_ms
        try:
            page = await plugin.fetch_ohlcv(SYMBOL, timeframe, start_ms=start, end_ms=end)
        except PluginError:
            failures += 1
            continue
        closed = page.between(0, timeframe.floor(venue.now_ms()))
        expected = closed_truth(timeframe, start, end, venue.now_ms())
        assert closed.equals(expected[: len(closed)])
    assert failures
    assert venue.faults.injected >= failures
    assert venue.candle_faults.broken


async def test_the_forming_candle_consists_of_what_has_happened(
    venue: CandleVenue, plugin: CCXTPlugin, clock: HastyClock
) -> None:
    opened = ONE_MINUTE.floor(venue.now_ms())
    (row,) = TRUTH.between(opened, opened + 1).rows()
    (now,) = (await plugin.fetch_ohlcv(SYMBOL, ONE_MINUTE, start_ms=opened, end_ms=opened + 60_000)).rows()
    assert now[1] == row[1]
    assert now[5] < row[5]
    await clock.advance(60)
    (after,) = (await plugin.fetch_ohlcv(SYMBOL, ONE_MINUTE, start_ms=opened, end_ms=opened + 60_000)).rows()
    assert after == row


async def test_a_correction_is_served_from_then_on(venue: CandleVenue, plugin: CCXTPlugin) -> None:
    at = HOLE[0] + 60_000
    venue.markets[SYMBOL].revise((at, 10.0, 11.0, 9.0, 10.5, 3.0))
    page = await plugin.fetch_ohlcv(SYMBOL, ONE_MINUTE, start_ms=HOLE[0], end_ms=HOLE[1])
    assert page.rows() == [(at, 10.0, 11.0, 9.0, 10.5, 3.0)]
    assert venue.counts["/api/v3/klines"] == len(venue.requests("klines")) == 1
