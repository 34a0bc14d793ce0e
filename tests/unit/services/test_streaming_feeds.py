"""What a feed publishes: every bar's final state once and in order, whatever the venue does."""

from __future__ import annotations

import asyncio
import logging
import random

import numpy as np
import pytest

from tests.support.scripted_market import MARKET_DATA
from tests.unit.services.streaming_rig import START_MS, Rig, stream
from tests.unit.services.streaming_viewer import Viewer
from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.capabilities import Capability
from tradewright.domain.ticks import Trade
from tradewright.domain.timeframes import MINUTE_MS, TIMEFRAMES
from tradewright.plugins.base import BarUpdate, MarketPlugin
from tradewright.runtime.calendars import SessionCalendar

NATIVE = frozenset(c for c in MARKET_DATA if c.value.startswith("watch"))


def assert_same_bars(got: list[BarRow], expected: list[BarRow]) -> None:
    """Times and prices are equal to the bit; volume is a sum, made in another order."""
    assert [row[:5] for row in got] == [row[:5] for row in expected]
    assert [row[5] for row in got] == pytest.approx([row[5] for row in expected], rel=1e-12)


async def trade_for(rig: Rig, minutes: float, *, every_s: float = 7.0, seed: int = 1) -> None:
    """A market that moves for a while."""
    rng = random.Random(seed)
    end_s = rig.clock.monotonic() + minutes * 60
    while rig.clock.monotonic() < end_s:
        await rig.clock.advance(every_s * rng.uniform(0.5, 1.5))
        rig.venue.trade(round(rng.uniform(90, 110), 2), round(rng.uniform(0.1, 3), 3))


@pytest.mark.parametrize("flags", [True, False])
async def test_a_viewer_sees_the_minutes_as_they_form_and_close(flags: bool) -> None:
    async with Rig(flags=flags) as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream())
        await trade_for(rig, 5)
        await rig.clock.advance(70)
        assert viewer.series() == rig.venue.bars("1m")
        assert viewer.finals == [row[0] for row in rig.venue.bars("1m")][-len(viewer.finals) :]
        assert len(viewer.finals) >= 4
        assert viewer.states[-1] == "live"
        assert viewer.resyncs == []


@pytest.mark.parametrize("timeframe", list(TIMEFRAMES))
async def test_every_timeframe_is_made_from_the_minutes(timeframe: str) -> None:
    # Shortly before a month, a week's day, an hour and so every other timeframe but the week ends.
    start_ms = 1_698_796_800_000 - 11 * MINUTE_MS  # 2023-10-31 23:49
    async with Rig(start_ms=start_ms) as rig:
        for minute in range(45 * 24 * 6):  # 45 days of a trade every ten minutes, long before
            at = start_ms - (45 * 24 * 6 - minute) * 10 * MINUTE_MS
            rig.clock.jump_wall(at - rig.clock.now_ms())
            rig.venue.trades.append(_trade(minute, at))
        rig.clock.jump_wall(start_ms - rig.clock.now_ms())
        viewer = await rig.view(stream(timeframe=timeframe), history=100)
        await trade_for(rig, 16)
        await rig.clock.advance(10)
        expected = rig.venue.bars(timeframe)
        assert_same_bars(viewer.series(), expected[-len(viewer.series()) :])
        ended = timeframe != "1w"  # a Tuesday night
        assert bool(viewer.finals) == ended
        assert viewer.updates


def _trade(number: int, at_ms: int) -> Trade:
    return Trade(at_ms, f"old{number}", "sell", 100 + number % 17, 0.5 + number % 3)


async def test_a_month_is_seeded_by_whole_days_and_hours() -> None:
    async with Rig() as rig:
        await rig.view(stream(timeframe="1M"))
        await rig.until(lambda: len(rig.history.calls) >= 4)
        read = [key.timeframe for key in rig.history.calls]
        assert {"1d", "1h", "1m"} <= set(read)
        assert read.count("1m") == 1, "44,640 minutes are not read"


async def test_where_days_can_not_be_had_minutes_make_up_for_them() -> None:
    async with Rig() as rig:
        rig.history.missing_timeframes = {"1d", "1h"}
        for hours_ago in range(60, 0, -1):
            rig.venue.trades.append(_trade(hours_ago, START_MS - hours_ago * 60 * MINUTE_MS))
        viewer = await rig.view(stream(timeframe="1w"))
        rig.venue.trade(105)
        await rig.until(lambda: viewer.updates)
        assert_same_bars(viewer.series()[-1:], rig.venue.bars("1w")[-1:])


async def test_after_a_cut_the_hole_is_filled_bar_by_bar() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewers = [await rig.view(stream(timeframe=name)) for name in ("1m", "5m")]
        await trade_for(rig, 3)
        rig.venue.streams_up = rig.venue.rest_up = False
        rig.venue.cut()
        await trade_for(rig, 7, seed=2)
        for viewer in viewers:
            assert viewer.states[-1] == "down"
        rig.venue.streams_up = rig.venue.rest_up = True
        await trade_for(rig, 3, seed=3)
        await rig.clock.advance(400)
        for viewer, name in zip(viewers, ("1m", "5m"), strict=True):
            expected = rig.venue.bars(name)
            assert_same_bars(viewer.series(), expected)
            assert viewer.finals == [row[0] for row in expected], "each final once, none missing"
            assert viewer.resyncs == []
            assert viewer.states[-1] == "live"


async def test_a_short_cut_leaves_a_gap_of_at_most_three_seconds() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream())
        for _ in range(20):
            await rig.clock.advance(31)
            rig.venue.cut()
            await rig.clock.advance(3)
            rig.venue.trade(101)
            seen = viewer.seq
            rig.venue.trade(102)
            await rig.clock.advance(0.2)
            assert viewer.seq > seen
            assert viewer.states[-1] == "live"


async def test_polling_takes_over_and_the_stream_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream())
        rig.venue.streams_up = False
        rig.venue.cut()
        await trade_for(rig, 4)
        assert viewer.states[-1] == "polling"
        await rig.clock.advance(3)
        assert viewer.series() == rig.venue.bars("1m")
        rig.venue.streams_up = True
        await trade_for(rig, 2, seed=2)
        assert viewer.states[-1] == "live"
        calls = rig.venue.rest_calls
        await trade_for(rig, 2, seed=3)
        assert rig.venue.rest_calls - calls < 10, "nobody polls any more"
        await rig.clock.advance(70)
        assert viewer.series() == rig.venue.bars("1m")
        messages = [record.getMessage() for record in caplog.records]
        assert len(messages) == 2, f"the first failure and the recovery are logged, nothing else: {messages}"


async def test_without_a_native_stream_the_venue_is_polled() -> None:
    async with Rig() as rig:
        rig.venue.capabilities = MARKET_DATA - NATIVE
        rig.venue.trade(100)
        viewers = {kind: await rig.view(stream(kind)) for kind in ("ohlcv", "trades", "ticker", "order_book")}
        await trade_for(rig, 3)
        await rig.clock.advance(70)
        assert rig.venue.opened == 0
        assert {viewer.states[-1] for viewer in viewers.values()} == {"polling"}
        assert viewers["ohlcv"].series() == rig.venue.bars("1m")
        assert viewers["trades"].trades == rig.venue.trades
        last = rig.venue.trades[-1].price
        assert viewers["ticker"].last_price() == last
        assert viewers["order_book"].book().bids[0][0] == last - 1


@pytest.mark.parametrize("kind", ["ohlcv", "ticker", "order_book", "trades"])
async def test_a_stream_that_falls_silent_is_found_out_in_twenty_seconds(kind: str) -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream(kind))  # type: ignore[arg-type]
        await trade_for(rig, 1)
        rig.venue.mute = True
        silent_at = rig.clock.monotonic()
        rig.venue.trade(107, 5.0)
        opened = rig.venue.opened
        await rig.until(lambda: rig.venue.opened > opened, within_s=20)
        assert rig.clock.monotonic() - silent_at <= 20
        assert "stale" in viewer.states
        rig.venue.mute = False
        await trade_for(rig, 1, seed=2)
        assert viewer.states[-1] == "live"


@pytest.mark.parametrize("kind", ["ohlcv", "ticker", "order_book", "trades"])
@pytest.mark.parametrize("delay_s", [0.0, 5.0, 9.0, 14.0])
async def test_a_venue_that_freezes_as_a_whole_is_called_stale_in_twenty_seconds(
    kind: str, delay_s: float
) -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream(kind))  # type: ignore[arg-type]
        await rig.clock.advance(60 - delay_s)  # so that the minute ends at any time after the freezing
        rig.venue.trade(101)
        await rig.clock.advance(0.2)
        assert viewer.states[-1] == "live"
        rig.venue.mute, rig.venue.rest_delay_s = True, 3_600.0
        frozen_at = rig.clock.monotonic()
        await rig.until(lambda: viewer.states[-1] != "live", within_s=20)
        assert rig.clock.monotonic() - frozen_at <= 20
        assert viewer.statuses[-1].detail
        while rig.clock.monotonic() - frozen_at < 300:
            await rig.clock.advance(1)
            assert viewer.states[-1] in ("stale", "down"), "it is not called live in between"
        rig.venue.mute, rig.venue.rest_delay_s = False, 0.0
        await trade_for(rig, 3)
        assert viewer.states[-1] == "live"


async def test_a_slow_check_of_a_sound_stream_ends_the_doubt() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream("ticker"))
        rig.venue.rest_delay_s = 8.0
        await rig.clock.advance(100)
        assert rig.venue.opened == 1, "the stream is sound, and kept"
        assert viewer.states[-1] in ("live", "stale")
        rig.venue.rest_delay_s = 0.0
        await rig.clock.advance(30)
        assert viewer.states[-1] == "live"


async def test_a_stream_that_says_nothing_of_the_minute_in_which_it_began_is_left_in_peace() -> None:
    async with Rig() as rig:
        rig.venue.from_next_minute = True
        rig.venue.trade(100)
        await rig.clock.advance(61)
        viewer = await rig.view(stream())
        for price in range(101, 129):
            rig.venue.trade(price)
            await rig.clock.advance(2)
            assert viewer.series()[-1][4] > price - 8, "the minute is asked for meanwhile"
        for price in range(129, 160):
            rig.venue.trade(price)
            await rig.clock.advance(2)
        assert (viewer.states, rig.venue.opened) == (["live"], 1)
        assert viewer.series() == rig.venue.bars("1m")


@pytest.mark.parametrize("polled_first", [False, True])
async def test_a_stream_that_begins_with_the_next_minute_and_falls_silent_is_found_out(
    polled_first: bool,
) -> None:
    async with Rig() as rig:
        rig.venue.from_next_minute = True
        rig.venue.streams_up = not polled_first
        rig.venue.trade(100)
        viewer = await rig.view(stream())
        if polled_first:
            await rig.until(lambda: viewer.states[-1:] == ["polling"])
            rig.venue.streams_up = True
        for price in range(101, 181):
            rig.venue.trade(price)
            await rig.clock.advance(1)
        await rig.until(lambda: viewer.states[-1] == "live", within_s=60)
        opened = rig.venue.opened
        rig.venue.mute = True
        for price in range(181, 201):
            rig.venue.trade(price)
            await rig.clock.advance(1)
        assert rig.venue.opened > opened


async def test_a_quiet_symbol_on_a_sound_stream_is_left_in_peace() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream())
        await rig.clock.advance(600)
        assert rig.venue.opened == 1
        assert viewer.states == ["live"]
        assert viewer.finals == [START_MS]
        assert rig.venue.rest_calls < 60


@pytest.mark.parametrize("timeframe", ["1m", "3m", "5m"])
@pytest.mark.parametrize("into_s", [0.5, 4.0, 6.5, 35.0, 59.0])
async def test_no_final_is_told_of_a_bar_that_had_settled_when_the_feed_began(
    timeframe: str, into_s: float
) -> None:
    # 22:15 is the beginning of a bar of all three.
    async with Rig(start_ms=START_MS - 9 * MINUTE_MS) as rig:
        for _ in range(60):
            rig.venue.trade(100 + random.random())
            await rig.clock.advance(10)
        assert rig.clock.now_ms() == START_MS + MINUTE_MS
        rig.venue.trade(100)
        await rig.clock.advance(into_s)
        began_ms = rig.clock.now_ms()
        rig.venue.rest_delay_s = 1.0  # the snapshot is there before the feed
        viewer = await rig.view(stream(timeframe=timeframe))
        assert viewer.seq == 0
        await trade_for(rig, 7)
        await rig.clock.advance(20)
        length_ms = TIMEFRAMES[timeframe].length_ms
        ended = [time + length_ms for time in viewer.finals]
        assert ended[0] > began_ms - MarketPlugin.settling_ms - 1_000
        assert ended == list(range(ended[0], ended[-1] + 1, length_ms)), "and none is left out"
        assert ended[0] <= began_ms + length_ms
        assert_same_bars(viewer.series(), rig.venue.bars(timeframe))


async def test_the_end_of_a_bar_is_told_that_came_after_the_snapshot_of_a_slow_feed() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        await rig.clock.advance(59)
        rig.markets.calendar_delay_s = 8.0  # the feed begins long after the minute has settled
        rig.history.after = lambda: 1.5  # and the snapshot was read before the minute's last trade
        viewer = Viewer()
        connection = rig.service.connect(viewer, "early")
        topic = await rig.service.subscribe(connection, stream())
        opening = asyncio.create_task(rig.service.open(connection, topic))
        await rig.clock.advance(0.5)
        rig.venue.trade(111, tell=False)
        await rig.clock.advance(2)
        await opening
        assert viewer.snapshot_rows()[-1][4] == 100
        await rig.clock.advance(20)
        assert viewer.series() == rig.venue.bars("1m")
        assert viewer.finals == [START_MS]


async def test_an_unclosed_minute_that_the_venue_calls_closed_stays_open() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream())
        await rig.clock.advance(10)
        row = (START_MS, 100.0, 101.0, 100.0, 101.0, 2.0)
        rig.venue.send("ohlcv", BarUpdate(Bars.from_rows([row]), True))
        await rig.clock.advance(1)
        assert viewer.finals == []
        assert viewer.rows[START_MS] == row


async def test_minutes_out_of_order_and_twice_change_nothing() -> None:
    rng = random.Random(5)
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream(timeframe="5m"))
        sent: list[BarUpdate] = []
        for _ in range(200):
            await rig.clock.advance(rng.uniform(1, 9))
            rig.venue.trade(rng.uniform(90, 110), 1.0)
            sent.append(BarUpdate(rig.venue.minutes()[-1:], False))
            for _ in range(3):
                rig.venue.send("ohlcv", rng.choice(sent[-30:]))
        await rig.clock.advance(400)
        assert_same_bars(viewer.series(), rig.venue.bars("5m"))


async def test_a_late_correction_reaches_the_open_higher_bar() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream(timeframe="1h"))
        minutes = await rig.view(stream())
        await rig.clock.advance(61)
        rig.venue.trade(100)
        await rig.until(lambda: viewer.updates)
        high = (START_MS, 100.0, 150.0, 100.0, 100.0, 4.0)
        rig.venue.corrects = True
        rig.venue.send("ohlcv", BarUpdate(Bars.from_rows([high]), True))
        await rig.clock.advance(1)
        assert viewer.series()[-1][2] == 150.0
        assert viewer.series()[-1][5] == 5.0, "the corrected minute's volume counts once"
        assert minutes.corrections == [high], "the bar is told once more, final"
        assert minutes.series()[0] == high


async def test_a_minute_that_history_does_not_have_yet_counts_in_the_open_higher_bar() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        await rig.view(stream())
        await rig.clock.advance(61)
        rig.venue.trade(101)
        await rig.clock.advance(1)
        rig.history.hidden_from_ms = START_MS  # the feed knows the minute, the history does not
        viewer = await rig.view(stream(timeframe="1h"))
        rig.venue.trade(102)
        await rig.clock.advance(1)
        assert_same_bars(viewer.series(), rig.venue.bars("1h"))


async def test_forming_states_are_told_ten_times_a_second_and_the_last_is_never_lost() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream())
        before = len(viewer.updates)
        for _ in range(1_000):
            await rig.clock.advance(0.002)
            rig.venue.trade(100 + random.random())
        await rig.clock.advance(0.2)
        assert len(viewer.updates) - before <= 22
        assert viewer.series() == rig.venue.bars("1m")


async def test_a_hole_that_can_not_be_filled_begins_a_new_epoch_and_not_a_silent_gap() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream())
        await trade_for(rig, 2)
        epoch = viewer.epoch
        rig.venue.streams_up = rig.venue.rest_up = False
        rig.venue.cut()
        await trade_for(rig, 5, seed=2)
        rig.venue.streams_up = True
        await trade_for(rig, 5, seed=3)
        rig.venue.rest_up = True
        await rig.until(lambda: viewer.epoch > epoch and not viewer.awaiting, within_s=120)
        assert "epoch_changed" in viewer.resyncs


async def test_a_new_reason_is_told_though_the_state_stays(caplog: pytest.LogCaptureFixture) -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream("ticker"))
        rig.venue.streams_up = rig.venue.rest_up = False
        rig.venue.cut()
        await rig.until(lambda: viewer.states[-1] == "down", within_s=60)
        told = len(viewer.statuses)
        rig.venue.problem = "the venue is under maintenance"
        await rig.until(lambda: viewer.statuses[-1].detail == rig.venue.problem, within_s=120)
        assert viewer.states[-1] == "down"
        await rig.clock.advance(300)
        assert len(viewer.statuses) - told <= 4, "and not again and again"
        assert len(caplog.records) == 1, "one failure is logged once"


async def test_a_closed_market_says_when_it_opens() -> None:
    opens = np.array([START_MS + 3_600_000], dtype=np.int64)
    closes = np.array([START_MS + 7_200_000], dtype=np.int64)
    async with Rig(calendar=SessionCalendar(opens, closes)) as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream())
        await rig.clock.advance(1800)
        assert viewer.states == ["closed"]
        assert viewer.statuses[-1].opens_at == "2023-11-14T23:14:00Z"
        await rig.clock.advance(1801)
        assert viewer.states[-1] == "live"


async def test_an_unreachable_venue_is_down_and_recovers() -> None:
    async with Rig() as rig:
        rig.venue.streams_up = rig.venue.rest_up = False
        viewer = await rig.view(stream("ticker"), Viewer())
        assert viewer.snapshots[0].problems
        await rig.clock.advance(60)
        assert viewer.states[-1] == "down"
        assert viewer.statuses[-1].detail
        rig.venue.streams_up = rig.venue.rest_up = True
        rig.venue.trade(100)
        await rig.until(lambda: viewer.states[-1] == "live", within_s=90)
        assert viewer.last_price() == 100


async def test_a_plugin_without_the_streams_ask_capability_still_streams() -> None:
    async with Rig() as rig:
        rig.venue.capabilities = frozenset({Capability.WATCH_TRADES})
        viewer = await rig.view(stream("trades"))
        await trade_for(rig, 2)
        await rig.clock.advance(1)
        assert viewer.trades == rig.venue.trades
        assert rig.venue.rest_calls == 0
