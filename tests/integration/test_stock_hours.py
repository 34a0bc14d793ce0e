"""What a market that closes means for its bars: the hours around a session, silence over several of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date

from tests.support.engine_walk import StockWorld
from tests.support.loaders import loader_of
from tests.venues.alpaca import AlpacaVenue
from tests.venues.alpaca.scripted import Hours, ScriptedSecurity, new_york
from tests.venues.clock import HastyClock
from tests.venues.generated import generate_minutes
from tests.venues.impatient import ImpatientAlpaca
from tradewright.domain.bars import Bars
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import Coverage, SeriesBars
from tradewright.domain.timeframes import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    ONE_DAY,
    ONE_MINUTE,
    TIMEFRAMES,
    Timeframe,
)
from tradewright.runtime.calendars import load_session_calendar
from tradewright.services.cache_manager import CacheManager
from tradewright.services.data_orchestrator import DataOrchestrator, read_deadline_s
from tradewright.services.data_sources.base import BarRequest, ReadBudget
from tradewright.services.market_service import MarketService
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.storage.memory_cache import MemoryCache

FIRST = date(2023, 11, 13)
FIRST_MS = 1_699_833_600_000
TUESDAY_MS, FRIDAY_MS = FIRST_MS + DAY_MS, FIRST_MS + 4 * DAY_MS
BARS = "GET /v2/stocks/bars"
HOURS = Hours(new_york(FIRST, 12))
STOCK, OTHER = StockWorld.main, StockWorld.second
LOOK_AGAIN_S = 700.0


class OfSmallPages(ImpatientAlpaca):
    """So that a few days of minutes cost more calls than a read of days may make."""

    page_bars = 50


class OfLargePages(ImpatientAlpaca):
    """So that one reaches over some days."""

    page_bars = 10_000


@dataclass
class Scene:
    """One engine before two stocks."""

    clock: HastyClock
    venue: AlpacaVenue
    bars: MemoryBarStore
    engine: DataOrchestrator
    stock: ScriptedSecurity


def minutes(seed: int, *holes: tuple[int, int], extended: bool = True) -> Bars:
    made = generate_minutes(seed, FIRST_MS, 12 * 1_440, price=100.0, holes=holes)
    return made.take(HOURS.extended(made.time) if extended else HOURS.regular(made.time))


@asynccontextmanager
async def scene(
    now_ms: int, stock: Bars, other: Bars, plugin: type[ImpatientAlpaca] = ImpatientAlpaca
) -> AsyncIterator[Scene]:
    clock = HastyClock(now_ms)
    listed = [
        ScriptedSecurity(key.symbol, truth, HOURS, lambda: venue.now_ms())
        for key, truth in ((STOCK, stock), (OTHER, other))
    ]
    venue = AlpacaVenue(listed=listed, clock=clock, live=False)
    bars = MemoryBarStore()
    async with venue:
        markets = MarketService(
            loader_of(plugin),
            MemoryInstrumentStore(bars),
            clock,
            provider_options={"alpaca": venue.provider_options()},
            operator_credentials=StockWorld.credentials,
        )
        engine = DataOrchestrator(markets, bars, clock, CacheManager(MemoryCache(clock), clock))
        try:
            yield Scene(clock, venue, bars, engine, listed[0])
        finally:
            await engine.close()
            await markets.close()


async def test_a_day_is_kept_when_what_is_traded_after_its_session_is_in_it() -> None:
    wednesday = FIRST_MS + 2 * DAY_MS
    async with scene(wednesday + 20 * MINUTE_MS, minutes(1), minutes(2), OfSmallPages) as here:
        key = STOCK.series(ONE_DAY)
        early = await here.engine.get_bars(key, start_ms=0, end_ms=wednesday)
        assert len(early.bars) == 2
        assert not early.final
        assert (await here.bars.coverage(key, 0, wednesday)).known.items[-1].end == wednesday - DAY_MS
        await here.clock.advance(HOUR_MS / 1000)
        late = await here.engine.get_bars(key, start_ms=0, end_ms=wednesday)
        assert late.final
        assert late.bars.volume.tolist() == here.stock.all_bars(ONE_DAY).volume[:2].tolist()


async def test_what_is_unknown_of_the_hours_after_a_session_is_told() -> None:
    closes = FIRST_MS + 21 * HOUR_MS
    silence = closes - 3 * HOUR_MS, closes + 70 * MINUTE_MS
    start, end = closes, FIRST_MS + 2 * DAY_MS
    async with scene(FIRST_MS + 4 * DAY_MS, minutes(1, silence), minutes(2)) as here:
        key = STOCK.series(TIMEFRAMES["1h"])
        answer = await here.engine.get_bars(key, start_ms=start, end_ms=end)
        unknown = [(gap.start, gap.end) for gap in answer.gaps if gap.reason == "not_fetched"]
        assert unknown[0] == (start, start + 2 * HOUR_MS)
        assert not answer.final
        for _ in range(3):
            await here.clock.advance(LOOK_AGAIN_S)
            answer = await here.engine.get_bars(key, start_ms=start, end_ms=end)
        assert not answer.gaps
        assert answer.bars.equals(here.stock.all_bars(TIMEFRAMES["1h"]).between(start, end))


async def test_a_silence_over_sessions_is_told_in_whole_bars() -> None:
    async with scene(FIRST_MS + 7 * DAY_MS, halted(), minutes(2), OfSmallPages) as here:
        key = STOCK.series(ONE_DAY)
        await know_around(here, ONE_DAY)
        for _ in range(2):
            answer = await here.engine.get_bars(key, start_ms=FIRST_MS, end_ms=FRIDAY_MS)
            await here.clock.advance(LOOK_AGAIN_S)
        assert [(gap.start, gap.end, gap.reason) for gap in answer.gaps] == [
            (TUESDAY_MS, FRIDAY_MS, "no_trades")
        ]
        assert await here.bars.coverage(key, 0, FRIDAY_MS) == Coverage(
            IntervalSet.single(FIRST_MS, FRIDAY_MS)
        )


async def test_a_silence_over_sessions_costs_one_question() -> None:
    async with scene(FIRST_MS + 7 * DAY_MS, halted(), minutes(2), OfLargePages) as here:
        key = STOCK.series(ONE_MINUTE)
        await know_around(here, ONE_MINUTE)
        for _ in range(2):
            asked = here.venue.requests[BARS]
            answer = await here.engine.get_bars(key, start_ms=TUESDAY_MS, end_ms=FRIDAY_MS)
            await here.clock.advance(LOOK_AGAIN_S)
        assert {gap.reason for gap in answer.gaps} == {"no_trades"}
        assert here.venue.requests[BARS] == asked + 2  # for it once more, and for the other one


def halted() -> Bars:
    return minutes(1, (TUESDAY_MS, FRIDAY_MS), extended=False)


async def know_around(here: Scene, timeframe: Timeframe) -> None:
    """What is known before and after makes the silence between a page of its own."""
    around = IntervalSet.of(((FIRST_MS, TUESDAY_MS), (FRIDAY_MS, FRIDAY_MS + DAY_MS)))
    known = here.stock.all_bars(timeframe).inside(around)
    await here.bars.write(SeriesBars(STOCK.series(timeframe), known, around))


async def test_a_month_tells_of_no_trade_at_its_beginning() -> None:
    """Before it was listed, in the middle of a month that is stored, a stock was not silent."""
    now_ms, month = FIRST_MS + 4 * DAY_MS, TIMEFRAMES["1M"]
    opened = month.floor(FIRST_MS)
    wanted = IntervalSet.single(opened, FIRST_MS)
    async with scene(now_ms, minutes(1), minutes(2)) as here:
        whole = IntervalSet.single(opened, month.end(opened))
        await here.bars.write(SeriesBars(STOCK.series(month), here.stock.all_bars(month), whole))
        await here.engine.get_bars(STOCK.series(ONE_MINUTE), limit=1)
        for _ in range(2):
            request = BarRequest(
                STOCK,
                load_session_calendar("XNYS", now_ms),
                ONE_MINUTE,
                wanted,
                here.clock.now_ms(),
                final_ms=here.clock.now_ms() - MINUTE_MS,
                budget=ReadBudget(read_deadline_s(), 5),
            )
            await here.engine.venue.fetch(request)
            await here.clock.advance(LOOK_AGAIN_S)
        assert not (await here.bars.coverage(STOCK.series(ONE_MINUTE), opened, FIRST_MS)).outage
