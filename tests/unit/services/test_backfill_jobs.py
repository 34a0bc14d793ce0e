"""Backfill jobs: what is fetched, in which order, by whom, and what a kill costs."""

from __future__ import annotations

import random

import pytest

from tests.support.backfilling import INSTRUMENT, MINUTES_KEY, START_MS, Site, site
from tests.support.houses import MINUTES, NOW, assert_same
from tests.support.ledger import random_minutes, unreachable
from tradewright.domain.bars import Bars
from tradewright.domain.errors import (
    AuthenticationPluginError,
    InvalidInput,
    NotFound,
    UnknownSymbol,
)
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, ONE_HOUR
from tradewright.services.backfill_manager import BackfillSettings, TooManyBackfills
from tradewright.services.cache_manager import CacheManager
from tradewright.services.data_orchestrator import DataOrchestrator
from tradewright.storage.memory_cache import MemoryCache

END = START_MS + 2 * DAY_MS


async def stored(place: Site, start_ms: int = START_MS, end_ms: int = END) -> Bars:
    return await place.bars.read(MINUTES_KEY, start_ms, end_ms)


@pytest.mark.parametrize("newest_first", [False, True])
async def test_a_range_is_fetched_once_and_whole(newest_first: bool) -> None:
    async with site(MINUTES, NOW) as place:
        server = place.process()
        job = await server.manager.submit(INSTRUMENT, START_MS, END, newest_first=newest_first)
        assert (job.state, job.progress, job.bars) == ("queued", 0.0, 0)
        done = await place.finished(job.id)
        assert (done.state, done.progress, done.error) == ("done", 1.0, None)
        assert_same(await stored(place), MINUTES.between(START_MS, END))
        served = place.served()
        assert len(served) == len(set(served))
        assert done.bars == len(MINUTES.between(START_MS, END))
        await server.close()


async def test_only_the_holes_are_fetched() -> None:
    async with site(MINUTES, NOW) as place:
        for start in range(START_MS + 3 * HOUR_MS, END, 8 * HOUR_MS):
            covered = IntervalSet.single(start, start + 3 * HOUR_MS)
            await place.bars.write(SeriesBars(MINUTES_KEY, MINUTES.between(*covered.items[0]), covered))
        known = (await place.bars.coverage(MINUTES_KEY, START_MS, END)).complete
        server = place.process()
        job = await server.manager.submit(INSTRUMENT, START_MS, END)
        await place.finished(job.id)
        assert_same(await stored(place), MINUTES.between(START_MS, END))
        asked = IntervalSet.of((time, time + MINUTE_MS) for _, time in place.served())
        assert not asked.intersect(known)
        again = await server.manager.submit(INSTRUMENT, START_MS, END)
        calls = len(place.plugin.requests)
        assert (await place.finished(again.id)).bars == 0
        assert len(place.plugin.requests) == calls
        await server.close()


async def test_the_newest_come_first_where_that_is_asked_for() -> None:
    settings = BackfillSettings(lanes_max=2)
    async with site(MINUTES, NOW, page_limit=100, settings=settings) as place:
        server = place.process()
        for newest_first in (False, True):
            place.plugin.requests.clear()
            start = START_MS + (DAY_MS + DAY_MS // 2 if newest_first else 0)
            job = await server.manager.submit(INSTRUMENT, start, start + DAY_MS, newest_first=newest_first)
            await place.finished(job.id)
            first, last = place.plugin.requests[0][1], place.plugin.requests[-1][1]
            assert (first > last) == newest_first
        await server.close()


async def test_progress_is_the_settled_share_of_what_was_missing() -> None:
    async with site(MINUTES, NOW, page_limit=20, call_s=0.5) as place:
        server = place.process()
        job = await server.manager.submit(INSTRUMENT, START_MS, END)
        seen = [job]
        with server.manager.watch() as changes:
            while seen[-1].open:
                await place.clock.advance(0.5)
                if changes.waiting:
                    seen.append(await anext(changes))
        shares = [each.progress for each in seen]
        assert shares == sorted(shares)
        assert len({share for share in shares if 0 < share < 1}) > 3
        assert [each.bars for each in seen] == sorted(each.bars for each in seen)
        assert seen[-1].state == "done"
        await server.close()


@pytest.mark.parametrize("seed", range(40))
async def test_a_job_that_is_killed_anywhere_ends_as_one_that_was_not(seed: int) -> None:
    chance = random.Random(seed)
    minutes = random_minutes(seed, 3 * 1440, quiet=chance.choice((0.0, 0.2, 0.7)))
    page_limit, call_s = chance.choice((37, 100, 250)), chance.choice((0.0, 0.05, 0.4))
    async with site(minutes, NOW, page_limit=page_limit, call_s=call_s, seed=seed) as place:
        server = place.process()
        job = await server.manager.submit(INSTRUMENT, START_MS, END, newest_first=chance.random() < 0.5)
        for _ in range(chance.randrange(1, 5)):
            server.line.breaks_at = server.line.uses + chance.randrange(1, 12)
            await place.clock.advance(chance.uniform(0.05, 3.0))
            before = IntervalSet.of(
                (time, time + MINUTE_MS) for time in (await stored(place, 0, NOW)).time.tolist()
            )
            await server.kill()
            place.plugin.served.clear()
            server = place.process()
            await place.clock.advance(chance.choice((0.5, 12.0)))
            asked = IntervalSet.of((time, time + MINUTE_MS) for _, time in place.served())
            assert not asked.intersect(before), "what is covered is not fetched again"
        done = await place.finished(job.id)
        assert (done.state, done.progress) == ("done", 1.0)
        assert_same(await stored(place), minutes.between(START_MS, END))
        await server.close()


async def test_closing_lets_go_of_a_job_at_once() -> None:
    async with site(MINUTES, NOW, page_limit=50, call_s=0.5) as place:
        first = place.process()
        job = await first.manager.submit(INSTRUMENT, START_MS, END)
        await place.clock.advance(3.0)
        assert (await place.job(job.id)).state == "running"
        await first.close()
        left = await place.job(job.id)
        assert left.state == "queued"
        assert 0 < left.progress < 1
        second = place.process()
        await place.clock.advance(0.1)
        taken = await place.job(job.id)
        assert (taken.state, taken.progress) == ("running", left.progress)
        done = await place.finished(job.id)
        assert done.state == "done"
        assert done.missing_ms == left.missing_ms
        await second.close()


async def test_of_two_servers_one_owns_a_job_at_a_time() -> None:
    async with site(MINUTES, NOW, page_limit=50, call_s=0.5) as place:
        servers = [place.process(), place.process()]
        jobs = [await servers[0].manager.submit(INSTRUMENT, START_MS, END) for _ in range(4)]
        for _ in range(40):
            await place.clock.advance(0.5)
            running = [set(server.manager.working) for server in servers]
            assert not running[0] & running[1]
        assert [(await place.finished(job.id)).state for job in jobs] == ["done"] * 4
        assert_same(await stored(place), MINUTES.between(START_MS, END))
        for server in servers:
            await server.close()


async def test_a_paused_owner_is_succeeded_and_its_late_report_refused() -> None:
    async with site(MINUTES, NOW, page_limit=50, call_s=0.5) as place:
        paused = place.process()
        job = await paused.manager.submit(INSTRUMENT, START_MS, END)
        await place.clock.advance(3.0)
        token = token_of(place, job.id)
        paused.line.cut()  # what it says does not arrive any more
        successor = place.process()
        await place.clock.advance(9.0)
        assert token_of(place, job.id) > token
        calls = len(place.plugin.attempts)
        assert job.id in successor.manager.working
        paused.line.breaks_at = float("inf")
        await place.clock.advance(2.5)
        assert not paused.manager.working
        assert len(place.plugin.attempts) > calls, "the successor works on"
        assert (await place.finished(job.id)).state == "done"
        served = place.served()
        assert_same(await stored(place), MINUTES.between(START_MS, END))
        assert len(served) - len(set(served)) <= 50 * 12, "at most what was under way when it was cut off"
        await successor.close()
        await paused.close()


def token_of(place: Site, job_id: str) -> int:
    return place.jobs._rows[job_id].token


async def test_an_owner_that_slept_longer_than_its_lease_takes_its_own_job_up_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with site(MINUTES, NOW, page_limit=50, call_s=0.5) as place:
        server = place.process()
        job = await server.manager.submit(INSTRUMENT, START_MS, END)
        await place.clock.advance(1.2)
        token = token_of(place, job.id)
        place.clock.jump_wall(60_000)  # the machine slept, which monotonic time does not count
        await place.until(lambda: token_of(place, job.id) != token)
        done = await place.finished(job.id)
        assert done.state == "done"
        assert_same(await stored(place), MINUTES.between(START_MS, END))
        await place.until(lambda: not server.manager.working)
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []
        await server.close()


async def test_a_job_with_nothing_left_ends_though_its_venue_is_down() -> None:
    async with site(MINUTES, NOW) as place:
        covered = IntervalSet.single(START_MS, START_MS + DAY_MS)
        await place.bars.write(SeriesBars(MINUTES_KEY, MINUTES.between(*covered.items[0]), covered))
        server = place.process()
        waiting = await server.manager.submit(INSTRUMENT, START_MS + DAY_MS, END)
        place.plugin.failure = unreachable()
        await place.clock.advance(3.0)
        assert (await place.job(waiting.id)).error
        nothing_left = await server.manager.submit(INSTRUMENT, START_MS, START_MS + DAY_MS)
        assert (await place.finished(nothing_left.id)).state == "done"
        assert (await place.job(waiting.id)).open
        await server.close()


async def test_a_venue_that_is_down_is_asked_for_its_time_no_more_often_than_for_pages() -> None:
    async with site(MINUTES, NOW) as place:
        server = place.process()
        job = await server.manager.submit(INSTRUMENT, START_MS, END)
        place.plugin.failure, place.plugin.tells_time = unreachable(), False
        await place.clock.advance(600.0)
        assert len(place.plugin.attempts) <= 2 * 10 + 3
        assert (await place.job(job.id)).error
        place.plugin.failure = None
        assert (await place.finished(job.id)).state == "done"
        assert_same(await stored(place), MINUTES.between(START_MS, END))
        await server.close()


async def test_a_page_that_fails_costs_none_that_was_given_beside_it() -> None:
    async with site(MINUTES, NOW, page_limit=50, call_s=0.5) as place:
        server = place.process()
        refused = place.plugin.refused = frozenset(range(6, 60, 9))
        job = await server.manager.submit(INSTRUMENT, START_MS, END)
        assert (await place.finished(job.id)).state == "done"
        pages = [page for number, page in enumerate(place.plugin.pages) if number not in refused]
        assert len(place.plugin.pages) > len(pages) + 3
        asked = [time for page in pages for time in MINUTES.between(*page)[:50].time.tolist()]
        assert len(asked) == len(set(asked)), "what was under way was waited for and kept"
        await server.close()


async def test_a_cancelled_job_stops_at_once_wherever_it_runs() -> None:
    async with site(MINUTES, NOW, page_limit=20, call_s=0.5) as place:
        worker, other = place.process(), place.process(start=False)
        for canceller, patience_s in ((worker, 0.0), (other, 2.5)):
            job = await worker.manager.submit(INSTRUMENT, START_MS, END)
            await place.clock.advance(4.0)
            assert job.id in worker.manager.working
            cancelled = await canceller.manager.cancel(job.id)
            assert cancelled.state == "cancelled"
            await place.clock.advance(patience_s)
            calls = len(place.plugin.attempts)
            await place.clock.advance(10.0)
            assert len(place.plugin.attempts) == calls
            assert not worker.manager.working
            assert (await place.job(job.id)) == cancelled
        with pytest.raises(NotFound):
            await worker.manager.cancel("nobody")
        await worker.close()
        await other.close()


async def test_what_can_never_be_had_fails_with_a_sentence() -> None:
    async with site(MINUTES, NOW) as place:
        server = place.process()
        await server.markets.instrument(INSTRUMENT)
        for error in (
            UnknownSymbol("ledger does not list this symbol."),
            AuthenticationPluginError("ledger did not accept the key."),
        ):
            place.plugin.failure = error  # type: ignore[assignment]
            place.plugin.attempts.clear()
            job = await server.manager.submit(INSTRUMENT, START_MS, END)
            failed = await place.finished(job.id, within_s=5.0)
            assert (failed.state, failed.error) == ("failed", error.message)
            assert len(place.plugin.attempts) <= 3
        await server.close()


@pytest.mark.parametrize("newest_first", [False, True])
async def test_a_delisting_in_the_middle_ends_the_job_and_leaves_a_hole_that_says_so(
    newest_first: bool,
) -> None:
    async with site(MINUTES, NOW) as place:
        server = place.process()
        job = await server.manager.submit(INSTRUMENT, START_MS, END, newest_first=newest_first)
        await place.until(lambda: len(place.plugin.pages) >= 10)
        gone = UnknownSymbol("ledger does not list this symbol.")
        place.plugin.failure = gone  # type: ignore[assignment]
        failed = await place.finished(job.id, within_s=5.0)
        assert (failed.state, failed.error) == ("failed", gone.message)
        assert 0 < failed.progress < 1
        calls = len(place.plugin.attempts)
        await place.clock.advance(60)
        assert len(place.plugin.attempts) == calls, "it is asked for again and again"
        place.plugin.call_s = 0.0
        reader = DataOrchestrator(
            server.markets, server.bars, place.clock, CacheManager(MemoryCache(place.clock), place.clock)
        )
        answer = await reader.get_bars(MINUTES_KEY, start_ms=START_MS, end_ms=END, limit=5_000)
        assert len(answer.bars) == len(await stored(place)) > 200
        known = (await place.bars.coverage(MINUTES_KEY, START_MS, END)).known
        missing = [(gap.start, gap.end) for gap in answer.gaps if gap.reason == "not_fetched"]
        assert IntervalSet.of(missing) == IntervalSet.single(START_MS, END).subtract(known)
        assert [problem.detail for problem in answer.problems] == [gone.message]
        await reader.close()
        await server.close()


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        (START_MS, START_MS, "start"),
        (END, START_MS, "start"),
        (-1, END, "start"),
        (START_MS, NOW + HOUR_MS, "end"),
    ],
)
async def test_a_range_that_can_not_be_is_refused(start: int, end: int, field: str) -> None:
    async with site(MINUTES, NOW) as place:
        server = place.process(start=False)
        with pytest.raises(InvalidInput) as refused:
            await server.manager.submit(INSTRUMENT, start, end)
        assert field in refused.value.fields
        await server.close()


async def test_unknown_symbols_and_too_many_jobs_are_refused() -> None:
    async with site(MINUTES, NOW, settings=BackfillSettings(open_jobs_max=2)) as place:
        server = place.process(start=False)
        with pytest.raises(UnknownSymbol):
            await server.manager.submit(InstrumentKey("crypto", "ledger", "NONE/USDT"), START_MS, END)
        for _ in range(2):
            await server.manager.submit(INSTRUMENT, START_MS, END)
        with pytest.raises(TooManyBackfills):
            await server.manager.submit(INSTRUMENT, START_MS, END)
        await server.close()


async def test_a_provider_without_minutes_gives_the_finest_it_has() -> None:
    async with site(MINUTES, NOW, native=("1h", "1d")) as place:
        server = place.process()
        job = await server.manager.submit(INSTRUMENT, START_MS, END)
        assert (await place.finished(job.id)).state == "done"
        assert {name for name, _, _ in place.plugin.requests} <= {"1h", "1d"}
        covered = await place.bars.coverage(INSTRUMENT.series(ONE_HOUR), START_MS, END)
        assert covered.complete.contains(START_MS, END)
        await server.close()


async def test_nothing_is_asked_from_before_the_listing() -> None:
    async with site(MINUTES, NOW, page_limit=500) as place:
        server = place.process()
        job = await server.manager.submit(INSTRUMENT, START_MS - 400 * DAY_MS, START_MS + DAY_MS)
        done = await place.finished(job.id)
        assert (done.state, done.missing_ms) == ("done", DAY_MS)
        assert len([1 for name, *_ in place.plugin.requests if name == "1m"]) <= 8
        await server.close()


async def test_a_command_works_only_while_no_server_does() -> None:
    async with site(MINUTES, NOW, page_limit=20, settings=BackfillSettings(lanes_max=2), call_s=2.0) as place:
        command = place.process(start=False)
        job = await command.manager.submit(INSTRUMENT, START_MS, END)
        command.manager.stand_in(job.id)
        await place.until(lambda: command.manager.working == (job.id,))
        server = place.process()
        await place.until(lambda: server.manager.working == (job.id,), within_s=10.0)
        assert command.manager.working == ()
        assert command.manager.repairing == {}
        await place.clock.advance(20.0)
        assert command.manager.working == ()
        await server.kill()
        await place.until(lambda: command.manager.working == (job.id,), within_s=12.0)
        server = place.process()
        await place.until(lambda: server.manager.working == (job.id,), within_s=10.0)
        await server.close()
        await place.until(lambda: command.manager.working == (job.id,), within_s=4.0)
        assert (await place.finished(job.id)).state == "done"
        assert_same(await stored(place), MINUTES.between(START_MS, END))
        await command.close()


async def test_a_server_outlives_the_command_that_asked() -> None:
    async with site(MINUTES, NOW, page_limit=20, call_s=1.0) as place:
        server, command = place.process(), place.process(start=False)
        await place.clock.advance(0.1)
        job = await command.manager.submit(INSTRUMENT, START_MS, END)
        command.manager.stand_in(job.id)
        await place.until(lambda: server.manager.working == (job.id,), within_s=10.0)
        assert command.manager.working == ()
        await command.kill()
        assert (await place.finished(job.id)).state == "done"
        await server.close()


async def test_two_processes_never_fetch_from_one_provider_at_once() -> None:
    async with site(MINUTES, NOW, call_s=1.0) as place:
        servers = [place.process() for _ in range(2)]
        jobs = [
            await server.manager.submit(INSTRUMENT, START_MS + day * DAY_MS, START_MS + (day + 1) * DAY_MS)
            for day, server in enumerate(servers)
        ]
        both_at_once = 0
        while any([(await place.job(job.id)).open for job in jobs]):
            both_at_once += all(server.manager.working for server in servers)
            await place.clock.advance(0.5)
        assert not both_at_once
        for server in servers:
            await server.close()
