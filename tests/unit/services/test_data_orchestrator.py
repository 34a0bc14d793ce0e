"""Answers to questions for bars, compared with a venue whose every minute is known."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.houses import DAYS, INSTRUMENT, MINUTES, NOW, House, assert_same, house, series
from tests.support.ledger import (
    START_MS,
    SYMBOL,
    LedgerPlugin,
    as_of,
    random_minutes,
    unreachable,
)
from tradewright.domain.bars import Bars
from tradewright.domain.errors import (
    InvalidInput,
    PluginError,
    UnknownSymbol,
    UnknownTimeframe,
)
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import EmptyAnswer, SeriesBars
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, ONE_MINUTE, TIMEFRAMES, Timeframe
from tradewright.services.data_orchestrator import LOOK_BACK_FACTOR, BarsAnswer
from tradewright.storage.memory import MemoryBarStore


async def test_the_newest_bars_end_with_the_forming_one() -> None:
    answer = await house(MINUTES, NOW).ask("1m", limit=300)
    assert_same(answer.bars, as_of(MINUTES, NOW)[-300:])
    assert answer.problems == ()
    assert answer.forming == (int(answer.bars.time[-1]) == ONE_MINUTE.floor(NOW))


@pytest.mark.parametrize("timeframe", list(TIMEFRAMES))
async def test_every_timeframe_is_the_resample_of_the_minutes(timeframe: str) -> None:
    answer = await house(MINUTES, NOW).ask(timeframe, limit=100)
    expected = resample(as_of(MINUTES, NOW), TIMEFRAMES[timeframe])
    assert_same(answer.bars, expected[-min(100, len(expected)) :])
    assert answer.forming


async def test_a_second_answer_needs_no_venue_for_what_is_final() -> None:
    place = house(MINUTES, NOW)
    window = (START_MS + DAY_MS, START_MS + 2 * DAY_MS)
    first = await place.ask("1m", *window, limit=2_000)
    asked = len(place.plugin.requests)
    second = await place.ask("1m", *window, limit=2_000)
    assert len(place.plugin.requests) == asked
    assert second.bars.equals(first.bars)
    assert {part.source for part in first.sources} == {"plugin"}
    assert {part.source for part in second.sources} == {"db"}


async def test_minutes_without_trades_are_labelled_and_nowhere_invented() -> None:
    start, end = START_MS, START_MS + DAY_MS
    answer = await house(MINUTES, NOW).ask("1m", start, end, limit=5_000)
    expected = MINUTES.between(start, end)
    assert_same(answer.bars, expected)
    missing = IntervalSet.single(start, int(expected.time[-1]) + MINUTE_MS).subtract(
        IntervalSet.of((t, t + MINUTE_MS) for t in expected.time.tolist())
    )
    quiet = [(gap.start, gap.end) for gap in answer.gaps if gap.reason == "no_trades"]
    assert quiet == [tuple(interval) for interval in missing]


async def test_the_forming_bar_is_never_stored() -> None:
    place = house(MINUTES, NOW)
    await place.ask("1m", limit=50)
    extent = await place.bars.extent(series("1m"))
    assert extent is not None
    assert extent[1] + MINUTE_MS <= NOW - LedgerPlugin.settling_ms


async def test_a_higher_timeframe_comes_natively_when_minutes_would_be_too_many() -> None:
    place = house(MINUTES, NOW, page_limit=100)
    answer = await place.ask("1h", limit=72)
    assert {timeframe for timeframe, _, _ in place.plugin.requests} == {"1h"}
    assert_same(answer.bars, resample(as_of(MINUTES, NOW), TIMEFRAMES["1h"])[-72:])
    assert await place.bars.extent(series("1h")) is not None
    assert await place.bars.extent(series("1m")) is None


async def test_native_bars_give_way_to_minutes_once_those_are_covered() -> None:
    place = house(MINUTES, NOW, page_limit=100)
    window = (START_MS + DAY_MS, START_MS + 2 * DAY_MS)
    await place.ask("1h", *window)
    whole = IntervalSet.single(*window)
    changed = MINUTES.between(*window)
    doubled = Bars(changed.time, *(column * 2 for column in changed.values()))
    await place.bars.write(SeriesBars(series("1m"), doubled, whole))
    answer = await place.ask("1h", *window)
    assert_same(answer.bars, resample(doubled, TIMEFRAMES["1h"]))
    assert [part.source for part in answer.sources] == ["aggregate"]


async def test_bars_that_ended_just_now_are_made_of_stored_minutes_while_the_venue_is_away() -> None:
    place = house(MINUTES, NOW)
    end = TIMEFRAMES["5m"].floor(NOW)
    before = await place.ask("5m", end - HOUR_MS, end)
    place.plugin.failure = unreachable()
    await place.ask("1m", START_MS, START_MS + HOUR_MS)  # after which the venue is left alone
    after = await place.ask("5m", end - HOUR_MS, end)
    assert after.problems == ()
    assert [gap for gap in after.gaps if gap.reason == "not_fetched"] == []
    assert_same(after.bars, before.bars)


async def test_what_is_known_to_be_quiet_before_the_first_stored_bar_is_answered_without_the_venue() -> None:
    place = house(MINUTES, NOW)
    begins = START_MS + DAY_MS
    bars = MINUTES.between(begins, begins + HOUR_MS)
    quiet = IntervalSet.single(begins - 6 * HOUR_MS, begins + HOUR_MS)
    await place.markets.listing(INSTRUMENT.market, INSTRUMENT.provider)
    await place.bars.write(SeriesBars(series("1m"), bars, quiet))
    place.plugin.failure = unreachable()
    for timeframe in ("1m", "5m"):
        answer = await place.ask(timeframe, begins - 6 * HOUR_MS, begins - HOUR_MS, limit=10)
        assert [gap.reason for gap in answer.gaps] == ["no_trades"], timeframe


class ImportedMeanwhile(MemoryBarStore):
    """A store into which something is imported while a reader is about to ask its venue."""

    meanwhile: SeriesBars | None = None

    async def empty_answers(self, key: SeriesKey, start_ms: int, end_ms: int) -> tuple[EmptyAnswer, ...]:
        if self.meanwhile is not None:
            imported, self.meanwhile = self.meanwhile, None
            await self.write(imported)
        return await super().empty_answers(key, start_ms, end_ms)


async def test_a_page_begins_no_earlier_where_an_import_came_before_it() -> None:
    start, end = START_MS + DAY_MS, START_MS + DAY_MS + 2 * HOUR_MS
    place = house(MINUTES, NOW)
    covered = IntervalSet.single(start - 2 * HOUR_MS, start + HOUR_MS)
    place.bars = ImportedMeanwhile()
    place.bars.meanwhile = SeriesBars(series("1m"), MINUTES.between(*covered.items[0]), covered)
    place.restart()
    answer = await place.ask("1m", start, end)
    assert_same(answer.bars, MINUTES.between(start, end))
    assert min(request[1] for request in place.plugin.requests) >= start


async def test_what_lies_between_two_holes_keeps_its_source() -> None:
    place = house(MINUTES, NOW, page_limit=20)
    await place.ask("1m", START_MS + 10 * HOUR_MS, START_MS + 12 * HOUR_MS)
    answer = await place.ask("1h", START_MS, START_MS + DAY_MS)
    hours = [
        (part.source, *((end - START_MS) // HOUR_MS for end in (part.start, part.end)))
        for part in answer.sources
    ]
    assert hours == [("plugin", 0, 10), ("aggregate", 10, 12), ("plugin", 12, 24)]


async def test_a_bar_with_an_outage_in_it_and_no_trade_is_an_outage_and_not_missing() -> None:
    place = house(MINUTES, NOW, native=("1m",))
    start, middle, end = (START_MS + HOUR_MS + n * 30 * MINUTE_MS for n in range(3))
    quiet = SeriesBars(series("1m"), Bars.empty(), IntervalSet.single(start, middle))
    await place.bars.write(quiet, outage=IntervalSet.single(middle, end))
    answer = await place.ask("1h", start, end)
    assert [(gap.start, gap.end, gap.reason) for gap in answer.gaps] == [(start, end, "outage")]


async def test_the_coarsest_timeframe_that_divides_is_taken_where_the_venue_lacks_the_very_one() -> None:
    place = house(MINUTES, NOW, page_limit=100, native=("1m", "5m", "1h"))
    answer = await place.ask("4h", limit=18)
    assert {timeframe for timeframe, _, _ in place.plugin.requests} == {"1h"}
    assert_same(answer.bars, resample(as_of(MINUTES, NOW), TIMEFRAMES["4h"])[-18:])


@pytest.mark.parametrize("timeframe", ["1m", "5m", "30m", "1h", "4h", "1d", "1w", "1M"])
@pytest.mark.parametrize("age_ms", [20_000, 3 * MINUTE_MS, 25 * MINUTE_MS])
async def test_an_instrument_listed_just_now_has_its_forming_bar(timeframe: str, age_ms: int) -> None:
    listed = START_MS + 7 * HOUR_MS + 23 * MINUTE_MS
    now = listed + age_ms
    minutes = MINUTES.between(listed, listed + DAY_MS)
    assert int(minutes.time[0]) == listed, "the test wants a trade at the listing"
    truth = resample(as_of(minutes, now), TIMEFRAMES[timeframe])
    opening = TIMEFRAMES[timeframe].floor(listed)
    for window in ((None, None), (opening, now + 1), (0, None)):
        answer = await house(minutes, now).ask(timeframe, *window)
        assert_same(answer.bars, truth)


async def test_stored_bars_far_away_are_pointed_at_when_there_are_none_here() -> None:
    place = house(MINUTES, NOW + 400 * DAY_MS)
    await place.ask("1m", START_MS, START_MS + HOUR_MS)
    place.plugin.failure = unreachable()
    answer = await place.ask("1m", limit=10)
    assert len(answer.bars) == 0
    extent = await place.bars.extent(series("1m"))
    assert answer.stored == extent


async def test_long_before_the_listing_nothing_is_searched() -> None:
    place = house(MINUTES, NOW)
    answer = await place.ask("1m", 0, limit=5)
    assert_same(answer.bars, MINUTES[:5])
    assert len(place.plugin.requests) < 10


async def test_the_look_back_is_bounded() -> None:
    quiet = NOW + 30 * DAY_MS
    answer = await house(MINUTES, quiet).ask("1m", limit=5)
    assert len(answer.bars) == 0
    assert answer.gaps[0].start == ONE_MINUTE.floor(quiet) + MINUTE_MS - 5 * LOOK_BACK_FACTOR * MINUTE_MS


async def test_before_the_listing_nothing_is_missing() -> None:
    soon = START_MS + 40 * MINUTE_MS
    answer = await house(MINUTES, soon).ask("1m", limit=300)
    assert_same(answer.bars, as_of(MINUTES, soon))
    assert {gap.reason for gap in answer.gaps} <= {"no_trades"}


async def test_imported_bars_from_before_the_listing_are_found() -> None:
    place = house(MINUTES.between(START_MS + DAY_MS, START_MS + 9 * DAY_MS), START_MS + DAY_MS + HOUR_MS)
    older = MINUTES.between(START_MS, START_MS + HOUR_MS)
    await place.bars.write(SeriesBars(series("1m"), older, IntervalSet.single(START_MS, START_MS + HOUR_MS)))
    answer = await place.ask("1m", limit=300)
    assert int(answer.bars.time[0]) == int(older.time[0])


async def test_the_bar_of_the_listing_is_made_anew_once_older_minutes_are_imported() -> None:
    listed = START_MS + DAY_MS + 7 * HOUR_MS
    place = house(MINUTES.between(listed, START_MS + 9 * DAY_MS), NOW, page_limit=5_000)
    day = (START_MS + DAY_MS, START_MS + 2 * DAY_MS)
    for _ in range(2):
        alone = await place.ask("1d", *day)
        assert_same(alone.bars, resample(MINUTES.between(listed, day[1]), TIMEFRAMES["1d"]))
    older = IntervalSet.single(START_MS, ONE_MINUTE.floor(int(MINUTES.between(listed, day[1]).time[0])))
    await place.bars.write(SeriesBars(series("1m"), MINUTES.between(*older.items[0]), older))
    assert_same((await place.ask("1d", *day)).bars, resample(MINUTES.between(*day), TIMEFRAMES["1d"]))


@pytest.mark.parametrize("timeframe", ["1m", "5m", "1h", "4h", "1d", "1w"])
async def test_the_first_bar_is_the_same_however_it_is_asked_for(timeframe: str) -> None:
    listed = START_MS + 7 * HOUR_MS + 23 * MINUTE_MS
    minutes = MINUTES.between(listed, START_MS + DAYS * DAY_MS)
    truth = resample(as_of(minutes, NOW), TIMEFRAMES[timeframe])
    for page_limit in (60, 5_000):
        newest = await house(minutes, NOW, page_limit=page_limit).ask(timeframe, limit=5_000)
        oldest = await house(minutes, NOW, page_limit=page_limit).ask(timeframe, 0, limit=10)
        assert_same(newest.bars, truth)
        assert_same(oldest.bars, truth[:10])
        for answer in (newest, oldest):
            assert {gap.reason for gap in answer.gaps} <= {"no_trades"}
            assert answer.problems == ()


async def test_equal_start_and_end_give_none() -> None:
    answer = await house(MINUTES, NOW).ask("1m", START_MS, START_MS)
    assert (len(answer.bars), answer.gaps, answer.forming) == (0, (), False)


@pytest.mark.parametrize("limit", [0, -1, 5_001, 10**9])
async def test_a_limit_out_of_range_is_refused(limit: int) -> None:
    with pytest.raises(InvalidInput) as refused:
        await house(MINUTES, NOW).ask("1m", limit=limit)
    assert "limit" in refused.value.fields


async def test_a_start_after_the_end_is_refused() -> None:
    with pytest.raises(InvalidInput):
        await house(MINUTES, NOW).ask("1m", NOW, NOW - 1)


async def test_what_does_not_exist_is_refused() -> None:
    place = house(MINUTES, NOW)
    with pytest.raises(UnknownSymbol):
        await place.orchestrator.get_bars(SeriesKey("crypto", "ledger", "DOGE/USDT", "1m"))
    with pytest.raises(UnknownTimeframe):
        await place.orchestrator.get_bars(SeriesKey("crypto", "ledger", SYMBOL, "7m"))


async def test_a_venue_that_answers_impossible_bars_is_not_believed() -> None:
    bad = Bars.from_rows([(START_MS, 10.0, 9.0, 11.0, 10.0, 1.0)])
    place = house(bad, START_MS + HOUR_MS)
    answer = await place.ask("1m", START_MS, START_MS + HOUR_MS)
    assert len(answer.bars) == 0
    assert [problem.code for problem in answer.problems] == ["provider_malformed_answer"]
    assert await place.bars.extent(series("1m")) is None


Step = tuple[str, int, int, int]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 50),
    page_limit=st.sampled_from([7, 60, 500]),
    native=st.sampled_from([("1m",), ("1m", "1h", "1d"), ("1m", "5m", "4h")]),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["range", "range", "newest", "advance", "fail", "heal", "restart"]),
            st.integers(0, 3 * 1440),
            st.integers(0, 1440),
            st.integers(1, 300),
        ),
        min_size=4,
        max_size=25,
    ),
    timeframes=st.lists(st.sampled_from(["1m", "3m", "5m", "15m", "1h", "4h", "1d"]), min_size=3, max_size=3),
)
def test_any_history_of_questions_and_faults_gives_true_answers(
    seed: int, page_limit: int, native: tuple[str, ...], steps: list[Step], timeframes: list[str]
) -> None:
    asyncio.run(drive(seed, page_limit, native, steps, timeframes))


async def drive(
    seed: int, page_limit: int, native: tuple[str, ...], steps: list[Step], timeframes: list[str]
) -> None:
    minutes = random_minutes(seed, 6 * 1440, quiet=0.3)
    place = house(minutes, START_MS + 2 * DAY_MS + 12_345, page_limit=page_limit, native=native)
    failed = False
    for index, (kind, offset, length, limit) in enumerate(steps):
        timeframe = TIMEFRAMES[timeframes[index % len(timeframes)]]
        if kind == "advance":
            await place.clock.advance(float(length % 400))
        elif kind in ("fail", "heal"):
            place.plugin.failure = unreachable() if kind == "fail" else None
            failed = failed or kind == "fail"
        elif kind == "restart":
            place.restart()
        else:
            start = START_MS + offset * MINUTE_MS if kind == "range" else None
            end = START_MS + (offset + length) * MINUTE_MS if kind == "range" else None
            if await listed(place):
                answer = await place.ask(timeframe.name, start, end, limit)
                check(
                    answer,
                    minutes,
                    place.clock.now_ms(),
                    timeframe,
                    limit,
                    trusting=not failed and page_limit >= 500,
                )

    served = [bar for page in place.plugin.served for bar in page]
    assert len(served) == len(set(served)), "a final bar was fetched twice"


async def listed(place: House) -> bool:
    """Whether the symbol is known by now, which a venue that fails from the start prevents."""
    try:
        await place.markets.instrument(INSTRUMENT)
    except PluginError:
        return False
    return True


def check(
    answer: BarsAnswer, minutes: Bars, now_ms: int, timeframe: Timeframe, limit: int, *, trusting: bool
) -> None:
    bars = answer.bars
    truth = resample(as_of(minutes, now_ms), timeframe)
    assert len(bars) <= limit
    assert (np.diff(bars.time) > 0).all()
    known = np.isin(truth.time, bars.time)
    assert_same(bars, truth.take(known))
    if len(bars):
        assert answer.forming == (timeframe.end(int(bars.time[-1])) > now_ms)
    taken = IntervalSet.of((t, timeframe.end(t)) for t in bars.time.tolist())
    gaps = IntervalSet.of((gap.start, gap.end) for gap in answer.gaps)
    assert not gaps.intersect(taken), "a bar and a gap at one time"
    for gap in answer.gaps:
        assert gap.reason in ("no_trades", "not_fetched")
        if gap.reason == "no_trades":
            assert not len(truth.between(gap.start, gap.end)), "a traded bar called quiet"
    if trusting:
        hidden = [gap for gap in answer.gaps if gap.reason == "not_fetched"]
        assert all(not len(truth.between(gap.start, gap.end)) for gap in hidden), "a bar was left out"
