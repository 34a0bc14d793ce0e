"""All the sockets of this process together."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from tradewright.runtime.clock import Clock
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.subscription_registry import SubscriptionRegistry
from tradewright.services.subscription_service import SubscriptionService
from tradewright.web.protocol import CloseCode, Draining
from tradewright.web.ws.connection import CLOSE_DEADLINE_S, LiveConnection, Socket
from tradewright.web.ws.flusher import Flusher
from tradewright.web.ws.outbox import OutboxLimits
from tradewright.web.ws.session import Reply, SessionLimits

WATCH_INTERVAL_S: Final = 1.0
_encoder: Final = msgspec.json.Encoder()


class WebSocketConnections:
    """All sockets of this process: refuses, watches over, and in the end drains them."""

    def __init__(
        self,
        subscriptions: SubscriptionService,
        registry: SubscriptionRegistry,
        clock: Clock,
        *,
        session_limits: SessionLimits | None = None,
        outbox_limits: OutboxLimits | None = None,
    ) -> None:
        self._subscriptions = subscriptions
        self._registry = registry
        self._clock = clock
        self._session_limits = session_limits or SessionLimits()
        self._outbox_limits = outbox_limits or OutboxLimits()
        self._connections: set[LiveConnection] = set()
        self._flusher = Flusher()
        self._tasks = TaskSupervisor("live sockets")
        self._watching: asyncio.Task[None] | None = None
        self.draining = False

    async def close(self) -> None:
        """Look no more; the sockets themselves end with the web server."""
        self._flusher.close()
        await self._tasks.close()

    def __len__(self) -> int:
        return len(self._connections)

    def check_address(self, address: str) -> None:
        """``LimitExceeded`` where one more connection from there would be too many."""
        self._registry.check_address(address)

    async def serve(self, socket: Socket, address: str, greeting: tuple[Reply, ...] = ()) -> None:
        """Serve one accepted socket to its end; ``LimitExceeded`` where its address has too many."""
        connection = LiveConnection(
            socket,
            self._subscriptions,
            self._clock,
            address,
            self._session_limits,
            self._outbox_limits,
            self._flusher,
        )
        self._connections.add(connection)
        if self._watching is None or self._watching.done():
            self._watching = self._tasks.start("look for slow clients", self._watch())
        try:
            await connection.run(greeting)
        finally:
            self._connections.discard(connection)

    async def drain(self, timeout_s: float) -> None:
        """Tell every client that the server goes away, give them ``timeout_s`` to leave, close the rest."""
        self.draining = True
        notice = _encoder.encode(Draining(in_ms=round(timeout_s * 1000)))
        for connection in self._connections:
            connection.notify(notice)
        await self._wait_until_empty(timeout_s)
        for connection in self._connections:
            connection.end(CloseCode.RESTART, "server restart")
        await self._wait_until_empty(2 * CLOSE_DEADLINE_S)

    async def _wait_until_empty(self, timeout_s: float) -> None:
        end_s = self._clock.monotonic() + timeout_s
        while self._connections and self._clock.monotonic() < end_s:
            await self._clock.sleep(min(0.05, timeout_s))

    async def _watch(self) -> None:
        while self._connections:
            await self._clock.sleep(WATCH_INTERVAL_S)
            for connection in tuple(self._connections):
                connection.check_speed()
