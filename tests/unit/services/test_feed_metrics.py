"""What `/metrics` tells of feeds: how they are, how old, and what happened to them."""

from __future__ import annotations

from tests.unit.services.streaming_rig import Rig, stream


def told(rig: Rig) -> dict[str, float]:
    """Each sample of ours by its name and labels."""
    lines = [line for line in rig.metrics.render().decode().splitlines() if line.startswith("tradewright_")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


async def test_feeds_are_counted_by_provider_kind_and_state() -> None:
    async with Rig() as rig:
        assert not any("scripted" in name for name in told(rig))
        rig.venue.trade(100)
        await rig.view(stream())
        await rig.view(stream(timeframe="5m"))
        await rig.view(stream("trades"))
        await rig.clock.advance(1)
        rig.venue.trade(101)
        await rig.clock.advance(4)
        found = told(rig)
        assert found['tradewright_feeds{kind="ohlcv",provider="scripted",state="live"}'] == 1, "one for both"
        assert found['tradewright_feeds{kind="trades",provider="scripted",state="live"}'] == 1
        assert found['tradewright_feed_age_seconds{kind="trades",provider="scripted"}'] == 4
        assert found['tradewright_feed_messages_total{kind="trades",provider="scripted"}'] == 1
        assert not any("BTC" in name for name in found), "no symbol is a label"


async def test_what_breaks_is_counted_and_ended_feeds_leave_no_state() -> None:
    async with Rig() as rig:
        rig.venue.counts_trades = True
        rig.venue.trade(100)
        viewer = await rig.view(stream("trades"))
        rig.venue.cut()
        await rig.clock.advance(3)
        rig.venue.trade(101, tell=False)
        rig.venue.trade(102)
        await rig.clock.advance(5)
        found = told(rig)
        assert found['tradewright_feed_reconnects_total{kind="trades",provider="scripted"}'] == 1
        assert found['tradewright_feed_gaps_total{kind="trades",provider="scripted"}'] == 1
        assert found['tradewright_feed_resyncs_total{kind="trades",provider="scripted"}'] == 0
        rig.venue.trades_page = 1
        rig.venue.streams_up = rig.venue.rest_up = False
        rig.venue.cut()
        await rig.clock.advance(60)
        states = {name for name in told(rig) if name.startswith("tradewright_feeds{")}
        assert states == {'tradewright_feeds{kind="trades",provider="scripted",state="down"}'}
        for _ in range(3):
            rig.venue.trade(103)
        rig.venue.streams_up = rig.venue.rest_up = True
        await rig.clock.advance(60)
        assert told(rig)['tradewright_feed_resyncs_total{kind="trades",provider="scripted"}'] == 1
        rig.service.disconnect(rig.connections[id(viewer)])
        await rig.clock.advance(40)
        assert not [name for name in told(rig) if name.startswith("tradewright_feeds{")]


async def test_what_is_stored_of_live_bars_is_counted() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        await rig.view(stream())
        for _ in range(31):
            await rig.clock.advance(4)
            rig.venue.trade(100)
        await rig.clock.advance(2)
        found = told(rig)
        assert found["tradewright_live_bars_stored_total"] == 2
        assert found["tradewright_live_bars_waiting"] == 0
        assert found["tradewright_live_bar_writes_failed_total"] == 0
