"""A trade is told once in updates, whoever keeps the feed and however long nobody could ask for the past."""

from __future__ import annotations

import msgspec

from tests.support.shared_feeds import Hall
from tests.unit.services.streaming_rig import stream
from tests.unit.services.streaming_viewer import Viewer
from tradewright.domain.streams import FeedStatus, Snapshot, Update


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
