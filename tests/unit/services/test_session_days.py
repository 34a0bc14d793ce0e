"""Days of stocks are made of their sessions: recorded minutes give the recorded daily bars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support.houses import House
from tests.support.ledger import ledger_plugin
from tradewright.domain.bars import Bars
from tradewright.domain.instruments import Instrument, InstrumentKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, ONE_DAY, ONE_MINUTE, TIMEFRAMES
from tradewright.runtime.calendars import Calendars
from tradewright.services.data_orchestrator import BarsAnswer
from tradewright.services.data_sources.silence import SECOND_LOOK_MS
from tradewright.services.feeds.derivation import fold
from tradewright.services.feeds.seeding import read_closed_part
from tradewright.testing.clock import DrivenClock

SPY = InstrumentKey("stocks", "ledger", "SPY")
MONDAY = int(np.datetime64("2013-10-07", "ms").astype(np.int64))
OPENS, CLOSES = 13 * HOUR_MS + 30 * MINUTE_MS, 20 * HOUR_MS  # New York has summer time


async def stocks(minutes: Bars) -> House:
    """A house that holds these minutes of SPY, whole, and whose venue has nothing."""
    kind = ledger_plugin(Bars.empty(), native=("1m", "1d"), others={"SPY": Bars.empty()})
    kind.market, kind.calendar = "stocks", "XNYS"
    place = House(kind, DrivenClock(int(minutes.time[-1]) + 30 * DAY_MS))
    covered = IntervalSet.single(ONE_DAY.floor(int(minutes.time[0])), ONE_DAY.ceil(int(minutes.time[-1])))
    spy = Instrument(market="stocks", symbol="SPY", base="SPY", quote="USD", calendar="XNYS")
    await place.bars.import_bars(
        [SeriesBars(SPY.series(ONE_MINUTE), minutes, covered)], replace=False, instruments=[spy]
    )
    return place


def around_the_clock(days: int) -> Bars:
    """A bar each minute, the sessions' at a price of 100 and the others at 50, with a volume of 1."""
    time = MONDAY + np.arange(days * 1_440, dtype=np.int64) * MINUTE_MS
    of_day = time % DAY_MS
    price = np.where((of_day >= OPENS) & (of_day < CLOSES), 100.0, 50.0)
    return Bars(time, price, price, price, price, np.ones(len(time)))


async def test_what_is_traded_before_and_after_the_session_is_in_no_day() -> None:
    place = await stocks(around_the_clock(5))
    answer = await place.orchestrator.get_bars(
        SPY.series(ONE_DAY), start_ms=MONDAY, end_ms=MONDAY + 5 * DAY_MS
    )
    assert answer.bars.rows() == [(MONDAY + n * DAY_MS, 100.0, 100.0, 100.0, 100.0, 390.0) for n in range(5)]
    week = await place.orchestrator.get_bars(SPY.series(TIMEFRAMES["1w"]), start_ms=MONDAY, limit=1)
    assert week.bars.rows() == [(MONDAY, 100.0, 100.0, 100.0, 100.0, 5 * 390.0)]


async def test_hours_hold_everything_that_was_traded() -> None:
    place = await stocks(around_the_clock(5))
    hour = await place.orchestrator.get_bars(
        SPY.series(TIMEFRAMES["1h"]), start_ms=MONDAY + 13 * HOUR_MS, limit=1
    )
    assert hour.bars.rows() == [(MONDAY + 13 * HOUR_MS, 50.0, 100.0, 50.0, 100.0, 60.0)]


@pytest.mark.parametrize(("timeframe", "sessions_before"), [("1d", 0), ("1w", 3)])
async def test_a_bar_that_forms_begins_with_what_its_sessions_had(
    timeframe: str, sessions_before: int
) -> None:
    thursday = MONDAY + 3 * DAY_MS
    now_ms = thursday + 15 * HOUR_MS
    place = await stocks(around_the_clock(4).between(0, now_ms))
    calendar = await Calendars().get("XNYS", now_ms)
    start_ms = thursday if timeframe == "1d" else MONDAY
    part = await read_closed_part(place.orchestrator, SPY, TIMEFRAMES[timeframe], start_ms, now_ms, calendar)
    assert part is not None
    row = fold(start_ms, [*part.coarse, *part.minutes])
    minutes = sessions_before * 390 + 90
    assert row == (start_ms, 100.0, 100.0, 100.0, 100.0, float(minutes))


@pytest.mark.parametrize("early", [True, False])
async def test_an_hour_is_the_same_whatever_was_read_before(early: bool) -> None:
    """Also where nothing was traded before the session, so that its first minutes tell of no earlier one."""
    minutes, day = around_the_clock(3), MONDAY + DAY_MS
    if not early:
        minutes = minutes.take(minutes.open == 100.0)
    kind = ledger_plugin(Bars.empty(), others={"SPY": minutes}, native=("1m", "1d"))
    kind.market, kind.calendar = "stocks", "XNYS"
    opening = (day + 13 * HOUR_MS, day + 14 * HOUR_MS)

    async def ask(place: House, timeframe: str, start: int, end: int) -> BarsAnswer:
        key = SPY.series(TIMEFRAMES[timeframe])
        return await place.orchestrator.get_bars(key, start_ms=start, end_ms=end)

    fresh = House(kind, DrivenClock(MONDAY + 30 * DAY_MS))
    expected = await ask(fresh, "1h", *opening)
    assert expected.bars.equals(resample(minutes.between(*opening), TIMEFRAMES["1h"]))
    seen = House(kind, DrivenClock(MONDAY + 30 * DAY_MS))
    session = minutes.between(day + OPENS, day + CLOSES)
    covered = IntervalSet.single(day + OPENS, day + CLOSES)
    await seen.bars.write(SeriesBars(SPY.series(ONE_MINUTE), session, covered))
    if not early:  # one empty answer proves nothing
        assert [gap.reason for gap in (await ask(seen, "1h", *opening)).gaps] == ["not_fetched"]
        await seen.clock.advance(SECOND_LOOK_MS / 1000)
    for _ in range(2):
        assert (await ask(seen, "1h", *opening)).bars.equals(expected.bars)
        await ask(seen, "1m", day + 12 * HOUR_MS, day + 14 * HOUR_MS)


@pytest.mark.golden
async def test_days_made_of_recorded_minutes_are_the_recorded_days(recorded_data: Path) -> None:
    table = pq.read_table(recorded_data / "us_equities_1m_SPY_IBM.parquet").to_pylist()
    names = ("time_ms", "open", "high", "low", "close", "volume")
    rows = [tuple(row[name] for name in names) for row in table if row["symbol"] == "SPY"]
    minutes = Bars.from_rows([row for row in rows if row[0] < MONDAY + 7 * DAY_MS])
    place = await stocks(minutes)
    made = (await place.orchestrator.get_bars(SPY.series(ONE_DAY), start_ms=MONDAY - 3 * DAY_MS)).bars
    days = pq.read_table(recorded_data / "us_equities_1d_1998_2021.parquet").to_pylist()
    recorded = {row["date"]: row for row in days if row["symbol"] == "SPY"}
    assert len(made) == 6
    for time, opened, high, low, close, volume in made.rows():
        day = recorded[str(np.datetime64(time, "ms").astype("datetime64[D]"))]
        assert (round(opened, 2), round(high, 2), round(close, 2), volume) == (
            day["open"],
            day["high"],
            day["close"],
            day["volume"],
        )
        assert abs(low - day["low"]) < 0.011  # on one day the record's minutes go a cent lower
