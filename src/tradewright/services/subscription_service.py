"""``SubscriptionService``: opens and ends views, over one hub per topic."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from tradewright.domain.errors import NotFound
from tradewright.domain.ports import MessageBus
from tradewright.domain.streams import StreamKey, StreamKind
from tradewright.runtime.clock import Clock
from tradewright.runtime.ids import new_id
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.feeds.hub import (
    SILENT_S,
    ResumeFrom,
    ResyncReason,
    Streams,
    TopicHub,
    TopicMessage,
    View,
    ViewSink,
)
from tradewright.services.feeds.ports import History
from tradewright.services.feeds.timing import Wakeup
from tradewright.services.subscription_registry import SubscriptionRegistry

__all__ = [
    "ResumeFrom",
    "ResyncReason",
    "StreamSource",
    "SubscriptionService",
    "TopicMessage",
    "ViewSink",
    "WatchableStreams",
]

HISTORY_DEFAULT: Final = 500
LINGER_S: Final = 30.0
"""How long a hub without a view goes on listening, so that who comes back can resume."""
_IDLE_S: Final = 3_600.0


class WatchableStreams(Streams, Protocol):
    """The feeds, and whether a stream can be had at all."""

    async def validate(self, key: StreamKey) -> None: ...


@dataclass(frozen=True, slots=True)
class StreamSource:
    """Who runs streams, and the bus on which they are published."""

    streams: WatchableStreams
    bus: MessageBus


class SubscriptionService:
    """Views of any number of clients, browsers and bots alike.

    ``subscribe`` answers whether a stream may be watched; after ``open``, the client's sink gets a
    snapshot or what it missed, and then every update. ``own`` names the streams that each process makes for
    itself.
    """

    def __init__(
        self,
        bus: MessageBus,
        streams: WatchableStreams,
        history: History,
        registry: SubscriptionRegistry,
        clock: Clock,
        *,
        linger_s: float = LINGER_S,
        silent_s: float = SILENT_S,
        own: Mapping[StreamKind, StreamSource] | None = None,
    ) -> None:
        self._shared = StreamSource(streams, bus)
        self._own = dict(own or {})
        self._history = history
        self._registry = registry
        self._clock = clock
        self._linger_s = linger_s
        self._silent_s = silent_s
        self._hubs: dict[str, TopicHub] = {}
        self._sinks: dict[str, ViewSink] = {}
        self._views: dict[tuple[str, str], View] = {}
        self._reaper: asyncio.Task[None] | None = None
        self._wakeup = Wakeup(clock)
        self._tasks = TaskSupervisor("subscriptions")

    async def close(self) -> None:
        """End every view and every hub."""
        for connection in list(self._sinks):
            self.disconnect(connection)
        await self._tasks.close()
        await asyncio.gather(*(hub.close() for hub in self._hubs.values()))
        self._hubs.clear()

    def connect(self, sink: ViewSink, address: str) -> str:
        """A new client, under the id that is returned; ``LimitExceeded`` where its address has too many."""
        connection = new_id()
        self._registry.connect(connection, address)
        self._sinks[connection] = sink
        return connection

    def disconnect(self, connection: str) -> None:
        """The client is gone, with all of its views; may be called twice."""
        self._sinks.pop(connection, None)
        for topic in self._registry.disconnect(connection):
            self._end_view(connection, topic)

    async def subscribe(self, connection: str, key: StreamKey, *, history: int | None = None) -> str:
        """Register a view of the stream; the topic. Nothing is sent before ``open``.

        Raises what ``StreamingManager.validate`` raises, and ``TooManySubscriptions``.
        """
        if key.topic not in self._registry.topics(connection):
            await self._source(key).streams.validate(key)
        if connection not in self._sinks:
            raise NotFound("The connection is gone.")
        topic = key.topic
        if self._registry.add(connection, topic):
            hub = self._hub(key)
            self._views[connection, topic] = hub.add_view(self._sinks[connection], history or HISTORY_DEFAULT)
        elif history is not None:
            self._views[connection, topic].history = history
        return topic

    async def open(self, connection: str, topic: str, resume: ResumeFrom | None = None) -> None:
        """Send what the client missed since ``resume``, or a snapshot; then everything that follows.
        Nothing is sent where the view has ended meanwhile."""
        view = self._views.get((connection, topic))
        if view is not None:
            await view.hub.open_view(view, resume)

    def unsubscribe(self, connection: str, topic: str) -> None:
        """End a view; ``NotFound`` where there is none."""
        if not self._registry.remove(connection, topic):
            raise NotFound("There is no subscription to this topic.")
        self._end_view(connection, topic)

    def resync(self, connection: str, topic: str) -> None:
        """A slow client lost updates and has room again: give it a fresh snapshot."""
        view = self._views.get((connection, topic))
        if view is not None:
            view.hub.resync(view, "slow_client")

    @property
    def hubs(self) -> frozenset[str]:
        """The topics that are listened to."""
        return frozenset(self._hubs)

    def _source(self, key: StreamKey) -> StreamSource:
        return self._own.get(key.kind, self._shared)

    def _hub(self, key: StreamKey) -> TopicHub:
        hub = self._hubs.get(key.topic)
        if hub is None:
            source = self._source(key)
            silent_s = self._silent_s if source is self._shared else None
            hub = TopicHub(key, source.bus, source.streams, self._history, self._clock, silent_s=silent_s)
            self._hubs[key.topic] = hub
            hub.start()
        if self._reaper is None:
            self._reaper = self._tasks.keep("end unwatched hubs", self._reap, self._clock)
        return hub

    def _end_view(self, connection: str, topic: str) -> None:
        view = self._views.pop((connection, topic))
        view.hub.remove_view(view)
        if not view.hub.views:
            self._wakeup.set()

    async def _reap(self) -> None:
        while True:
            now = self._clock.monotonic()
            wait_s = _IDLE_S
            for topic, hub in list(self._hubs.items()):
                if hub.unwanted_since_s is None:
                    continue
                left_s = hub.unwanted_since_s + self._linger_s - now
                if left_s <= 0:
                    del self._hubs[topic]
                    await hub.close()
                else:
                    wait_s = min(wait_s, left_s)
            await self._wakeup.wait(wait_s)
