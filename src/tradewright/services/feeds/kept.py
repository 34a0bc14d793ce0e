"""``KeptFeed``: a feed while this process keeps it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from tradewright.domain.ports import MessageBus
from tradewright.domain.streams import StreamKey
from tradewright.runtime.clock import Clock
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.feeds.control import FeedKey
from tradewright.services.feeds.feed import Feed
from tradewright.services.feeds.settings import SharingSettings, StreamSettings
from tradewright.services.feeds.timing import within
from tradewright.services.feeds.topic import Topic

_log = logging.getLogger(__name__)

RESTART_AFTER_S: Final = 5.0


class FeedMaker(Protocol):
    """Makes the upstream feed of a key; its epochs come from ``new_epoch``, it does nothing upstream that
    ``may_act`` forbids, and its word counts while it ``may_speak``."""

    def __call__(
        self,
        key: FeedKey,
        new_epoch: Callable[[], str],
        may_act: Callable[[], bool],
        may_speak: Callable[[], bool],
    ) -> Feed: ...


class KeptFeed:
    """Runs the feed upstream and publishes its topics, until ``close``.

    A feed runs until it is told to end: one that ended by itself has a fault, and is begun again.
    """

    def __init__(
        self,
        key: FeedKey,
        make: FeedMaker,
        outlet: MessageBus,
        clock: Clock,
        settings: StreamSettings,
        sharing: SharingSettings,
        new_epoch: Callable[[], str],
        may_act: Callable[[], bool],
        may_speak: Callable[[], bool],
        tasks: TaskSupervisor,
    ) -> None:
        self.topics: dict[StreamKey, Topic] = {}
        self._key = key
        self._make = make
        self._outlet = outlet
        self._clock = clock
        self._settings = settings
        self._sharing = sharing
        self._new_epoch = new_epoch
        self._may_act = may_act
        self._may_speak = may_speak
        self._tasks = tasks
        self._feed: Feed | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def feed(self) -> Feed | None:
        """The upstream feed, where it runs."""
        return self._feed

    def start(self, predecessor: asyncio.Task[None] | None) -> None:
        """Run it, once an earlier one of this process has ended: never two upstream at once."""
        self._running = self._tasks.start(f"{self._key.name} upstream", self._run(predecessor))

    def begin(self, key: StreamKey) -> Topic:
        """Publish this topic too, if it is not yet."""
        topic = self.topics.get(key)
        if topic is None:
            topic = self.topics[key] = Topic(
                key, self._new_epoch(), self._outlet, self._clock, self._settings.coalesce_s
            )
            if self._feed is not None:
                self._feed.add_topic(topic)
        return topic

    def end(self, key: StreamKey) -> None:
        """Publish it no more."""
        topic = self.topics.pop(key)
        if self._feed is not None:
            self._feed.remove_topic(topic)

    async def renumber(self) -> None:
        """Go on in new epochs, without a break upstream."""
        for topic in list(self.topics.values()):
            topic.go_on_as(self._new_epoch())
            await topic.publish_heartbeat()

    async def beat(self, *, all_topics: bool = False) -> None:
        """Say of the topics on which nothing was said for a while up to where they have come."""
        due_s = self._clock.monotonic() - 0.9 * self._sharing.heartbeat_s
        for topic in list(self.topics.values()):
            if all_topics or topic.said_at_s <= due_s:
                await topic.publish_heartbeat()

    async def close(self) -> asyncio.Task[None] | None:
        """End it. An upstream connection that takes too long to end goes on ending by itself, and its task
        is returned."""
        running = self._running
        if running is None:
            return None
        running.cancel()
        with suppress(TimeoutError):
            await within(self._clock, self._sharing.closing_s, _end_of(running))
        return None if running.done() else running

    async def _run(self, predecessor: asyncio.Task[None] | None) -> None:
        if predecessor is not None:
            await _end_of(predecessor)
        while True:
            feed = self._feed = self._make(self._key, self._new_epoch, self._may_act, self._may_speak)
            for topic in self.topics.values():
                feed.add_topic(topic)
            task = self._tasks.start(f"{self._key.name} at work", feed.run())
            try:
                await _end_of(task)
            finally:
                task.cancel()
                await _end_of(task)
            _log.warning("%s failed and is begun again", self._key.name)
            await feed.say("down", "The feed failed and is being restarted.")
            await self._clock.sleep(RESTART_AFTER_S)
            for topic in self.topics.values():
                topic.begin_again(self._new_epoch())


async def _end_of(task: asyncio.Task[None]) -> None:
    await asyncio.wait({task})
