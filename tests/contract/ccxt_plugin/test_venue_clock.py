"""Signing by the venue's clock, however wrong ours is."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.ccxt_plugin.rig import CAPTURE, CREATE, SYMBOL, order_request, refusal, trader_on
from tests.venues.binance import BinanceVenue
from tradewright.domain.errors import NetworkPluginError, PluginError
from tradewright.plugins.ccxt import CCXTPlugin
from tradewright.runtime.clock import SystemClock
from tradewright.testing.clock import DrivenClock


class WrongClock(SystemClock):
    """A machine's clock that is wrong by so much, which tests may set anew."""

    def __init__(self, wrong_by_ms: int = 0) -> None:
        self.wrong_by_ms = wrong_by_ms

    def now_ms(self) -> int:
        return super().now_ms() + self.wrong_by_ms


@pytest.mark.parametrize("wrong_by_ms", [-3_600_000, -30_000, 30_000, 3_600_000])
async def test_orders_pass_with_a_wrong_clock(venue: BinanceVenue, wrong_by_ms: int) -> None:
    async with trader_on(venue, clock=WrongClock(wrong_by_ms)) as plugin:
        for number in range(3):
            await plugin.create_order(order_request(f"tw-{number}"))
        assert abs(await plugin.venue_time_ms() - venue.time.now_ms()) < 500
    assert venue.trading.requests[CREATE] == len(venue.ledger.orders) == 3
    assert venue.trading.max_skew_ms < 1_000
    assert venue.requests("time") == 1


@pytest.mark.parametrize("jump_ms", [-3_600_000, -30_000, 30_000, 3_600_000])
async def test_setting_our_clock_moves_no_signature_and_freezes_nothing(
    venue: BinanceVenue, jump_ms: int
) -> None:
    clock = WrongClock()
    async with trader_on(venue, clock=clock) as plugin:
        await plugin.create_order(order_request("tw-1"))
        clock.wrong_by_ms = jump_ms
        for number in range(2, 5):
            await plugin.create_order(order_request(f"tw-{number}"))
    assert len(venue.ledger.orders) == 4
    assert venue.trading.requests[CREATE] == 4
    assert venue.trading.max_skew_ms < 1_000


async def test_a_read_that_came_at_the_wrong_time_is_made_once_more_by_a_new_measurement(
    venue: BinanceVenue, trader: CCXTPlugin
) -> None:
    await trader.fetch_balances()
    trader._venue_clock._not_before_s = trader.clock.monotonic()  # the measurement is old enough
    rule = venue.faults.answer("/api/v3/account", status=400, body=refusal(-1021, "Too late."))
    assert await trader.fetch_balances()
    assert rule.used == 1
    assert venue.requests("time") == 2


async def test_a_venue_that_never_accepts_our_time_is_no_loop(
    venue: BinanceVenue, trader: CCXTPlugin
) -> None:
    await trader.fetch_balances()
    rule = venue.faults.answer("/api/v3/account", status=400, body=refusal(-1021, "Too late."), times=None)
    trader._venue_clock._not_before_s = trader.clock.monotonic()
    for _ in range(3):
        with pytest.raises(NetworkPluginError):
            await trader.fetch_balances()
    assert rule.used == 4, "twice at first, then once each"
    assert venue.requests("time") == 2


async def test_an_order_that_came_at_the_wrong_time_is_refused_and_the_next_one_right(
    venue: BinanceVenue, trader: CCXTPlugin
) -> None:
    await trader.create_order(order_request("tw-1"))
    trader._venue_clock._not_before_s = trader.clock.monotonic()
    measured = trader._venue_clock._measured
    assert measured is not None
    drifted_ms = measured.venue_ms - 60_000
    trader._venue_clock._measured = measured._replace(venue_ms=drifted_ms)
    with pytest.raises(PluginError, match="InvalidNonce") as caught:
        await trader.create_order(order_request("tw-2"))
    assert type(caught.value) is PluginError
    await trader.create_order(order_request("tw-3"))
    assert [order.client_id for order in venue.ledger.orders.values()] == ["tw-1", "tw-3"]
    assert venue.trading.requests[CREATE] == 3


async def test_the_offset_is_measured_each_five_minutes() -> None:
    clock = DrivenClock()
    async with BinanceVenue(CAPTURE, lead_in_s=5) as venue, trader_on(venue, clock=clock) as plugin:
        for minutes, measured in ((0, 1), (4, 1), (2, 2), (4, 2), (2, 3)):
            await clock.advance(minutes * 60)
            await plugin.venue_time_ms()
            assert venue.requests("time") == measured
        assert abs(await plugin.venue_time_ms() - venue.time.now_ms()) < 1_000


async def test_a_measurement_during_which_the_machine_slept_counts_for_nothing() -> None:
    clock = DrivenClock()
    async with BinanceVenue(CAPTURE, lead_in_s=5) as venue, trader_on(venue, clock=clock) as plugin:
        before_ms = await plugin.venue_time_ms()
        await clock.advance(301)
        rule = venue.faults.delay(0.3, "/api/v3/time")
        asking = asyncio.create_task(plugin.venue_time_ms())
        async with asyncio.timeout(10):
            while not rule.used:  # noqa: ASYNC110  nothing tells when the question has arrived
                await asyncio.sleep(0)
        clock.jump_wall(3_600_000)
        assert abs(await asking - before_ms - 301_000) < 1_000


async def test_a_venue_without_a_clock_leaves_ours(venue: BinanceVenue, trader: CCXTPlugin) -> None:
    venue.faults.unavailable("/api/v3/time", times=None)
    assert (await trader.create_order(order_request())).client_order_id == "tw-1"
    assert await trader.fetch_open_orders(SYMBOL)


async def test_what_was_measured_is_known_without_asking(venue: BinanceVenue) -> None:
    clock = WrongClock(90_000)
    async with trader_on(venue, clock=clock) as plugin:
        assert plugin.measured_time_ms() is None
        await plugin.venue_time_ms()
        measured_ms = plugin.measured_time_ms()
        assert measured_ms is not None
        assert abs(measured_ms - venue.time.now_ms()) < 500
        clock.wrong_by_ms = 0
        assert plugin.measured_time_ms() is None, "our clocks have parted: nobody knows which is right"


@pytest.mark.parametrize("wrong_by_ms", [-3_600_000, 3_600_000])
async def test_a_venue_that_tells_no_time_is_known_by_the_dates_of_its_answers(
    venue: BinanceVenue, wrong_by_ms: int
) -> None:
    async with trader_on(venue, clock=WrongClock(wrong_by_ms)) as plugin:
        assert plugin.time_is_guessed
        (await plugin._open()).has["fetchTime"] = False
        await plugin.venue_time_ms()
        assert not plugin.time_is_guessed
        now_ms = await plugin.venue_time_ms()
        assert venue.time.now_ms() - 3_000 < now_ms == plugin.measured_time_ms() <= venue.time.now_ms()
        assert venue.requests("time") == 0
