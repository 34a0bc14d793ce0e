"""What is final for a backfill that knocks at a venue, by whatever clock."""

from __future__ import annotations

import pytest

from tests.support.houses import INSTRUMENT, MINUTES, NOW, House, house, series
from tests.support.ledger import as_of
from tradewright.domain.bars import Bars
from tradewright.domain.intervals import Interval
from tradewright.domain.timeframes import HOUR_MS, MINUTE_MS, ONE_MINUTE, Timeframe
from tradewright.plugins.base import MarketPlugin
from tradewright.services.backfill.series import SeriesReader
from tradewright.services.backfill.settings import BackfillSettings
from tradewright.services.backfill.venues import CountedCalls
from tradewright.services.data_sources.plugin import CLOCK_DOUBT_MS


async def open_reader(place: House, plugin: MarketPlugin) -> SeriesReader:
    return await SeriesReader.open(
        plugin,
        INSTRUMENT,
        None,
        markets=place.markets,
        source=place.orchestrator.venue,
        bars=place.bars,
        clock=place.clock,
        settings=BackfillSettings(),
        ask_time=False,
    )


@pytest.mark.parametrize("wrong_by_ms", [-5 * HOUR_MS, 5 * HOUR_MS])
async def test_a_wrong_clock_of_ours_ends_no_bar_where_the_venues_was_measured(wrong_by_ms: int) -> None:
    base = house(MINUTES, NOW)

    class Measured(base.plugin):  # type: ignore[name-defined,misc]
        def measured_time_ms(self) -> int:
            return int(self.clock.now_ms() - wrong_by_ms)

        async def fetch_ohlcv(
            self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
        ) -> Bars:
            return as_of(MINUTES, NOW).between(start_ms, end_ms)[: limit or self.page_limit]

    base.clock.jump_wall(wrong_by_ms)
    place = House(Measured, base.clock)
    await place.markets.listing(INSTRUMENT.market, INSTRUMENT.provider)
    async with place.markets.plugin(INSTRUMENT.market, INSTRUMENT.provider) as plugin:
        reader = await open_reader(place, plugin)
        assert reader.final_ms == ONE_MINUTE.floor(NOW - plugin.settling_ms)
        end = ONE_MINUTE.floor(NOW) + MINUTE_MS
        await reader.read(Interval(end - HOUR_MS, end), CountedCalls(place.clock, lambda _: None))
    known = (await place.bars.coverage(series("1m"), 0, NOW + 24 * HOUR_MS)).known
    assert known.items[-1].end == reader.final_ms


async def test_where_nothing_was_measured_our_clock_is_doubted_as_readers_doubt_it() -> None:
    place = house(MINUTES, NOW)
    await place.markets.listing(INSTRUMENT.market, INSTRUMENT.provider)
    async with place.markets.plugin(INSTRUMENT.market, INSTRUMENT.provider) as plugin:
        reader = await open_reader(place, plugin)
        assert reader.final_ms == ONE_MINUTE.floor(NOW - plugin.settling_ms - CLOCK_DOUBT_MS)
