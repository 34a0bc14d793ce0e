"""All the sockets of this process together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import msgspec

from tradewright.domain.errors import LimitExceeded, StorageUnavailable
from tradewright.runtime.clock import Clock
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.authentication import (
    Authenticator,
    NoAccounts,
    NoPrivateStreams,
    PrivateStreams,
)
from tradewright.services.feeds.timing import within
from tradewright.services.subscription_registry import SubscriptionRegistry
from tradewright.services.subscription_service import SubscriptionService
from tradewright.web.protocol import CloseCode, Draining
from tradewright.web.ws.allowance import Allowance
from tradewright.web.ws.connection import CLOSE_DEADLINE_S, Access, LiveConnection, Socket
from tradewright.web.ws.flusher import Flusher
from tradewright.web.ws.login import ANSWER_DEADLINE_S
from tradewright.web.ws.outbox import OutboxLimits
from tradewright.web.ws.session import SessionLimits

WATCH_INTERVAL_S: Final = 0.5
RECHECK_INTERVAL_S: Final = 15.0
"""How often the sessions of all users are looked up, for the case that a notice of their end was lost."""
ENDED_SESSIONS_MAX: Final = 10_000
_encoder: Final = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class HandshakeLimits:
    """How many clients may connect a second, and how many at once: a handshake costs a millisecond, and those
    who are there already come first. Who is refused tries again a little later."""

    per_s: float = 200.0
    burst: int = 200


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
        handshakes: HandshakeLimits = HandshakeLimits(),
        authenticator: Authenticator | None = None,
        private: PrivateStreams | None = None,
        flusher: Flusher | None = None,
        login_first: bool = False,
    ) -> None:
        self._subscriptions = subscriptions
        self._registry = registry
        self._clock = clock
        self._session_limits = session_limits or SessionLimits()
        self._outbox_limits = outbox_limits or OutboxLimits()
        self._connections: set[LiveConnection] = set()
        self._flusher = flusher or Flusher()
        self._tasks = TaskSupervisor("live sockets")
        self._watching: asyncio.Task[None] | None = None
        self._rechecking: asyncio.Task[None] | None = None
        self._handshakes = Allowance(clock.monotonic(), per_s=handshakes.per_s, burst=handshakes.burst)
        self._ended: dict[str, None] = {}
        self._authenticator = authenticator or NoAccounts()
        self._authenticator.watch_endings(self.end_session)
        self._access = Access(
            self._authenticator,
            private or NoPrivateStreams(),
            registry.identify,
            self._ended.__contains__,
            login_first,
        )
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

    def check_rate(self) -> None:
        """``LimitExceeded`` where so many clients come at once that the others would feel it."""
        self._handshakes.earn(self._clock.monotonic())
        if not self._handshakes.spend():
            raise LimitExceeded("Too many clients come at once.")

    def end_session(self, session: str) -> None:
        """The session is ended: close the sockets of whoever is logged in by it, now and later."""
        self._ended[session] = None
        while len(self._ended) > ENDED_SESSIONS_MAX:
            del self._ended[next(iter(self._ended))]
        self._close_those_of(session)

    def _close_those_of(self, session: str) -> None:
        for connection in self._connections:
            if connection.identity is not None and connection.identity.session == session:
                connection.end(CloseCode.TOKEN_EXPIRED, "session ended")

    async def serve(self, socket: Socket, address: str, token: str | None = None) -> None:
        """Serve one accepted socket to its end; ``LimitExceeded`` where its address has too many."""
        connection = LiveConnection(
            socket,
            self._subscriptions,
            self._clock,
            address,
            self._session_limits,
            self._outbox_limits,
            self._flusher,
            self._access,
        )
        self._connections.add(connection)
        if self._watching is None or self._watching.done():
            self._watching = self._tasks.start("look after clients", self._watch())
        if self._rechecking is None or self._rechecking.done():
            self._rechecking = self._tasks.start("look up sessions", self._recheck())
        try:
            await connection.run(token)
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
                connection.check()

    async def _recheck(self) -> None:
        while self._connections:
            await self._clock.sleep(RECHECK_INTERVAL_S)
            identities = {each.identity.session: each.identity for each in self._connections if each.identity}
            for session, identity in identities.items():
                try:
                    current = await within(
                        self._clock, ANSWER_DEADLINE_S, self._authenticator.is_current(identity)
                    )
                except (StorageUnavailable, TimeoutError):
                    break  # nobody can be looked up now; the next round will
                if not current:
                    # Not for good: whoever is shut out may be let in again, and their API tokens with them.
                    self._close_those_of(session)
