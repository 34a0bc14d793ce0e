"""The product's own path from the bus to the sockets, over feeds that publish what the bench commands.

    python -m bench.fanout_server frames|asgi

Everything but the venue is the product's: topics, bus, hubs, views, sessions, outboxes, guards, and the web
server as `tradewright serve` sets it up. `asgi` has uvicorn's own protocol in place of ours, and
so no frames past ASGI, as under another server.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Final

import uvicorn
import uvloop
from quart import Quart
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from bench.fanout_control import FIRST_SEQ, obey, symbol
from tradewright.config import DevelopmentConfig
from tradewright.domain.errors import NotFound
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.streams import StreamKey
from tradewright.domain.ticks import Ticker
from tradewright.runtime.clock import SystemClock
from tradewright.server import uvicorn_config
from tradewright.services.feeds.ports import HistoryAnswer
from tradewright.services.feeds.topic import Topic, TopicState
from tradewright.services.subscription_registry import SubscriptionLimits, SubscriptionRegistry
from tradewright.services.subscription_service import SubscriptionService
from tradewright.storage.memory_bus import MemoryBus
from tradewright.web.middleware.guards import socket_check
from tradewright.web.ws.connections import HandshakeLimits, WebSocketConnections
from tradewright.web.ws.endpoint import LiveSockets
from tradewright.web.ws.transport import LiveSocketProtocol

_SILENT_S: Final = 3_600.0
"""Longer than the bench takes: what is published on command alone must not be called stale meanwhile."""


class PublishedStreams:
    """Streams of which every symbol exists, and that publish when told."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._clock = SystemClock()
        self._topics: dict[StreamKey, Topic] = {}
        self.acquired = 0

    async def validate(self, key: StreamKey) -> None:
        """Nothing is wrong."""

    def acquire(self, key: StreamKey) -> None:
        """Count."""
        self.acquired += 1
        self._topic(key)

    def release(self, key: StreamKey) -> None:
        """Nothing to do."""

    def note_epoch(self, key: StreamKey, epoch: str) -> None:
        """There is no other keeper."""

    async def state(self, key: StreamKey) -> TopicState:
        """What was published of it."""
        return self._topic(key).state()

    async def publish(self, number: int, time_us: int) -> None:
        """One update of the topic of that number."""
        topic = self._topic(
            StreamKey(kind="ticker", market="crypto", provider="bench", symbol=symbol(number))
        )
        await topic.offer(Ticker(t=time_us, last=64_250.5, bid=64_250.0, ask=64_251.0))
        await topic.flush()

    def _topic(self, key: StreamKey) -> Topic:
        topic = self._topics.get(key)
        if topic is None:
            topic = self._topics[key] = Topic(key, "e", self._bus, self._clock, 0.0, seq=FIRST_SEQ)
        return topic


class NoHistory:
    """Nobody asks for bars here."""

    async def get_bars(
        self, key: SeriesKey, *, start_ms: int | None = None, end_ms: int | None = None, limit: int = 500
    ) -> HistoryAnswer:
        """None."""
        raise NotFound(f"There are no bars of {key.symbol}.")


async def run(protocol: type[WebSocketsSansIOProtocol]) -> None:
    """Serve and publish until standard input ends."""
    bus, clock = MemoryBus(), SystemClock()
    registry = SubscriptionRegistry(SubscriptionLimits(connections_per_address=100_000))
    streams = PublishedStreams(bus)
    service = SubscriptionService(bus, streams, NoHistory(), registry, clock, silent_s=_SILENT_S)
    connections = WebSocketConnections(
        service, registry, clock, handshakes=HandshakeLimits(per_s=10_000, burst=10_000)
    )
    config = DevelopmentConfig()
    app = Quart("fan-out")
    settings = uvicorn_config(config, LiveSockets(app, connections, admits=socket_check(config)))
    settings.ws, settings.lifespan = protocol, "off"
    settings.ws_ping_interval = None  # the viewers answer nothing
    server = uvicorn.Server(settings)
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await obey(streams.publish, listener.getsockname()[1])
    server.should_exit = True
    await serving


if __name__ == "__main__":
    uvloop.run(run(WebSocketsSansIOProtocol if sys.argv[1] == "asgi" else LiveSocketProtocol))
