"""The stream of backfills: one snapshot, every change in order, and a store that is away for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from tests.support.backfilling import INSTRUMENT, START_MS, Process, Site, site
from tests.support.houses import MINUTES, NOW
from tradewright.domain.backfills import BackfillJob, JobPosition
from tradewright.domain.errors import StorageUnavailable
from tradewright.domain.streams import Snapshot, StreamKey, StreamKind, Update
from tradewright.domain.timeframes import DAY_MS
from tradewright.services.backfill.stream import BackfillStream
from tradewright.services.cache_manager import CacheManager
from tradewright.services.data_orchestrator import DataOrchestrator
from tradewright.services.feeds.hub import ResyncReason, TopicMessage
from tradewright.services.subscription_registry import SubscriptionRegistry
from tradewright.services.subscription_service import ResumeFrom, StreamSource, SubscriptionService
from tradewright.storage.memory_bus import MemoryBus
from tradewright.storage.memory_cache import MemoryCache

KEY = StreamKey(kind="backfills")
END = START_MS + 2 * DAY_MS


class Client:
    """Takes what a view is sent, and keeps it decoded."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.updates: list[Update] = []
        self.resyncs: list[ResyncReason] = []
        self.last = (0, "")

    def offer(self, message: TopicMessage) -> None:
        if message.update is None:
            if b'"snapshot"' in message.data:
                self.snapshots.append(msgspec.json.decode(message.data, type=Snapshot))
                self.last = (self.snapshots[-1].seq, self.snapshots[-1].epoch)
            return
        assert (message.update.seq - 1, message.update.epoch) == self.last
        self.last = (message.update.seq, message.update.epoch)
        self.updates.append(message.update)

    def offer_resync(self, topic: str, kind: StreamKind, reason: ResyncReason) -> None:
        self.resyncs.append(reason)

    def states(self) -> list[str]:
        return [update.backfill.state for update in self.updates if update.backfill is not msgspec.UNSET]


class Room:
    """Subscriptions over one process's stream of backfills."""

    def __init__(self, place: Site, server: Process) -> None:
        bus = MemoryBus()
        cache = CacheManager(MemoryCache(place.clock), place.clock)
        self.stream = BackfillStream(server.manager, bus, place.clock)
        own = StreamSource(self.stream, bus)
        history = DataOrchestrator(server.markets, server.bars, place.clock, cache)
        self.subscriptions = SubscriptionService(
            bus, self.stream, history, SubscriptionRegistry(), place.clock, own={"backfills": own}
        )

    async def open(self, client: Client, resume: ResumeFrom | None = None) -> str:
        connection = self.subscriptions.connect(client, "here")
        topic = await self.subscriptions.subscribe(connection, KEY)
        await self.subscriptions.open(connection, topic, resume)
        return connection

    async def close(self) -> None:
        await self.subscriptions.close()
        await self.stream.close()


async def test_a_snapshot_and_then_every_change_of_whichever_process() -> None:
    async with site(MINUTES, NOW, page_limit=20, call_s=0.5) as place:
        worker, onlooker = place.process(), place.process(start=False)
        room, client = Room(place, onlooker), Client()
        first = await onlooker.manager.submit(INSTRUMENT, START_MS, END)
        connection = await room.open(client)
        assert [job.id for job in client.snapshots[0].backfills or ()] == [first.id]
        assert (await place.finished(first.id)).state == "done"
        await place.clock.advance(2.0)
        assert client.states()[-1] == "done"
        assert len(client.updates) >= 5
        late = Client()
        await room.open(late)
        assert [job.state for job in late.snapshots[0].backfills or ()] == ["done"]
        seq, epoch = client.last
        room.subscriptions.disconnect(connection)
        second = await onlooker.manager.submit(INSTRUMENT, START_MS, END)
        await onlooker.manager.cancel(second.id)
        await place.clock.advance(1.5)
        back = Client()
        back.last = (seq, epoch)
        await room.open(back, ResumeFrom(epoch, seq))
        assert not back.snapshots
        assert back.states()[-1] == "cancelled"
        await room.close()
        await worker.close()
        await onlooker.close()


async def test_after_a_pause_without_views_the_stream_begins_again() -> None:
    async with site(MINUTES, NOW) as place:
        server = place.process()
        room = Room(place, server)
        first = Client()
        room.subscriptions.disconnect(await room.open(first))
        job = await server.manager.submit(INSTRUMENT, START_MS, END)
        await place.finished(job.id)
        second = Client()
        await room.open(second)
        await place.clock.advance(1.0)
        assert [each.id for each in second.snapshots[-1].backfills or ()] == [job.id]
        assert second.snapshots[-1].epoch > first.snapshots[-1].epoch
        await room.close()
        await server.close()


async def test_a_store_that_is_away_is_told_and_made_good_for() -> None:
    async with site(MINUTES, NOW) as place:
        server = place.process()
        job = await server.manager.submit(INSTRUMENT, START_MS, END)
        await place.finished(job.id)
        away = [True]
        newest = place.jobs.newest

        async def failing(limit: int, *, before: JobPosition | None = None) -> Sequence[BackfillJob]:
            if away[0]:
                raise StorageUnavailable("The database is locked.")
            return await newest(limit, before=before)

        server.manager._jobs.newest = failing  # type: ignore[method-assign,assignment]
        room, client = Room(place, server), Client()
        opening = room.open(client)
        task = asyncio.create_task(opening)
        await place.until(task.done, within_s=20)
        assert client.snapshots[0].backfills == ()
        assert (client.snapshots[0].problems or ())[0].code == "storage_unavailable"
        away[0] = False
        await place.clock.advance(5.0)
        assert [each.id for each in client.snapshots[-1].backfills or ()] == [job.id]
        assert client.resyncs == ["epoch_changed"]
        await room.close()
        await server.close()
