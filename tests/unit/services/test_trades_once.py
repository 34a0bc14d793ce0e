"""A trade is told once in updates, whoever keeps the feed and however long nobody could ask for the past."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import msgspec

from tests.support.shared_feeds import Hall
from tests.unit.services.streaming_rig import BTC, Rig, stream
from tests.unit.services.streaming_viewer import Viewer
from tradewright.domain.streams import FeedStatus, Snapshot, Update
from tradewright.services.feeds.feed import Feed
from tradewright.services.feeds.settings import StreamSettings
from tradewright.services.feeds.ticks import TradesLogic
from tradewright.services.feeds.timing import Wakeup
from tradewright.services.feeds.topic import Topic
from tradewright.storage.memory_bus import MemoryBus


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
