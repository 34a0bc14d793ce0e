"""How backfills treat a venue: its rate, its refusals, its maintenance, its silence; and repairs unasked."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.backfilling import INSTRUMENT, MINUTES_KEY, START_MS, Process, Site, site
from tests.support.houses import MINUTES, NOW, assert_same
from tests.support.ledger import random_minutes, unreachable
from tradewright.domain.bars import Bars
from tradewright.domain.errors import (
    MalformedAnswerPluginError,
    PluginError,
    RateLimitPluginError,
)
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS
from tradewright.runtime.rate_limit import RateLimiter
from tradewright.services.backfill_manager import BackfillSettings

END = START_MS + 2 * DAY_MS


async def start_job(place: Site, server: Process, until_s: float = 3.0) -> str:
    """A job that is under way."""
    job = await server.manager.submit(INSTRUMENT, START_MS, END)
    await place.clock.advance(until_s)
    assert (await place.job(job.id)).state == "running"
    return job.id


async def test_maintenance_costs_two_calls_a_minute_and_a_minute_at_its_end() -> None:
    async with site(MINUTES, NOW, page_limit=20, call_s=0.5) as place:
        server = place.process()
        job_id = await start_job(place, server)
        place.plugin.failure = unreachable()
        await place.clock.advance(2.0)
        place.plugin.attempts.clear()
        await place.clock.advance(30 * 60)
        waiting = await place.job(job_id)
        assert (waiting.state, waiting.error) == ("running", "ledger can't be reached.")
        assert len(place.plugin.attempts) <= 60
        gaps = [b - a for a, b in zip(place.plugin.attempts, place.plugin.attempts[1:], strict=False)]
        assert max(gaps) <= 61
        place.plugin.failure = None
        back_s = place.clock.monotonic()
        await place.until(lambda: bool(place.jobs._rows[job_id].job.error is None), within_s=62.0)
        assert place.clock.monotonic() - back_s <= 62
        assert (await place.finished(job_id)).state == "done"
        assert_same(await place.bars.read(MINUTES_KEY, START_MS, END), MINUTES.between(START_MS, END))
        await server.close()


async def test_a_venue_that_does_not_even_tell_its_time_is_waited_for_in_words() -> None:
    async with site(MINUTES, NOW) as place:
        asked: list[float] = []

        class Silent(place.plugin):  # type: ignore[misc,name-defined]
            async def venue_time_ms(self) -> int:
                asked.append(place.clock.monotonic())
                if self.failure is not None:
                    raise self.failure
                return place.clock.now_ms()

        place.plugin = Silent
        server = place.process(start=False)
        job = await server.manager.submit(INSTRUMENT, START_MS, END)
        place.plugin.failure = unreachable()
        server.manager.start()
        await place.clock.advance(3.0)
        waiting = await place.job(job.id)
        assert (waiting.state, waiting.error) == ("running", "ledger can't be reached.")
        await place.clock.advance(60.0)
        asked.clear()
        place.plugin.attempts.clear()
        await place.clock.advance(30 * 60)
        assert len(asked) + len(place.plugin.attempts) <= 60, "two calls a minute"
        place.plugin.failure = None
        assert (await place.finished(job.id)).state == "done"
        await server.close()


async def test_many_jobs_knock_at_a_venue_in_maintenance_as_one() -> None:
    async with site(MINUTES, NOW, page_limit=20, call_s=0.5) as place:
        server = place.process()
        for _ in range(6):
            await server.manager.submit(INSTRUMENT, START_MS, END)
        place.plugin.failure = unreachable()
        await server.manager.newest(1)
        await place.clock.advance(120.0)
        place.plugin.attempts.clear()
        await place.clock.advance(600.0)
        assert len(place.plugin.attempts) <= 20
        await server.close()


@pytest.mark.parametrize("code", ["429", "418"])
async def test_no_call_is_made_while_the_venue_wants_none(code: str) -> None:
    async with site(MINUTES, NOW, page_limit=20, call_s=0.5) as place:
        server = place.process()
        job_id = await start_job(place, server)
        place.plugin.failure = RateLimitPluginError(f"ledger answered {code}.", retry_after_s=90.0)
        await place.until(lambda: place.jobs._rows[job_id].job.error is not None, within_s=10)
        refused_s = place.clock.monotonic()
        place.plugin.failure = None
        place.plugin.attempts.clear()
        server.manager.repair(MINUTES_KEY, IntervalSet.single(END, END + HOUR_MS))
        await place.clock.advance(85.0)
        assert place.plugin.attempts == []
        await place.until(lambda: bool(place.plugin.attempts), within_s=10)
        assert place.plugin.attempts[0] - refused_s <= 91
        assert (await place.finished(job_id)).state == "done"
        await server.close()


async def test_a_venue_that_always_refuses_fails_the_job() -> None:
    for error in (MalformedAnswerPluginError("ledger answered bars that can't be."), PluginError("No.")):
        async with site(MINUTES, NOW, page_limit=20) as place:
            server = place.process()
            job = await server.manager.submit(INSTRUMENT, START_MS, END)
            await server.markets.instrument(INSTRUMENT)
            place.plugin.failure = error
            failed = await place.finished(job.id, within_s=400)
            assert (failed.state, failed.error) == ("failed", error.message)
            assert len(place.plugin.attempts) <= 5 * 2 + 3  # the listing is asked for besides
            await server.close()


async def test_a_venue_that_stays_away_for_a_day_fails_the_job() -> None:
    async with site(MINUTES, NOW, settings=BackfillSettings(unreachable_s_max=1_800.0)) as place:
        server = place.process()
        await server.markets.instrument(INSTRUMENT)
        place.plugin.failure = unreachable()
        job = await server.manager.submit(INSTRUMENT, START_MS, END)
        failed = await place.finished(job.id, within_s=2_000)
        assert failed.state == "failed"
        assert "can't be reached" in (failed.error or "")
        await server.close()


@pytest.mark.parametrize(("per_second", "call_s"), [(40.0, 0.1), (5.0, 0.02), (20.0, 0.3)])
async def test_nearly_all_of_the_allowed_rate_is_used(per_second: float, call_s: float) -> None:
    minutes = random_minutes(5, 4 * 1440, quiet=0.0)
    async with site(minutes, START_MS + 4 * DAY_MS, page_limit=10, call_s=call_s) as place:
        place.plugin.limiter = RateLimiter(place.clock, per_second=per_second)
        server = place.process()
        job = await server.manager.submit(INSTRUMENT, START_MS, START_MS + 3 * DAY_MS)
        await place.until(lambda: len(place.plugin.attempts) > 60, step_s=0.02)
        began_s, calls = place.clock.monotonic(), len(place.plugin.attempts)
        await place.until(lambda: len(place.plugin.attempts) > 300, step_s=0.02)
        used = (len(place.plugin.attempts) - calls) / (place.clock.monotonic() - began_s) / per_second
        assert used >= 0.95
        assert (await place.finished(job.id)).state == "done"
        served = place.served()
        assert len(served) == len(set(served))
        await server.close()


async def test_a_slow_rate_is_not_waited_for_by_many_at_once() -> None:
    async with site(MINUTES, NOW, page_limit=10, call_s=0.02) as place:
        place.plugin.limiter = RateLimiter(place.clock, per_second=1.0)
        server = place.process()
        await start_job(place, server, until_s=60.0)
        assert place.plugin.limiter._waiting <= 2
        for _ in range(3):
            await place.clock.advance(30.0)
            assert place.plugin.limiter._waiting <= 3
        await server.close()


async def test_readers_and_a_job_fetch_nothing_twice_and_readers_get_their_turn() -> None:
    async with site(MINUTES, NOW, page_limit=20, call_s=0.2) as place:
        server = place.process()
        job_id = await start_job(place, server)
        waited_s = []
        for hour in (1, 20, 30, 40, 5):
            began_s = place.clock.monotonic()
            turn = asyncio.create_task(_take_turn(server, hour))
            await place.until(turn.done, within_s=10)
            waited_s.append(place.clock.monotonic() - began_s)
        assert max(waited_s) <= 1.5
        assert (await place.finished(job_id)).state == "done"
        served = place.served()
        assert len(served) == len(set(served))
        assert_same(await place.bars.read(MINUTES_KEY, START_MS, END), MINUTES.between(START_MS, END))
        await server.close()


async def _take_turn(server: Process, hour: int) -> None:
    """What a reader does once it is its turn: fetch an hour."""
    deadline_s = asyncio.get_running_loop().time() + 60
    async with (
        server.markets.plugin("crypto", "ledger") as plugin,
        server.source.turns.take(MINUTES_KEY, deadline_s),
    ):
        shop = server.manager._shop
        reader = await shop.reader(plugin, INSTRUMENT)
        start = START_MS + hour * HOUR_MS
        for chunk in await reader.missing(start, start + HOUR_MS):
            async with server.manager._shop.venues.of("crypto", "ledger").lane() as calls:
                await reader.read(chunk, calls)


def with_hole(start_ms: int, end_ms: int) -> Bars:
    """A venue that has nothing between."""
    return Bars.concat((MINUTES.between(0, start_ms), MINUTES.between(end_ms, 2**60)))


async def test_silence_is_noted_and_the_job_ends_with_a_gap() -> None:
    hole = (START_MS + 10 * HOUR_MS, START_MS + 20 * HOUR_MS)
    async with site(with_hole(hole[0], 2**60), NOW, page_limit=50) as place:
        server = place.process()
        job = await server.manager.submit(INSTRUMENT, START_MS + 12 * HOUR_MS, START_MS + 20 * HOUR_MS)
        done = await place.finished(job.id, within_s=60)
        assert (done.state, done.progress, done.error) == ("done", 1.0, None)
        noted = await place.bars.empty_answers(MINUTES_KEY, *hole)
        assert noted
        assert noted[-1].end == hole[1]
        assert (await place.bars.coverage(MINUTES_KEY, *hole)).known.length_ms == 0
        calls = len(place.plugin.attempts)
        again = await server.manager.submit(INSTRUMENT, START_MS + 12 * HOUR_MS, START_MS + 20 * HOUR_MS)
        assert (await place.finished(again.id)).state == "done"
        assert len(place.plugin.attempts) - calls <= 1, "what was empty just now is not asked for again"
        await server.close()


async def test_silence_is_looked_at_once_more_and_then_left_alone() -> None:
    hole = (START_MS + 10 * HOUR_MS, START_MS + 11 * HOUR_MS)
    async with site(with_hole(hole[0], 2**60), NOW, page_limit=100) as place:
        server = place.process()
        server.manager.repair(MINUTES_KEY, IntervalSet.single(*hole))
        asked: list[int] = []
        for _ in range(24):
            place.plugin.attempts.clear()
            for _ in range(20):
                server.manager.repair(MINUTES_KEY, IntervalSet.single(*hole))
                await place.clock.advance(180.0)
            asked.append(len(place.plugin.attempts))
        # What leads to the hole and two looks; at a venue of one symbol there is nobody to compare with.
        assert sum(asked) <= 3
        assert sum(asked[1:]) == 0
        await server.close()


async def test_a_silence_that_a_reader_met_is_looked_at_again_unasked() -> None:
    hole = IntervalSet.single(START_MS + 10 * HOUR_MS, START_MS + 11 * HOUR_MS)
    async with site(with_hole(*hole.items[0]), NOW, page_limit=50) as place:
        server = place.process()
        await server.markets.instrument(INSTRUMENT)
        await place.bars.note_empty(MINUTES_KEY, hole, place.clock.now_ms())
        await place.bars.write(
            SeriesBars(MINUTES_KEY, Bars.empty(), IntervalSet.single(START_MS, START_MS + 1))
        )
        await place.clock.advance(595.0)
        assert place.plugin.attempts == []
        await place.clock.advance(60.0)
        assert (await place.bars.coverage(MINUTES_KEY, *hole.items[0])).complete == hole
        await server.close()


async def test_a_restart_forgets_no_second_look_and_repeats_none() -> None:
    hole = IntervalSet.single(START_MS + 10 * HOUR_MS, START_MS + 11 * HOUR_MS)
    async with site(with_hole(*hole.items[0]), NOW, page_limit=50) as place:
        first = place.process()
        await first.markets.instrument(INSTRUMENT)
        first.manager.repair(MINUTES_KEY, hole)
        await place.clock.advance(60.0)
        assert await place.bars.empty_answers(MINUTES_KEY, *hole.items[0])
        await first.kill()
        await place.clock.advance(3 * 3600.0)
        second = place.process()
        await place.clock.advance(60.0)
        assert (await place.bars.coverage(MINUTES_KEY, *hole.items[0])).known.contains(*hole.items[0])
        asked = len(place.plugin.attempts)
        await second.close()
        third = place.process()
        await place.clock.advance(3600.0)
        assert len(place.plugin.attempts) == asked
        await third.close()


async def test_second_looks_keep_to_the_budget_of_repairs_and_to_their_bound() -> None:
    settings = BackfillSettings(repair_calls_per_minute=6, repair_series_max=4)
    minutes = random_minutes(5, 4 * 1440, quiet=0.0)
    async with site(minutes, START_MS + 4 * DAY_MS, page_limit=50, settings=settings) as place:
        await place.process(start=False).markets.instrument(INSTRUMENT)
        symbols = [f"S{number}/USDT" for number in range(12)]
        place.plugin.others = dict.fromkeys(symbols, minutes)
        hole = IntervalSet.single(START_MS + 10 * HOUR_MS, START_MS + 10 * HOUR_MS + 20 * MINUTE_MS)
        keys = [type(MINUTES_KEY)("crypto", "ledger", symbol, "1m") for symbol in symbols]
        for number, key in enumerate(keys):
            await place.bars.note_empty(key, hole, place.clock.now_ms() - 3_600_000 + number)
        server = place.process()
        await place.clock.advance(45.0)
        assert len(server.manager.repairing) <= 4
        assert len(place.plugin.attempts) <= 8
        await place.clock.advance(600.0)
        for key in keys:
            assert (await place.bars.coverage(key, *hole.items[0])).complete.contains(*hole.items[0]), key
        await server.close()


async def test_a_hole_that_a_reader_saw_is_repaired() -> None:
    async with site(MINUTES, NOW, page_limit=50) as place:
        server = place.process()
        for hour in range(0, 48, 6):
            start = START_MS + hour * HOUR_MS
            server.manager.repair(MINUTES_KEY, IntervalSet.single(start, start + 20 * MINUTE_MS))
        await place.until(lambda: not server.manager.repairing, within_s=60)
        for hour in range(0, 48, 6):
            start = START_MS + hour * HOUR_MS
            known = (await place.bars.coverage(MINUTES_KEY, start, start + 20 * MINUTE_MS)).complete
            assert known.contains(start, start + 20 * MINUTE_MS)
        served = place.served()
        assert len(served) == len(set(served))
        assert await server.manager.newest(10) == ()
        await server.close()


async def test_repairs_keep_to_their_budget_which_is_smaller_beside_a_job() -> None:
    settings = BackfillSettings(repair_calls_per_minute=20, repair_calls_beside_jobs=4, lanes_max=2)
    async with site(MINUTES, NOW, page_limit=10, call_s=0.05, settings=settings) as place:
        server = place.process()
        server.manager.repair(MINUTES_KEY, IntervalSet.single(START_MS, END))
        await place.clock.advance(59.0)
        alone = len(place.plugin.attempts)
        assert 15 <= alone <= 22  # the last chunk may take a call more than it was thought to
        place.plugin.limiter = RateLimiter(place.clock, per_second=1.0)
        await server.manager.submit(INSTRUMENT, END, END + DAY_MS)
        await place.clock.advance(61.0)
        rows = [start for _, start, _ in place.plugin.requests[alone:]]
        assert len([start for start in rows if start < END - HOUR_MS]) <= 5
        await server.close()


async def test_repairs_are_bounded_and_never_raise() -> None:
    settings = BackfillSettings(repair_series_max=3)
    async with site(MINUTES, NOW, settings=settings) as place:
        server = place.process()
        place.plugin.failure = unreachable()
        for number in range(50):
            key = type(MINUTES_KEY)("crypto", "ledger", f"S{number}/USDT", "1m")
            server.manager.repair(key, IntervalSet.single(START_MS, END))
        server.manager.repair(MINUTES_KEY, IntervalSet.single(START_MS, END))
        assert len(server.manager.repairing) == 3
        server.manager.repair(type(MINUTES_KEY)("no", "such", "X", "1m"), IntervalSet.single(0, 1))
        await server.close()
        server.manager.repair(MINUTES_KEY, IntervalSet.single(START_MS, END))


async def test_an_unknown_symbol_is_not_repaired_for_ever() -> None:
    async with site(MINUTES, NOW) as place:
        server = place.process()
        key = type(MINUTES_KEY)("crypto", "ledger", "NONE/USDT", "1m")
        server.manager.repair(key, IntervalSet.single(START_MS, END))
        server.manager.repair(type(MINUTES_KEY)("no", "such", "X", "1m"), IntervalSet.single(0, 1))
        await place.clock.advance(5.0)
        assert server.manager.repairing == {}
        await server.close()
