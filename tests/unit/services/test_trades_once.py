"""A trade is told once in updates, whoever keeps the feed and however long nobody could ask for the past."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import msgspec

from tests.support.shared_feeds import Hall
from tests.unit.services.streaming_rig import BTC, Rig, stream
from tests.unit.services.streaming_viewer import Viewer
from tradewright.domain.streams import FeedStatus, Heartbeat, Snapshot, StreamKey, Update
from tradewright.domain.ticks import Trade
from tradewright.services.feeds.feed import Feed
from tradewright.services.feeds.hub import FIRST_STATE_S, ResumeFrom, TopicHub
from tradewright.services.feeds.settings import StreamSettings
from tradewright.services.feeds.ticks import TradesLogic
from tradewright.services.feeds.timing import Wakeup
from tradewright.services.feeds.topic import Topic, TopicState
from tradewright.storage.memory_bus import MemoryBus
from tradewright.testing.clock import DrivenClock


class Told(MemoryBus):
    """Remembers the trades of all updates."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []

    async def publish(self, channel: str, message: bytes) -> None:
        decoded = msgspec.json.decode(message, type=Update | Snapshot | FeedStatus)
        if isinstance(decoded, Update) and isinstance(decoded.trades, tuple):
            self.ids += [trade.id for trade in decoded.trades]


def told_again(viewer: Viewer) -> list[str]:
    """The trades of updates that the viewer had been told before, by whichever keeper."""
    known: set[str] = set()
    again: list[str] = []
    for data in viewer.raw:
        message = msgspec.json.decode(data, type=Update | Snapshot | FeedStatus)
        if isinstance(message, FeedStatus) or not isinstance(message.trades, tuple):
            continue
        ids = [trade.id for trade in message.trades]
        if isinstance(message, Update):
            again += [each for each in ids if each in known]
        known.update(ids)
    return again


async def test_a_keeper_that_is_followed_while_nobody_can_ask_the_venue_doubles_no_trade() -> None:
    async with Hall(2) as hall:
        viewers = [await process.view(stream("trades")) for process in hall.processes]
        await hall.clock.advance(1)
        for number in range(20):
            hall.venue.trade(100 + number)
            await hall.clock.advance(0.5)
        keeper = hall.keepers("trades")[0]
        (viewer,) = [each for each, of in zip(viewers, hall.processes, strict=True) if of is not keeper]
        hall.venue.rest_up = hall.venue.streams_up = False
        await keeper.kill()
        await hall.clock.advance(14)  # followed, and the viewer was told that nothing is known yet
        assert viewer.snapshots[-1].seq == 0
        hall.venue.rest_up = hall.venue.streams_up = True
        hall.venue.trade(200)
        await hall.until(lambda: viewer.trades == hall.venue.trades, within_s=60)
        hall.venue.trade(201)
        await hall.until(lambda: viewer.trades == hall.venue.trades, within_s=5)
        assert told_again(viewer) == []


async def test_no_trade_is_lost_where_a_keeper_pauses_and_goes_on() -> None:
    """A venue that does not number its trades, and whose streams take a second to open: only a question
    after that tells what was traded meanwhile, also where another instance opens the stream."""
    async with Rig() as rig:
        venue, listen, keeps = rig.venue, rig.venue.listen, True

        async def slow(kind: str) -> AsyncIterator[Any]:
            await rig.clock.sleep(1.0)
            async for item in listen(kind):
                yield item

        venue.listen = slow  # type: ignore[method-assign]
        epochs, wakeup, viewer = (f"{number:04d}" for number in count(1)), Wakeup(rig.clock), Told()
        logic = TradesLogic("BTC/USDT", lambda: next(epochs), wakeup.set)
        counters = rig.metrics.feeds.of("scripted", "trades")
        feed = Feed(BTC, logic, rig.markets, rig.clock, StreamSettings(), wakeup, random.Random(1), counters,
                    lambda: keeps)  # fmt: skip
        feed.add_topic(Topic(stream("trades"), next(epochs), viewer, rig.clock, 0.1))
        running = asyncio.create_task(feed.run())
        for number in range(100):
            venue.trade(100 + number)
            await rig.clock.advance(0.25)
            if number == 50:
                keeps = False
                wakeup.set()
                await rig.clock.advance(0.1)
                keeps = True
        await rig.clock.advance(5)
        assert viewer.ids == [trade.id for trade in venue.trades]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class Follower:
    """A hub of trades with one viewer, and the word of whichever keeper it follows."""

    def __init__(self) -> None:
        self.clock, self.bus, self.viewer = DrivenClock(), MemoryBus(), Viewer()
        self.key = stream("trades")
        self.now = TopicState("")
        self.hub = TopicHub(self.key, self.bus, self, Rig().history, self.clock)

    def acquire(self, key: StreamKey) -> None: ...

    def release(self, key: StreamKey) -> None: ...

    def note_epoch(self, key: StreamKey, epoch: str) -> None: ...

    async def state(self, key: StreamKey) -> TopicState:
        return self.now

    async def begin(self, epoch: str, numbers: Iterable[int]) -> None:
        """A keeper has told these trades in its epoch, and says so."""
        trades = made(numbers)
        self.now = TopicState(epoch, 1 if trades else 0, trades=trades)
        await self.say(Heartbeat(topic=self.key.topic, epoch=epoch, seq=self.now.seq))

    async def go_on(self, numbers: Iterable[int]) -> None:
        """It tells these too."""
        trades, epoch, seq = made(numbers), self.now.epoch, self.now.seq + 1
        self.now = TopicState(epoch, seq, trades=self.now.trades + trades)
        await self.say(Update(topic=self.key.topic, epoch=epoch, seq=seq, trades=trades))

    async def say(self, message: Heartbeat | Update) -> None:
        await self.bus.publish(self.key.topic, msgspec.json.encode(message))
        await self.clock.advance(0.1)


def made(numbers: Iterable[int]) -> tuple[Trade, ...]:
    """The trades of these numbers, one a second."""
    return tuple(Trade(1_000 * number, str(number), "buy", 100.0, 1.0) for number in numbers)


@asynccontextmanager
async def follower(told: Iterable[int]) -> AsyncIterator[Follower]:
    """One that was told so much by its first keeper."""
    one = Follower()
    one.now = TopicState("1")
    one.hub.start()
    try:
        view = one.hub.add_view(one.viewer, 500)
        opening = asyncio.create_task(one.hub.open_view(view))
        await one.clock.advance(0.1)
        await one.go_on(told)
        await opening
        yield one
    finally:
        await one.hub.close()
    assert one.viewer.violations == []
    assert told_again(one.viewer) == []


def ids(viewer: Viewer) -> list[int]:
    """The numbers of all trades that it has, in the order in which they were made."""
    return sorted(int(trade.id) for trade in viewer.trades)


async def test_who_follows_a_feed_that_is_behind_is_told_no_trade_again() -> None:
    async with follower(range(1, 11)) as one:
        await one.begin("2", range(1, 6))
        await one.go_on([6, 7])
        await one.go_on([8, 9])
        assert len(one.viewer.snapshots) == 1, "it waits until the feed has come as far"
        await one.go_on([10, 11])
        await one.go_on([12])
        assert ids(one.viewer) == list(range(1, 13))
        assert [each.seq for each in one.viewer.snapshots] == [1, 4]
        assert [each.seq for each in one.viewer.updates] == [5]


async def test_a_feed_that_stays_behind_is_not_waited_for_longer_than_one_that_begins() -> None:
    async with follower(range(1, 11)) as one:
        await one.begin("2", range(1, 6))
        await one.clock.advance(FIRST_STATE_S)
        assert [each.seq for each in one.viewer.snapshots] == [1, 1]
        await one.go_on([6, 7])
        await one.clock.advance(FIRST_STATE_S)
        await one.begin("3", range(1, 9))
        await one.go_on([9, 10, 11])
        await one.go_on([12])
        assert ids(one.viewer) == list(range(1, 13))
        assert one.viewer.epoch == "3"


async def test_a_feed_that_begins_behind_with_nothing_is_followed_until_it_has_come_as_far() -> None:
    async with follower(range(1, 11)) as one:
        await one.begin("2", [])
        await one.clock.advance(FIRST_STATE_S)
        assert one.viewer.snapshots[-1].seq == 0
        await one.go_on(range(1, 8))
        await one.go_on([8, 9, 10])
        await one.go_on([11])
        assert ids(one.viewer) == list(range(1, 12))


async def test_a_feed_that_has_come_further_is_followed_at_once() -> None:
    async with follower(range(1, 11)) as one:
        await one.begin("2", range(5, 13))
        assert [each.seq for each in one.viewer.snapshots] == [1, 1]
        await one.begin("3", range(20, 22))  # what lies between nobody could be asked for
        assert [each.epoch for each in one.viewer.snapshots] == ["1", "2", "3"]
        await one.go_on([22])
        assert len(one.viewer.updates) == 1


async def test_a_trade_that_the_feed_before_never_heard_of_ends_nothing() -> None:
    async with follower([1, 2, 3, 4, 5, 7, 8, 9, 10]) as one:
        await one.begin("2", range(1, 6))
        for numbers in ([6], [7, 8], [9, 10], [11]):
            await one.go_on(numbers)
        assert ids(one.viewer) == list(range(1, 12))


async def test_a_feed_that_is_further_behind_than_is_remembered_tells_nothing_again() -> None:
    async with follower(range(1, 201)) as one:
        for first in range(201, 1_201, 200):
            await one.go_on(range(first, first + 200))
        await one.begin("2", range(101, 601))
        for first in range(601, 1_301, 50):
            await one.go_on(range(first, first + 50))
        assert ids(one.viewer) == list(range(1, 1_301))


async def test_who_comes_back_while_the_feed_is_behind_is_told_nothing_again() -> None:
    async with follower(range(1, 11)) as one:
        await one.begin("2", range(1, 6))
        await one.clock.advance(FIRST_STATE_S)
        (view,) = one.hub.views
        one.hub.add_view(Viewer(), 1)
        one.hub.remove_view(view)
        await one.go_on([6, 7])
        await one.go_on([8, 9])
        view = one.hub.add_view(one.viewer, 500)
        opening = asyncio.create_task(one.hub.open_view(view, ResumeFrom("2", 1)))
        await one.clock.advance(0.1)
        await one.go_on([10, 11])
        await opening
        await one.go_on([12])
        assert ids(one.viewer) == list(range(1, 13))


async def test_who_comes_to_a_feed_that_stays_behind_does_not_wait() -> None:
    async with follower(range(1, 11)) as one:
        await one.begin("2", range(1, 10))
        await one.clock.advance(FIRST_STATE_S)
        for _ in range(2):
            await one.clock.advance(60)
            newcomer = Viewer()
            await one.hub.open_view(one.hub.add_view(newcomer, 1))
            assert len(newcomer.snapshots) == 1
