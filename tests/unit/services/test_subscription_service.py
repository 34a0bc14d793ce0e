"""Views: snapshot, resume, resynchronisation, and sharing of reads."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.services.streaming_rig import START_MS, Answer, Rig, stream
from tests.unit.services.streaming_viewer import Viewer
from tradewright.domain.errors import NotFound
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.streams import Gap
from tradewright.domain.timeframes import MINUTE_MS
from tradewright.services.subscription_service import ResumeFrom
from tradewright.storage.memory_bus import MemoryBus


async def _leave_and_return(rig: Rig, viewer: Viewer, away_s: float, kind: str = "trades") -> Viewer:
    """The viewer's connection breaks, and a while later it comes back and says what it has."""
    key = stream(kind)  # type: ignore[arg-type]
    rig.service.disconnect(rig.connections.pop(id(viewer)))
    steps = 20
    for _ in range(steps):
        await rig.clock.advance(away_s / steps)
        rig.venue.trade(100)
    await rig.clock.advance(0.2)
    viewer.snapshots.clear()
    viewer.awaiting = False
    connection = rig.connections[id(viewer)] = rig.service.connect(viewer, "test")
    topic = await rig.service.subscribe(connection, key)
    opening = asyncio.create_task(rig.service.open(connection, topic, ResumeFrom(viewer.epoch, viewer.seq)))
    await rig.until(opening.done)
    return viewer


async def test_who_comes_back_soon_gets_exactly_what_it_missed() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream("trades"))
        for _ in range(10):
            await _leave_and_return(rig, viewer, 20)
            assert viewer.snapshots == [], "no snapshot was needed"
            assert viewer.trades == rig.venue.trades
        rig.venue.trade(101)
        await rig.clock.advance(1)
        assert viewer.trades == rig.venue.trades


async def test_who_comes_back_late_gets_a_snapshot_of_the_next_epoch() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream("trades"))
        epoch = viewer.epoch
        await _leave_and_return(rig, viewer, 100)
        assert len(viewer.snapshots) == 1
        assert viewer.epoch > epoch
        assert viewer.trades == rig.venue.trades


async def test_who_missed_more_than_is_kept_gets_a_snapshot() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        other = await rig.view(stream("ticker"))
        viewer = await rig.view(stream("ticker"))
        rig.service.disconnect(rig.connections.pop(id(viewer)))
        for _ in range(1_100):
            await rig.clock.advance(0.11)
            rig.venue.trade(100 + rig.clock.monotonic())
        connection = rig.service.connect(viewer, "test")
        topic = await rig.service.subscribe(connection, stream("ticker"))
        viewer.snapshots.clear()
        await rig.service.open(connection, topic, ResumeFrom(viewer.epoch, viewer.seq))
        assert len(viewer.snapshots) == 1
        assert viewer.epoch == other.epoch


@pytest.mark.parametrize("resume", [ResumeFrom("zzz", 1), ResumeFrom("", 10**15)])
async def test_a_resume_point_that_never_was_gives_a_snapshot(resume: ResumeFrom) -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        first = await rig.view(stream("trades"))
        viewer = Viewer()
        connection = rig.service.connect(viewer, "test")
        topic = await rig.service.subscribe(connection, stream("trades"))
        await rig.service.open(connection, topic, resume._replace(epoch=resume.epoch or first.epoch))
        assert len(viewer.snapshots) == 1


async def test_a_view_that_is_open_gets_a_snapshot_though_it_asks_to_resume() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream("trades"))
        first = ResumeFrom(viewer.epoch, viewer.seq)
        for _ in range(5):
            rig.venue.trade(101)
            await rig.clock.advance(0.2)
        connection, updates = rig.connections[id(viewer)], len(viewer.updates)
        for resume in (first, ResumeFrom(viewer.epoch, viewer.seq)):
            snapshots = len(viewer.snapshots)
            topic = await rig.service.subscribe(connection, stream("trades"))
            await rig.service.open(connection, topic, resume)
            assert len(viewer.snapshots) == snapshots + 1
        assert len(viewer.updates) == updates, "nothing is sent twice"
        rig.venue.trade(102)
        await rig.clock.advance(1)
        assert viewer.trades == rig.venue.trades


async def test_lost_bus_messages_resynchronise_every_view() -> None:
    async with Rig(bus=MemoryBus(buffered_max=5)) as rig:
        rig.venue.trade(100)
        viewers = [await rig.view(stream("trades")) for _ in range(3)]
        for _ in range(3_000):  # in one go: more updates than the bus keeps for a listener
            rig.venue.trade(101)
        await rig.clock.advance(1)
        for viewer in viewers:
            assert viewer.resyncs == ["epoch_changed"]
            assert viewer.trades[-1] == rig.venue.trades[-1]
        rig.venue.trade(102)
        await rig.clock.advance(1)
        assert viewers[0].trades[-1].price == 102
        assert viewers[0].violations == []


class LeakyBus(MemoryBus):
    """Loses messages without a word, as a bus over a network can."""

    leaks = False

    async def publish(self, channel: str, message: bytes) -> None:
        if not self.leaks:
            await super().publish(channel, message)


async def test_messages_that_the_bus_lost_without_a_word_are_found_out_by_their_numbers() -> None:
    bus = LeakyBus()
    async with Rig(bus=bus) as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream("trades"))
        bus.leaks = True
        rig.venue.trade(101)
        await rig.clock.advance(1)
        bus.leaks = False
        rig.venue.trade(102)
        await rig.clock.advance(1)
        assert viewer.resyncs == ["epoch_changed"]
        assert viewer.trades == rig.venue.trades


async def test_a_crowd_that_comes_at_once_reads_history_once() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        await rig.view(stream(timeframe="5m"))
        await rig.clock.advance(10)
        calls = len(rig.history.calls)
        rig.history.before = lambda: 0.5
        crowd = [asyncio.create_task(rig.view(stream(timeframe="5m"), Viewer())) for _ in range(100)]
        await rig.clock.advance(1)
        viewers = await asyncio.gather(*crowd)
        assert len(rig.history.calls) == calls + 1
        assert all(viewer.series() == rig.venue.bars("5m") for viewer in viewers)
        assert len({id(viewer.raw[0]) for viewer in viewers}) == 1, "and encodes one snapshot"


async def test_views_that_want_different_numbers_of_bars_share_a_read_and_get_what_each_wants() -> None:
    async with Rig() as rig:
        for minute in range(30):
            if minute % 5:  # nothing is traded in every fifth
                rig.venue.trade(100 + minute)
            await rig.clock.advance(60)
        rig.venue.trade(200)
        whole = await rig.view(stream())
        quiet = tuple(
            Gap(START_MS + minute * MINUTE_MS, START_MS + (minute + 1) * MINUTE_MS, "no_trades")
            for minute in range(0, 30, 5)
        )
        known = rig.history.get_bars

        async def with_gaps(key: SeriesKey, **wanted: Any) -> Answer:
            return replace(await known(key, **wanted), gaps=quiet)

        rig.history.get_bars = with_gaps  # type: ignore[method-assign]
        await rig.clock.advance(5)
        calls = len(rig.history.calls)
        for wanted in (50, 1, 3, 12, 7):
            rows = (await rig.view(stream(), Viewer(), history=wanted)).snapshot_rows()
            assert list(rows) == whole.series()[-wanted:]
            gaps = rig.viewers[-1].snapshots[-1].gaps
            assert gaps == tuple(gap for gap in quiet if wanted == 50 or gap.start > rows[0][0])
        assert len(rig.history.calls) == calls + 1
        await rig.view(stream(), Viewer(), history=51)
        assert len(rig.history.calls) == calls + 2


async def test_one_reader_that_leaves_does_not_take_the_answer_from_the_others() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        rig.history.before = lambda: 2.0
        first, second = Viewer(), Viewer()
        opening = asyncio.create_task(rig.view(stream(), first))
        other = asyncio.create_task(rig.view(stream(), second))
        await rig.clock.advance(1)
        opening.cancel()
        rig.service.disconnect(rig.connections[id(first)])
        await rig.clock.advance(2)
        await other
        assert second.series() == rig.venue.bars("1m")
        assert first.snapshots == []


async def test_of_two_snapshots_under_way_only_the_later_is_sent() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = Viewer()
        connection = rig.service.connect(viewer, "test")
        topic = await rig.service.subscribe(connection, stream())
        rig.history.before = lambda: 2.0
        first = asyncio.create_task(rig.service.open(connection, topic))
        await rig.clock.advance(1)
        second = asyncio.create_task(rig.service.open(connection, topic))
        await rig.clock.advance(5)
        await asyncio.gather(first, second)
        assert len(viewer.snapshots) == 1


async def test_a_history_of_few_bars_and_the_same_topic_again() -> None:
    async with Rig() as rig:
        for _ in range(10):
            rig.venue.trade(100)
            await rig.clock.advance(60)
        rig.venue.trade(100)
        viewer = await rig.view(stream(), history=3)
        assert len(viewer.snapshot_rows()) == 3
        assert viewer.snapshots[-1].forming is True
        await rig.view(stream(), viewer, history=7)
        assert len(viewer.snapshot_rows()) == 7
        rig.venue.trade(101)
        await rig.clock.advance(1)
        assert viewer.violations == [], "each update came once"


async def test_a_snapshot_without_history_says_why_and_still_moves() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        await rig.view(stream())
        rig.venue.rest_up = False
        await rig.clock.advance(2)
        viewer = await rig.view(stream())
        assert viewer.snapshots[-1].problems
        rig.venue.trade(101)
        await rig.clock.advance(1)
        assert viewer.rows[max(viewer.rows)][4] == 101


async def test_a_view_that_is_not_there_can_not_be_ended() -> None:
    async with Rig() as rig:
        connection = rig.service.connect(Viewer(), "test")
        with pytest.raises(NotFound):
            rig.service.unsubscribe(connection, "ohlcv:crypto:scripted:BTC/USDT:1m")


async def test_after_its_end_a_view_gets_nothing_more() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream())
        rig.service.unsubscribe(rig.connections[id(viewer)], stream().topic)
        count = len(viewer.raw)
        rig.venue.trade(101)
        await rig.clock.advance(1)
        assert len(viewer.raw) == count
