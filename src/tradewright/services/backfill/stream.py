"""The stream ``backfills``: the newest jobs, and every change of one, of whichever process."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from typing import Final

from tradewright.domain.errors import StorageUnavailable
from tradewright.domain.ports import MessageBus
from tradewright.domain.streams import FeedStatus, StreamKey
from tradewright.runtime.clock import Clock
from tradewright.runtime.ids import new_id
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.backfill_manager import BackfillManager
from tradewright.services.feeds.timing import within
from tradewright.services.feeds.topic import RECENT_BACKFILLS, Topic, TopicState

_FIRST_READ_S: Final = 4.0
_READ_AGAIN_S: Final = 2.0


class BackfillStream:
    """Owns the topic in this process, while anybody here watches. Every process reads the same store, so
    each owns a topic of its own, and none crosses the bus between them."""

    def __init__(self, manager: BackfillManager, bus: MessageBus, clock: Clock) -> None:
        self._manager = manager
        self._bus = bus
        self._clock = clock
        self._tasks = TaskSupervisor("backfill stream")
        self._topic: Topic | None = None
        self._following: asyncio.Task[None] | None = None
        self._read = asyncio.Event()
        self._token = 0
        self._epochs = itertools.count()

    async def close(self) -> None:
        """Follow no more."""
        await self._tasks.close()

    async def validate(self, key: StreamKey) -> None:
        """It can always be watched."""

    def acquire(self, key: StreamKey) -> None:
        """Want the stream once more."""
        if self._topic is None:
            self._read = asyncio.Event()
            self._topic = Topic(key, self._new_epoch(), self._bus, self._clock, coalesce_s=0.0)
            self._following = self._tasks.start("follow jobs", self._follow(self._topic, self._read))
        self._topic.references += 1

    def release(self, key: StreamKey) -> None:
        """Want it once less."""
        if self._topic is None:
            return
        self._topic.references -= 1
        if not self._topic.references:
            self._topic = None
            if self._following is not None:
                self._following.cancel()

    def note_epoch(self, key: StreamKey, epoch: str) -> None:
        """There is no other keeper."""

    async def state(self, key: StreamKey) -> TopicState:
        """What was published so far, once the jobs were read, or that they can't be."""
        if self._topic is None:
            raise KeyError(key)
        topic = self._topic
        with suppress(TimeoutError):
            await within(self._clock, _FIRST_READ_S, self._read.wait())
        return topic.state()

    async def _follow(self, topic: Topic, read: asyncio.Event) -> None:
        with self._manager.watch() as changes:
            late = False
            while not read.is_set():
                try:
                    jobs = tuple(await self._manager.newest(RECENT_BACKFILLS))
                except StorageUnavailable as error:
                    late = True
                    await topic.publish_status(
                        FeedStatus(topic=topic.key.topic, state="down", detail=error.message)
                    )
                    await self._clock.sleep(_READ_AGAIN_S)
                    continue
                if late:  # views were told that there is nothing
                    topic.begin_again(self._new_epoch())
                    await topic.publish_status(FeedStatus(topic=topic.key.topic, state="live"))
                topic.begin_with_backfills(jobs)
                read.set()
                if late and jobs:
                    await topic.publish_backfill(jobs[0])
            async for job in changes:
                await topic.publish_backfill(job)

    def _new_epoch(self) -> str:
        """Sorts after every earlier one of this process."""
        self._token = max(self._token, self._clock.now_ms())
        return f"{self._token:016d}.{next(self._epochs):08d}.{new_id(6)}"
