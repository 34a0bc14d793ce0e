"""The venue's clock, measured, doubted, and steady where ours is set."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

import pytest

from tradewright.domain.errors import NetworkPluginError
from tradewright.plugins._venue_clock import CLOCK_LIFETIME_S, CLOCK_RETRY_S, DOUBT_AGAIN_S, VenueClock
from tradewright.testing.clock import DrivenClock


class Venue:
    """Its offset to the true time, and how often it was asked."""

    def __init__(self) -> None:
        self.offset_ms: int | None = 500
        self.asked = 0
        self.down = False

    async def measure(self) -> int | None:
        self.asked += 1
        await asyncio.sleep(0)
        if self.down:
            raise NetworkPluginError("down")
        return self.offset_ms


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock()


@pytest.fixture
def venue() -> Venue:
    return Venue()


async def test_it_is_measured_once_in_five_minutes(clock: DrivenClock, venue: Venue) -> None:
    steady = VenueClock("x", clock)
    assert steady.now_ms() == clock.now_ms()
    await asyncio.gather(*(steady.refresh(venue.measure) for _ in range(10)))
    assert venue.asked == 1
    assert steady.now_ms() == clock.now_ms() + 500
    await clock.advance(CLOCK_LIFETIME_S - 1)
    await steady.refresh(venue.measure)
    assert venue.asked == 1
    assert steady.now_ms() == clock.now_ms() + 500
    await clock.advance(2)
    await steady.refresh(venue.measure)
    assert venue.asked == 2


@pytest.mark.parametrize("jump_ms", [-3_600_000, -5_000, 5_000, 3_600_000])
async def test_a_jump_of_our_clock_moves_nothing_and_is_measured(
    clock: DrivenClock, venue: Venue, jump_ms: int
) -> None:
    steady = VenueClock("x", clock)
    await steady.refresh(venue.measure)
    before_ms = steady.now_ms()
    await clock.advance(DOUBT_AGAIN_S)
    clock.jump_wall(jump_ms)
    assert steady.now_ms() == before_ms + DOUBT_AGAIN_S * 1000
    venue.offset_ms = 500 - jump_ms
    await steady.refresh(venue.measure)
    assert venue.asked == 2
    assert steady.now_ms() == before_ms + DOUBT_AGAIN_S * 1000


async def test_a_venue_that_is_down_is_asked_once_a_minute(clock: DrivenClock, venue: Venue) -> None:
    steady = VenueClock("x", clock)
    venue.down = True
    for _ in range(5):
        await steady.refresh(venue.measure)
        steady.doubt()
    assert venue.asked == 1
    await clock.advance(CLOCK_RETRY_S)
    await steady.refresh(venue.measure)
    assert venue.asked == 2


async def test_doubt_is_worth_one_measurement_in_a_while(clock: DrivenClock, venue: Venue) -> None:
    steady = VenueClock("x", clock)
    await steady.refresh(venue.measure)
    assert not steady.doubt(), "it was measured just now"
    await clock.advance(DOUBT_AGAIN_S)
    assert steady.doubt()
    await steady.refresh(venue.measure)
    assert venue.asked == 2


async def test_a_venue_without_a_clock_has_ours(clock: DrivenClock, venue: Venue) -> None:
    steady = VenueClock("x", clock)
    venue.offset_ms = None
    await steady.refresh(venue.measure)
    clock.jump_wall(5_000)
    assert steady.now_ms() == clock.now_ms()


async def test_the_dates_of_answers_tell_what_the_venues_clock_has_passed(clock: DrivenClock) -> None:
    steady, true_ms = VenueClock("x", clock), clock.now_ms()
    for nonsense in (None, "", "soon", "Thu, 99 Nov 2024 12:01:00 GMT"):
        steady.heard(nonsense)
    assert not steady.is_known
    clock.jump_wall(3_600_000)
    for tenth in range(50):
        passed_ms = true_ms + tenth * 100
        steady.heard(formatdate(passed_ms // 1000, usegmt=True))
        measured_ms = steady.measured_ms()
        assert measured_ms is not None
        assert passed_ms - 1_000 < measured_ms == steady.past_ms() <= passed_ms
        await clock.advance(0.1)
    assert steady.now_ms() == clock.now_ms(), "nothing is signed by it"
    clock.jump_wall(-3_600_000)
    assert steady.measured_ms() is None, "our clocks have parted"
    steady.heard(formatdate(true_ms // 1000 + 5, usegmt=True))
    assert steady.measured_ms() == (true_ms // 1000 + 5) * 1000


async def test_what_was_measured_goes_before_the_dates_of_answers(clock: DrivenClock, venue: Venue) -> None:
    steady = VenueClock("x", clock)
    steady.heard(formatdate(clock.now_ms() // 1000 + 7_200, usegmt=True))
    await steady.refresh(venue.measure)
    assert steady.past_ms() == steady.measured_ms() == clock.now_ms() + 500
