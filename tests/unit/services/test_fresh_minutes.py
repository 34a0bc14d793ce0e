"""Trades move the minute at work where the venue's own bars come late, and never close anything."""

from __future__ import annotations

import random

from tests.unit.services.streaming_rig import START_MS, Rig, stream
from tradewright.domain.bars import BarRow
from tradewright.domain.ticks import Trade
from tradewright.domain.timeframes import MINUTE_MS
from tradewright.plugins.base import BarUpdate
from tradewright.services.feeds.fresh_minutes import FreshMinutes


def trade(second: float, price: float, amount: float = 1.0) -> Trade:
    return Trade(START_MS + round(second * 1000), str(second), "buy", price, amount)


def venues(close: float, volume: float) -> BarRow:
    return (START_MS, 100.0, max(100.0, close), min(100.0, close), close, volume)


def test_trades_since_the_venue_spoke_move_its_bar() -> None:
    fresh = FreshMinutes()
    fresh.begin(START_MS - 1)
    fresh.trade(trade(1, 101.0))
    assert fresh.forming(None, START_MS) == (START_MS, 101.0, 101.0, 101.0, 101.0, 1.0)
    fresh.told(START_MS)
    assert fresh.forming(venues(101.0, 1.0), START_MS) is None, "the venue knows that trade"
    fresh.trade(trade(2, 99.0, 2.0))
    fresh.trade(trade(3, 98.0, 3.0))
    assert fresh.forming(venues(101.0, 1.0), START_MS) == (START_MS, 100.0, 101.0, 98.0, 98.0, 6.0)


def test_a_minute_of_which_trades_are_missing_is_not_made_of_trades_alone() -> None:
    fresh = FreshMinutes()
    fresh.begin(START_MS + 30_000)
    fresh.trade(trade(31, 101.0))
    assert fresh.forming(None, START_MS) is None
    assert fresh.forming(venues(100.0, 1.0), START_MS) is not None
    fresh.trade(trade(61, 102.0))
    assert fresh.forming(None, START_MS + MINUTE_MS) == (START_MS + MINUTE_MS, *([102.0] * 4), 1.0)


async def test_a_chart_moves_with_each_trade_and_ends_as_the_venue_says() -> None:
    rng = random.Random(5)
    async with Rig() as rig:
        venue = rig.venue
        venue.late_bars = True
        venue.trade(100)
        viewer, five = await rig.view(stream()), await rig.view(stream(timeframe="5m"))
        venue.trade(100)
        told_at_s = rig.clock.monotonic()
        for _ in range(900):
            await rig.clock.advance(rng.uniform(0.2, 0.9))
            venue.end_minutes()
            one = venue.trade(round(rng.uniform(90, 110), 2), tell=False)
            venue.send("trades", [one])
            await rig.clock.advance(0.15)
            late = rig.clock.monotonic() - told_at_s > 2
            at = one.time // MINUTE_MS * MINUTE_MS
            if at in viewer.rows:
                assert viewer.rows[at][4] == one.price, "the last price is shown at once"
                assert five.series()[-1][4] == one.price
            if late:
                told_at_s = rig.clock.monotonic()
                venue.send("ohlcv", BarUpdate(venue.minutes()[-1:], False))
                await rig.clock.advance(0.11)
                assert viewer.rows[at] == venue.bars("1m")[-1], "the venue's bar takes its place"
        await rig.clock.advance(20)
        for one_viewer, name in ((viewer, "1m"), (five, "5m")):
            assert [row[:5] for row in one_viewer.series()] == [row[:5] for row in venue.bars(name)]
        assert viewer.corrections == five.corrections == []


async def test_trades_are_followed_while_bars_are_watched_and_no_longer() -> None:
    async with Rig() as rig:
        rig.venue.late_bars = True
        viewer = await rig.view(stream())
        await rig.clock.advance(1)
        assert rig.venue.open_now == 2
        rig.service.disconnect(rig.connections[id(viewer)])
        await rig.clock.advance(40)
        assert rig.venue.open_now == 0


async def test_a_stream_of_trades_that_fails_leaves_the_bars_alone() -> None:
    async with Rig() as rig:
        rig.venue.late_bars = True
        rig.venue.trade(100)
        viewer = await rig.view(stream())
        rig.venue.cut("trades")
        for _ in range(20):
            await rig.clock.advance(4)
            rig.venue.trade(101)
        await rig.clock.advance(1)
        assert viewer.states == ["live"]
        assert [row[:5] for row in viewer.series()] == [row[:5] for row in rig.venue.bars("1m")]
        assert rig.venue.open_now == 2
