"""What becomes of a stretch for which the venue answers with nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.houses import DAYS, NOW, House, house, series
from tests.support.ledger import START_MS, LedgerPlugin, random_minutes, unreachable
from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import Coverage, SeriesBars
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, ONE_MINUTE, TIMEFRAMES
from tradewright.plugins.base import VenueStatus
from tradewright.services.data_orchestrator import BarsAnswer
from tradewright.services.data_sources.plugin import NO_LISTING_S

# Longer than the ten pages of a hundred minutes of which the stretches below consist.
SILENT = IntervalSet.single(START_MS + 20 * HOUR_MS, START_MS + 40 * HOUR_MS)
ASKED = (START_MS + 25 * HOUR_MS, START_MS + 30 * HOUR_MS)
EARLY = random_minutes(5, DAYS * 1440, quiet=0)
LATER_MS = 10 * MINUTE_MS


def without(bars: Bars, silent: IntervalSet) -> Bars:
    ((start, end),) = silent
    return bars.take((bars.time < start) | (bars.time >= end))


def venue(*, others: dict[str, Bars]) -> House:
    return house(without(EARLY, SILENT), NOW, page_limit=100, others=others)


async def ask(place: House) -> BarsAnswer:
    return await place.ask("1m", *ASKED, limit=1_000)


def reasons(answer: BarsAnswer) -> set[str]:
    return {gap.reason for gap in answer.gaps}


async def test_one_empty_answer_proves_nothing() -> None:
    place = venue(others={"ETH/USDT": EARLY})
    answer = await ask(place)
    assert reasons(answer) == {"not_fetched"}
    assert not answer.final
    assert await place.bars.coverage(series("1m"), *ASKED) == Coverage()
    assert await place.bars.empty_answers(series("1m"), *ASKED)


async def test_within_ten_minutes_the_venue_is_not_asked_again() -> None:
    place = venue(others={"ETH/USDT": EARLY})
    await ask(place)
    first = len(place.plugin.requests)
    noted = await place.bars.empty_answers(series("1m"), *ASKED)
    await place.clock.advance(LATER_MS / 1000 - 1)
    place.restart()
    answer = await ask(place)
    assert reasons(answer) == {"not_fetched"}
    asked_again = [request for request in place.plugin.requests[first:] if request[0] == "1m"]
    assert all(
        IntervalSet.single(start, end).intersect(IntervalSet.of((e.start, e.end) for e in noted))
        != IntervalSet.single(start, end)
        for _, start, end in asked_again
    )


async def test_a_second_empty_answer_is_a_time_without_trades_where_others_were_traded() -> None:
    place = venue(others={"ETH/USDT": EARLY, "XRP/USDT": without(EARLY, SILENT)})
    assert reasons(await twice(place)) == {"no_trades"}
    known = await place.bars.coverage(series("1m"), *ASKED)
    assert known == Coverage(complete=IntervalSet.single(*ASKED))


async def test_a_second_empty_answer_is_an_outage_where_all_others_were_silent_too() -> None:
    quiet = without(EARLY, SILENT)
    place = venue(others={"ETH/USDT": quiet, "XRP/USDT": quiet})
    answer = await twice(place)
    assert reasons(answer) == {"outage"}
    assert await place.bars.coverage(series("1m"), *ASKED) == Coverage(outage=IntervalSet.single(*ASKED))
    asked = len(place.plugin.requests)
    again = await ask(place)
    assert (reasons(again), len(place.plugin.requests)) == ({"outage"}, asked), "known is not asked for"


async def test_a_read_of_many_pages_does_not_prove_a_silence_at_its_end() -> None:
    quiet = without(EARLY, SILENT)
    place = venue(others={"ETH/USDT": quiet, "XRP/USDT": quiet})
    ((silent_from, _),) = SILENT
    wide = (silent_from - 5 * HOUR_MS, ASKED[1])
    expected = []
    for _ in range(2):
        answer = await place.ask("1m", *wide, limit=5_000)
        expected.append({gap.reason for gap in answer.gaps if gap.end > ASKED[0]})
        await place.clock.advance(LATER_MS / 1000)
    assert expected == [{"not_fetched"}, {"outage"}]


async def test_an_empty_page_after_a_full_one_proves_nothing_up_to_what_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = house(EARLY, NOW, page_limit=100)
    start, end = ASKED[0], ASKED[0] + 600 * MINUTE_MS
    for known in (IntervalSet.single(start - HOUR_MS, start), IntervalSet.single(end, end + HOUR_MS)):
        await place.bars.write(SeriesBars(series("1m"), EARLY.inside(known), known))
    whole, pages = place.plugin.fetch_ohlcv, list[int]()

    async def second_page_is_empty(self: LedgerPlugin, *asked: Any, **more: Any) -> Bars:
        pages.append(len(pages))
        page = await whole(self, *asked, **more)
        return Bars.empty() if pages[-1] == 1 else page

    monkeypatch.setattr(place.plugin, "fetch_ohlcv", second_page_is_empty)
    answer = await place.ask("1m", start, end, limit=1_000)
    assert len(pages) > 1
    assert reasons(answer) == {"not_fetched"}
    await place.clock.advance(LATER_MS / 1000 + 1)
    answer = await place.ask("1m", start, end, limit=1_000)
    assert answer.bars.time.tolist() == EARLY.between(start, end).time.tolist()
    assert "not_fetched" not in reasons(answer)


async def test_a_venue_of_one_symbol_has_nobody_to_be_compared_with() -> None:
    assert reasons(await twice(venue(others={}))) == {"no_trades"}


async def test_a_neighbour_that_was_delisted_tells_nothing_and_the_next_one_is_asked() -> None:
    place = venue(others={"AAA/USDT": EARLY, "BBB/USDT": EARLY})
    await ask(place)
    del place.plugin.others["AAA/USDT"]  # it is still among the symbols that are stored
    await place.clock.advance(LATER_MS / 1000 + 1)
    assert reasons(await ask(place)) == {"no_trades"}
    assert place.plugin.beside.count("BBB/USDT") == 1


async def test_what_is_stored_of_another_symbol_is_evidence_enough() -> None:
    place = venue(others={"XRP/USDT": EARLY})
    await place.orchestrator.get_bars(
        InstrumentKey("crypto", "ledger", "XRP/USDT").series(ONE_MINUTE), start_ms=ASKED[0], limit=10
    )
    assert reasons(await twice(place)) == {"no_trades"}


async def test_a_real_gap_costs_three_calls_and_then_no_more_for_days() -> None:
    place = venue(others={"ETH/USDT": without(EARLY, SILENT)})
    inside = IntervalSet.single(*ASKED)
    for _ in range(3 * 24):
        await ask(place)
        await place.clock.advance(1_200)
    calls = [
        request
        for request in place.plugin.requests
        if IntervalSet.single(request[1], request[2]).intersect(inside).length_ms > 0
    ]
    pages = inside.length_ms // (100 * MINUTE_MS) + 2
    assert len(calls) <= 3 * pages


async def test_a_venue_that_fails_at_the_second_look_leaves_the_stretch_unknown() -> None:
    place = venue(others={"ETH/USDT": EARLY})
    await ask(place)
    await place.clock.advance(LATER_MS / 1000)
    place.plugin.failure = unreachable()
    answer = await ask(place)
    assert reasons(answer) == {"not_fetched"}
    assert [problem.code for problem in answer.problems] == ["provider_unavailable"]
    place.plugin.failure = None
    await place.clock.advance(10)
    assert reasons(await ask(place)) == {"no_trades"}


@pytest.mark.parametrize("minutes_ago", [1, 30, 60])
async def test_silence_up_to_the_present_is_no_suspicion(minutes_ago: int) -> None:
    """Nothing was traded since: that is an answer now, and may be another one a moment later."""
    quiet_since = NOW - minutes_ago * MINUTE_MS
    place = house(EARLY.between(0, quiet_since), NOW, page_limit=1_000)
    answer = await place.ask("1m", limit=50)
    assert len(answer.bars) == 50
    assert "not_fetched" not in reasons(answer)
    assert await place.bars.empty_answers(series("1m"), NOW - 5 * MINUTE_MS, NOW) == ()


async def test_long_silence_up_to_the_present_is_judged_like_any_other() -> None:
    place = house(EARLY.between(0, NOW - 600 * MINUTE_MS), NOW, page_limit=1_000)
    for _ in range(3):
        answer = await place.ask("1m", limit=50)
        assert len(answer.bars) == 50
        await place.clock.advance(LATER_MS / 1000)
    assert reasons(answer) == {"no_trades"}


async def twice(place: House) -> BarsAnswer:
    """The answer after the second look."""
    await ask(place)
    await place.clock.advance(LATER_MS / 1000)
    return await ask(place)


QUIET = without(EARLY, SILENT)
# An instrument of which something is stored from before, so that nobody has to ask for its listing.
BEFORE = (START_MS, START_MS + HOUR_MS)


async def ask_before(place: House) -> None:
    await place.ask("1m", *BEFORE)
    place.plugin.beside.clear()


async def test_the_most_traded_symbol_of_the_venue_speaks_for_all() -> None:
    place = venue(others={"AAA/USDT": QUIET, "ETH/USDT": EARLY, "XRP/USDT": QUIET})
    place.plugin.ranking = ("BTC/USDT", "GONE/USDT", "ETH/USDT", "XRP/USDT")
    await ask_before(place)
    assert reasons(await twice(place)) == {"no_trades"}
    assert place.plugin.beside == ["ranking", "ETH/USDT"]


async def test_without_a_ranking_the_order_of_the_listing_counts() -> None:
    place = venue(others={"AAA/USDT": QUIET, "BBB/USDT": QUIET, "CCC/USDT": EARLY, "DDD/USDT": EARLY})
    await ask_before(place)
    assert reasons(await twice(place)) == {"no_trades"}
    assert place.plugin.beside == ["ranking", "AAA/USDT", "BBB/USDT", "CCC/USDT"]


async def test_what_a_neighbour_said_is_remembered() -> None:
    place = venue(others={"ETH/USDT": QUIET, "XRP/USDT": QUIET})
    place.plugin.ranking = ("ETH/USDT",)
    await ask_before(place)
    assert reasons(await twice(place)) == {"outage"}
    asked = list(place.plugin.beside)
    assert asked == ["ranking", "ETH/USDT"]
    part = (ASKED[0] + HOUR_MS, ASKED[1])
    await place.bars.note_empty(place_key("XRP/USDT"), IntervalSet.single(*part), NOW - LATER_MS)
    await place.bars.write(
        SeriesBars(place_key("XRP/USDT"), QUIET.between(*BEFORE), IntervalSet.single(*BEFORE))
    )
    await place.orchestrator.get_bars(place_key("XRP/USDT"), start_ms=part[0], end_ms=part[1])
    assert "ETH/USDT" not in place.plugin.beside[len(asked) :]
    known = await place.bars.coverage(place_key("XRP/USDT"), *part)
    assert known.outage == IntervalSet.single(*part)


def place_key(symbol: str) -> SeriesKey:
    return InstrumentKey("crypto", "ledger", symbol).series(ONE_MINUTE)


async def test_a_real_gap_costs_three_calls_in_all() -> None:
    """Two for the gap itself and one for the most traded neighbour; the ranking is the venue's own."""
    hole = (START_MS + 30 * HOUR_MS, START_MS + 31 * HOUR_MS)
    gone = without(EARLY, IntervalSet.single(*hole))
    place = house(gone, NOW, page_limit=60, others={"ETH/USDT": gone, "XRP/USDT": gone})
    place.plugin.ranking = ("BTC/USDT", "ETH/USDT")
    await place.ask("1m", hole[0] - HOUR_MS, hole[0], limit=500)
    await place.ask("1m", hole[1], hole[1] + 6 * HOUR_MS, limit=500)
    await ask_before(place)
    place.plugin.requests.clear()
    for _ in range(3 * 24):
        answer = await place.ask("1m", *hole)
        await place.clock.advance(1_200)
    assert reasons(answer) == {"outage"}
    assert place.plugin.beside == ["ranking", "ETH/USDT"]
    assert len(place.plugin.requests) <= 2


@pytest.mark.parametrize(("status", "reason"), [("down", "outage"), ("up", "no_trades"), (None, "no_trades")])
async def test_a_venue_of_one_symbol_is_asked_how_it_is(status: VenueStatus | None, reason: str) -> None:
    place = house(EARLY.between(0, NOW - 600 * MINUTE_MS), NOW, page_limit=1_000)
    place.plugin.status = status
    since = NOW - 400 * MINUTE_MS  # far behind the last bar: of what lies between nothing is known
    for _ in range(2):
        await place.ask("1m", since, limit=1_000)
        await place.clock.advance(LATER_MS / 1000)
    answer = await place.ask("1m", since, NOW - 60 * MINUTE_MS)
    assert reasons(answer) == {reason}


async def test_its_status_of_now_says_nothing_of_a_silence_that_has_ended() -> None:
    place = venue(others={})
    place.plugin.status = "down"
    assert reasons(await twice(place)) == {"no_trades"}
    assert "status" not in place.plugin.beside


async def test_where_a_venue_does_not_tell_its_beginning_it_is_not_asked_time_and_again() -> None:
    place = house(Bars.empty(), NOW)
    for _ in range(5):
        await place.ask("1m", limit=10)
    assert place.plugin.beside.count("first bar") == 1
    await place.clock.advance(NO_LISTING_S)
    await place.ask("1m", limit=10)
    assert place.plugin.beside.count("first bar") == 2


async def test_the_beginning_is_found_in_few_steps() -> None:
    minutes = random_minutes(4, 40 * 1440, quiet=0.5, start_ms=START_MS + 3 * DAY_MS + 7 * HOUR_MS)
    place = house(minutes, START_MS + 40 * DAY_MS, page_limit=1_000, native=tuple(TIMEFRAMES))
    answer = await place.ask("1m", 0, limit=5)
    assert int(answer.bars.time[0]) == int(minutes.time[0])
    assert place.plugin.beside.count("first bar") <= 4


async def test_trades_so_far_are_an_answer_for_now_that_is_nowhere_kept() -> None:
    quiet_since = NOW - 30 * MINUTE_MS
    place = house(EARLY.between(0, quiet_since), NOW, page_limit=1_000)
    await place.ask("1m", limit=50)
    answer = await place.ask("1m", limit=50)  # its page is wholly empty, behind what is known
    assert {gap.reason for gap in answer.gaps if gap.end > quiet_since} == {"no_trades"}
    assert not answer.final
    known = (await place.bars.coverage(series("1m"), START_MS, NOW)).known
    assert known.items[-1].end <= quiet_since
