"""A snapshot that history failed to be part of is followed by a whole one, as soon as history can be read."""

from __future__ import annotations

from tests.unit.services.streaming_rig import Rig, stream
from tests.unit.services.streaming_viewer import Viewer


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
