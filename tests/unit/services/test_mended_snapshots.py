"""A snapshot that history failed to be part of is followed by a whole one, as soon as history can be read."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.services.streaming_rig import Answer, Rig, stream
from tests.unit.services.streaming_viewer import Viewer
from tradewright.domain.errors import (
    AuthenticationPluginError,
    CredentialsRequired,
    NetworkPluginError,
    PluginFeatureNotSupportedError,
    RateLimitPluginError,
    StorageUnavailable,
    TimeoutPluginError,
    TradewrightError,
    UnknownSymbol,
)
from tradewright.domain.streams import Problem
from tradewright.domain.timeframes import MINUTE_MS
from tradewright.services.feeds.hub import RETRIED_EACH_S


async def rig_with_a_past(rig: Rig) -> None:
    """Ten minutes were traded before anybody watched, and one trade is under way."""
    for _ in range(10):
        rig.venue.trade(100)
        await rig.clock.advance(60)
    rig.venue.trade(101)


async def test_who_came_while_history_could_not_be_read_gets_it_afterwards() -> None:
    async with Rig() as rig:
        await rig_with_a_past(rig)
        first = await rig.view(stream())  # the feed is live before history fails
        rig.history.failing = True
        await rig.clock.advance(5)
        late = await rig.view(stream(), Viewer())
        assert late.snapshots[-1].problems
        assert len(late.rows) < len(first.rows)
        await rig.clock.advance(300)
        assert len(late.snapshots) == 1, "nothing new can be told yet"

        rig.history.failing = False
        await rig.until(lambda: late.series() == first.series(), within_s=15)
        assert late.resyncs == ["epoch_changed"]
        assert late.snapshots[-1].problems == ()
        asked = len(rig.history.calls)
        await rig.clock.advance(300)
        assert (len(late.snapshots), len(first.snapshots)) == (2, 1), "who lacks nothing is left alone"
        assert len(rig.history.calls) == asked


LASTING = (AuthenticationPluginError, CredentialsRequired, PluginFeatureNotSupportedError, UnknownSymbol)
PASSING = (NetworkPluginError, TimeoutPluginError, RateLimitPluginError, StorageUnavailable)


async def late_viewer(rig: Rig, failure: Problem | TradewrightError) -> Viewer:
    """Who comes to a live feed whose history fails so."""
    await rig_with_a_past(rig)
    await rig.view(stream())
    rig.history.failing, rig.history.failure = True, failure
    await rig.clock.advance(5)
    late = await rig.view(stream(), Viewer())
    assert late.snapshots[-1].problems
    return late


@pytest.mark.parametrize("told", [True, False], ids=["told", "raised"])
@pytest.mark.parametrize("error", LASTING, ids=lambda error: error.code)
async def test_history_that_fails_for_good_is_left_alone(error: type[TradewrightError], told: bool) -> None:
    async with Rig() as rig:
        late = await late_viewer(rig, Problem("plugin", error.code, "no") if told else error("no"))
        asked = len(rig.history.calls)
        for price in range(102, 112):
            rig.venue.trade(price)
            await rig.clock.advance(60)
        assert len(rig.history.calls) == asked
        assert (len(late.snapshots), late.rows[max(late.rows)][4]) == (1, 111), "what is live goes on"


@pytest.mark.parametrize("told", [True, False], ids=["told", "raised"])
@pytest.mark.parametrize("error", PASSING, ids=lambda error: error.code)
async def test_history_that_may_be_read_later_is_read_again(
    error: type[TradewrightError], told: bool
) -> None:
    async with Rig() as rig:
        late = await late_viewer(rig, Problem("plugin", error.code, "no") if told else error("no"))
        await rig.clock.advance(60)
        rig.history.failing = False
        await rig.until(lambda: not late.snapshots[-1].problems, within_s=15)
        assert len(late.rows) == 11


async def test_what_failed_for_good_and_is_there_after_all_is_told_within_a_quarter_of_an_hour() -> None:
    async with Rig() as rig:
        late = await late_viewer(rig, UnknownSymbol("it is not listed any more"))
        rig.history.failing = False
        await rig.until(lambda: not late.snapshots[-1].problems, within_s=RETRIED_EACH_S + 10)
        assert len(late.rows) >= 10


async def test_what_turns_out_to_fail_for_good_is_told_once_more_and_then_left_alone() -> None:
    async with Rig() as rig:
        late = await late_viewer(rig, TimeoutPluginError("no answer"))
        rig.history.failure = UnknownSymbol("it is not listed any more")
        await rig.clock.advance(15)
        (problem,) = late.snapshots[-1].problems or ()
        assert (len(late.snapshots), problem.code) == (2, "unknown_symbol")
        asked = len(rig.history.calls)
        await rig.clock.advance(300)
        assert (len(late.snapshots), len(rig.history.calls)) == (2, asked)


async def test_nobody_reads_for_a_view_that_has_ended() -> None:
    async with Rig() as rig:
        await rig_with_a_past(rig)
        await rig.view(stream())
        rig.history.failing = True
        await rig.clock.advance(5)
        late = await rig.view(stream(), Viewer())
        rig.service.unsubscribe(rig.connections[id(late)], stream().topic)
        await rig.clock.advance(10)
        asked = len(rig.history.calls)
        await rig.clock.advance(300)
        assert len(rig.history.calls) == asked


async def test_a_fault_in_reading_history_takes_no_live_bar() -> None:
    async with Rig() as rig:
        await rig_with_a_past(rig)
        await rig.view(stream())

        async def faulty(*_: object, **__: object) -> Answer:
            raise RuntimeError("a fault of ours")

        sound, rig.history.get_bars = rig.history.get_bars, faulty  # type: ignore[method-assign]
        await rig.clock.advance(5)
        late = await rig.view(stream(), Viewer())
        (problem,) = late.snapshots[-1].problems or ()
        assert problem.code == "internal_error"
        rig.venue.trade(123)
        await rig.until(lambda: late.rows and max(late.rows.values())[4] == 123)
        rig.history.get_bars = sound  # type: ignore[method-assign]
        await rig.until(lambda: not late.snapshots[-1].problems, within_s=15)
        assert len(late.rows) == 11


async def test_whoever_comes_after_a_correction_of_old_bars_gets_them_as_they_are() -> None:
    """History hears of corrections that no feed tells: by a repair, an import, or long after the end."""
    async with Rig() as rig:
        await rig_with_a_past(rig)
        first = await rig.view(stream())
        for _ in range(6):
            rig.venue.trade(102)
            await rig.clock.advance(60)
        told = [number for number, trade in enumerate(rig.venue.trades) if trade.price == 102]
        corrected = rig.venue.trades[told[0]] = msgspec.structs.replace(rig.venue.trades[told[0]], price=90)
        late = await rig.view(stream(), Viewer())
        minute = corrected.time // MINUTE_MS * MINUTE_MS
        assert first.rows[minute][3] == 101
        assert late.rows[minute][3] == 90
