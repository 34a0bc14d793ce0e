"""Many readers at once, venues and stores that fail, and what neither may cost."""

from __future__ import annotations

import asyncio
import gc

import pytest

from tests.support.houses import MINUTES, NOW, assert_same, house, series
from tests.support.ledger import (
    START_MS,
    as_of,
    random_minutes,
    unreachable,
)
from tradewright.domain.errors import (
    LimitExceeded,
    PluginError,
    RateLimitPluginError,
    StorageUnavailable,
)
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, TIMEFRAMES
from tradewright.services import data_orchestrator
from tradewright.services.data_sources.base import SourcePart
from tradewright.services.data_sources.door import FAILURE_MEMORY_S, TOO_OFTEN_S
from tradewright.storage.memory import MemoryBarStore
from tradewright.testing.clock import DrivenClock


async def test_stored_islands_do_not_make_a_year_of_calls() -> None:
    minutes = random_minutes(3, 61 * 1440, quiet=0.0)
    now = START_MS + 60 * DAY_MS + 90 * MINUTE_MS
    place = house(minutes, now, page_limit=500)
    for day in range(0, 60, 10):
        await place.ask("1m", START_MS + day * DAY_MS, START_MS + day * DAY_MS + HOUR_MS)
        covered = IntervalSet.single(START_MS + day * DAY_MS, START_MS + (day + 1) * DAY_MS)
        part = minutes.between(*covered.items[0])
        await place.bars.write(SeriesBars(series("1m"), part, covered))
    place.plugin.requests.clear()
    answer = await place.ask("1d", limit=58)
    assert_same(answer.bars, resample(as_of(minutes, now), TIMEFRAMES["1d"])[-58:])
    assert len(place.plugin.requests) <= 2
    assert answer.gaps == ()


async def test_a_store_that_cannot_write_costs_no_answer() -> None:
    place = house(MINUTES, NOW)
    await place.ask("1m", limit=1)

    class FullStore(MemoryBarStore):
        async def write(self, data: SeriesBars, *, outage: IntervalSet = NO_INTERVALS) -> None:
            raise StorageUnavailable("The disk is full.")

    place.bars = FullStore()
    place.restart()
    window = (START_MS + DAY_MS, START_MS + 2 * DAY_MS)
    answer = await place.ask("1m", *window, limit=5_000)
    assert_same(answer.bars, MINUTES.between(*window))
    assert [(problem.source, problem.code) for problem in answer.problems] == [("db", "storage_unavailable")]
    assert {problem.source for problem in (await place.ask("1m", limit=10)).problems} <= {"db"}


async def test_a_slow_store_is_never_the_venues_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_orchestrator, "READ_DEADLINE_S", 0.05)
    place = house(MINUTES, NOW, page_limit=100)
    await place.ask("1m", limit=1)
    written = place.bars.write

    async def slow(data: SeriesBars, *, outage: IntervalSet = NO_INTERVALS) -> None:
        deadline_s = asyncio.get_running_loop().time() + 0.1
        while asyncio.get_running_loop().time() < deadline_s:  # noqa: ASYNC110  time has no event
            await asyncio.sleep(0)
        await written(data, outage=outage)

    monkeypatch.setattr(place.bars, "write", slow)
    first = await place.ask("1m", START_MS, START_MS + DAY_MS, limit=5_000)
    assert len(first.bars) > 0
    assert "needs more time" in first.problems[0].detail
    monkeypatch.setattr(place.bars, "write", written)
    assert (await place.ask("1m", START_MS + 2 * DAY_MS, START_MS + 2 * DAY_MS + HOUR_MS)).problems == ()


async def test_a_reader_who_left_before_the_error_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    place = house(MINUTES, NOW)
    for _ in range(20):
        key = SeriesKey("crypto", "ledger", "NONE/USDT", "1m")
        reader = asyncio.create_task(place.orchestrator.get_bars(key))
        await asyncio.sleep(0)
        reader.cancel()
        await asyncio.wait({reader})
    await DrivenClock.settle()
    gc.collect()
    assert not [record for record in caplog.records if "never retrieved" in record.getMessage()]


async def test_a_question_nobody_waits_for_is_dropped() -> None:
    place = house(MINUTES, NOW, page_limit=7)
    await place.ask("1m", limit=1)
    asked = len(place.plugin.requests)
    reader = asyncio.create_task(place.ask("1m", START_MS, START_MS + 3 * DAY_MS, 5_000))
    while len(place.plugin.requests) < asked + 3:  # noqa: ASYNC110  the venue has no event for it
        await asyncio.sleep(0)
    reader.cancel()
    await asyncio.wait({reader})
    await DrivenClock.settle()
    stopped = len(place.plugin.requests)
    await DrivenClock.settle()
    assert len(place.plugin.requests) == stopped


async def test_too_many_questions_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_orchestrator, "FLIGHTS_MAX", 3)
    place = house(MINUTES, NOW)
    answers = await asyncio.gather(*(place.ask("1m", limit=n) for n in range(1, 6)), return_exceptions=True)
    assert sum(isinstance(answer, LimitExceeded) for answer in answers) == 2
    assert len((await place.ask("1m", limit=9)).bars) == 9


def test_many_parts_are_merged_in_a_moment() -> None:
    parts = [SourcePart("db" if i % 2 else "plugin", i * 1_000, i * 1_000 + 900) for i in range(20_000)]
    merged = data_orchestrator._merged_parts([*parts, *parts], 0, 10**9)
    assert list(merged) == parts


async def test_equal_questions_in_flight_are_one() -> None:
    place = house(MINUTES, NOW)
    await place.ask("1m", limit=1)  # the listing is read
    asked = len(place.plugin.requests)
    answers = await asyncio.gather(*(place.ask("1m", START_MS, START_MS + HOUR_MS) for _ in range(20)))
    assert len(place.plugin.requests) == asked + 1
    assert all(answer is answers[0] for answer in answers)


async def test_overlapping_questions_fetch_no_minute_twice() -> None:
    place = house(MINUTES, NOW, page_limit=100)
    await place.ask("1m", limit=1)
    place.plugin.served.clear()
    await asyncio.gather(
        *(place.ask("1m", START_MS + i * HOUR_MS, START_MS + (i + 3) * HOUR_MS, 1_000) for i in range(6))
    )
    served = [time for times in place.plugin.served for time in times]
    assert len(served) == len(set(served))


async def test_one_reader_that_leaves_takes_nothing_from_the_others() -> None:
    place = house(MINUTES, NOW)
    leaving = asyncio.create_task(place.ask("1m", limit=20))
    staying = asyncio.create_task(place.ask("1m", limit=20))
    await asyncio.sleep(0)
    leaving.cancel()
    assert len((await staying).bars) == 20


async def test_a_dead_venue_costs_the_missing_part_and_says_why() -> None:
    place = house(MINUTES, NOW)
    await place.ask("1m", START_MS, START_MS + HOUR_MS)
    extent = await place.bars.extent(series("1m"))
    assert extent is not None
    stored_until, end = extent[1] + MINUTE_MS, START_MS + DAY_MS
    place.plugin.failure = unreachable()
    answer = await place.ask("1m", START_MS, end, 5_000)
    assert_same(answer.bars, MINUTES.between(START_MS, stored_until))
    assert [problem.code for problem in answer.problems] == ["provider_unavailable"]
    assert (answer.gaps[-1].start, answer.gaps[-1].end, answer.gaps[-1].reason) == (
        stored_until,
        end,
        "not_fetched",
    )


async def test_a_venue_that_was_dead_is_asked_again_after_a_moment() -> None:
    place = house(MINUTES, NOW)
    await place.ask("1m", limit=10)
    place.plugin.failure = unreachable()
    assert (await place.ask("1h", limit=40)).problems
    place.plugin.failure = None
    assert (await place.ask("1h", limit=40)).problems, "a dead venue is left alone for a moment"
    await place.clock.advance(FAILURE_MEMORY_S)
    again = await place.ask("1h", limit=40)
    assert again.problems == ()
    assert_same(again.bars, resample(as_of(MINUTES, place.clock.now_ms()), TIMEFRAMES["1h"])[-40:])


async def test_a_refusal_that_names_no_time_is_kept_to_as_well() -> None:
    place = house(MINUTES, NOW)
    await place.ask("1m", limit=1)
    place.plugin.failure = RateLimitPluginError("too often")
    for hour in range(1, 51):
        window = (START_MS + hour * HOUR_MS, START_MS + (hour + 1) * HOUR_MS)
        (problem,) = (await place.ask("1m", *window)).problems
        assert problem.code == RateLimitPluginError.code
    assert place.plugin.refusals == 1
    place.plugin.failure = None
    await place.clock.advance(TOO_OFTEN_S)
    assert (await place.ask("1m", START_MS, START_MS + HOUR_MS)).problems == ()


async def test_an_error_that_says_when_to_come_back_is_kept_to() -> None:
    place = house(MINUTES, NOW)
    await place.ask("1m", limit=1)
    place.plugin.failure = PluginError("slow down", retry_after_s=30.0)
    assert (await place.ask("1m", START_MS, START_MS + HOUR_MS)).problems
    place.plugin.failure = None
    asked = len(place.plugin.requests)
    await place.clock.advance(29.0)
    assert (await place.ask("1m", START_MS, START_MS + HOUR_MS)).problems
    assert len(place.plugin.requests) == asked
    await place.clock.advance(1.0)
    assert (await place.ask("1m", START_MS, START_MS + HOUR_MS)).problems == ()
