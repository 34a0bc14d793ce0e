"""The message bus in Redis: Pub/Sub, which in a cluster is sharded Pub/Sub."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from tradewright.domain.ports import BusSubscription
from tradewright.runtime.clock import Clock
from tradewright.runtime.metrics import BusMetrics
from tradewright.storage.buffered_subscription import BUFFERED_MESSAGES_MAX, BufferedSubscription
from tradewright.storage.redis.address import RedisAddress
from tradewright.storage.redis.cache import PREFIX
from tradewright.storage.redis.channels import Channel
from tradewright.storage.redis.nodes import Nodes
from tradewright.storage.redis.subscribing import Subscriptions
from tradewright.storage.redis.wire import pack

_log = logging.getLogger(__name__)

CONFIRM_S: Final = 1.0
"""So long a new subscription waits to be confirmed; then it begins all the same, and is told its loss."""

SETTLING_S: Final = 0.01


class RedisBus:
    """A bus for all processes that use the same Redis and the same ``prefix``.

    A message comes to the subscribers of this process through Redis as to all others, so that all see
    one order. A connection that is closed or falls silent is noticed within six seconds and made anew
    within two of Redis's return. While there is none, messages are handed to the subscribers of this
    process directly, and those of others miss them. Each subscriber is told by ``BusGap``, once, before the
    first message after a loss, and when the connection is back.

    Publishing waits for nothing. What could not be sent is counted in ``lost``.
    """

    def __init__(
        self,
        address: RedisAddress,
        clock: Clock,
        metrics: BusMetrics | None = None,
        *,
        prefix: str = PREFIX,
        buffered_max: int = BUFFERED_MESSAGES_MAX,
    ) -> None:
        self._clock = clock
        self._prefix = f"{prefix}:bus:".encode()
        self._buffered_max = buffered_max
        self._subscriptions = Subscriptions(clock, metrics or BusMetrics())
        self._nodes = self._subscriptions.nodes = Nodes(address, clock, self._subscriptions, name="bus")

    def start(self) -> None:
        """Begin to connect; whoever publishes or subscribes does so as well."""
        self._nodes.start()

    async def close(self) -> None:
        """End the connections; may be called twice. Subscribers get nothing any more."""
        await self._nodes.close()

    async def settled(self) -> None:
        """Return when it is known whether messages reach all others, after a second at the latest."""
        self._nodes.start()
        began_s = self._clock.monotonic()
        while self.alone and self.problem is None and self._clock.monotonic() - began_s < CONFIRM_S:
            await self._clock.sleep(SETTLING_S)

    @property
    def alone(self) -> bool:
        """Whether what is published now does not reach all other processes."""
        return not all(node.up for node in self._nodes.wanted)

    @property
    def problem(self) -> str | None:
        """Why messages do not reach all other processes; None where they do, or that is not known yet."""
        return next((node.problem for node in self._nodes.wanted if node.problem is not None), None)

    @property
    def lost(self) -> int:
        """Messages of this process that may not have reached others."""
        return self._subscriptions.lost_messages

    @property
    def losses(self) -> int:
        """Connections that were lost."""
        return self._subscriptions.lost_connections

    @property
    def channels(self) -> frozenset[str]:
        """The channels that somebody is subscribed to."""
        return frozenset(
            name.removeprefix(self._prefix).decode()
            for name, channel in self._subscriptions.channels.items()
            if channel.subscribers
        )

    def on_publish_lost(self, callback: Callable[[], None]) -> None:
        """Call this whenever a connection is back after messages of this process may not have reached
        others: what is published then reaches them, so that they see what they have missed."""
        self._subscriptions.on_publish_lost.append(callback)

    async def publish(self, channel: str, message: bytes) -> None:
        """Hand the message to those who are subscribed now; waits for nothing."""
        name = self._prefix + channel.encode()
        node = self._nodes.node_of(name)
        if node.up and node.wire is not None:
            verb = b"SPUBLISH" if self._nodes.clustered else b"PUBLISH"
            node.wire.publish(name, pack(verb, name, message))
            return
        self._nodes.start()
        self._subscriptions.hand_over(name, message)

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[BusSubscription]:
        """From entering on, nothing published is missed without a ``BusGap``."""
        self._nodes.start()
        name = self._prefix + channel.encode()
        known = self._subscriptions.channel(name)
        subscriber = BufferedSubscription(self._buffered_max)
        known.add(subscriber)
        try:
            if not known.ready:
                await self._wait_for(name, known)
            known.enter(subscriber)
            yield subscriber
        finally:
            known.remove(subscriber)
            if not known.subscribers:
                self._subscriptions.change(name)

    async def _wait_for(self, name: bytes, channel: Channel) -> None:
        self._subscriptions.change(name)
        if self._nodes.node_of(name).problem is not None:
            return
        try:
            async with asyncio.timeout(CONFIRM_S):
                await channel.confirmed()
        except TimeoutError:
            _log.debug("a subscription begins before it is confirmed")
