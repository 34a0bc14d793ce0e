"""What becomes of a stretch for which the venue answers with nothing."""

from __future__ import annotations

import pytest

from tests.support.houses import DAYS, NOW, House, house, series
from tests.support.ledger import START_MS, random_minutes, unreachable
from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import Coverage
from tradewright.domain.timeframes import HOUR_MS, MINUTE_MS, ONE_MINUTE
from tradewright.services.data_orchestrator import BarsAnswer

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


async def test_a_venue_of_one_symbol_has_nobody_to_be_compared_with() -> None:
    assert reasons(await twice(venue(others={}))) == {"no_trades"}


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
