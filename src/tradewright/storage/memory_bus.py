"""A message bus inside one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tradewright.domain.ports import BusSubscription
from tradewright.storage.buffered_subscription import BUFFERED_MESSAGES_MAX, BufferedSubscription


class MemoryBus:
    """Hands messages to the subscribers of this process; each has a bounded buffer of its own."""

    def __init__(self, *, buffered_max: int = BUFFERED_MESSAGES_MAX) -> None:
        self._buffered_max = buffered_max
        self._channels: dict[str, set[BufferedSubscription]] = {}

    async def publish(self, channel: str, message: bytes) -> None:
        """Hand the message to those who are subscribed now; never waits for any of them."""
        for subscription in self._channels.get(channel, ()):
            subscription.put(message)

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[BusSubscription]:
        """From entering on, nothing published is missed without a ``BusGap``."""
        subscription = BufferedSubscription(self._buffered_max)
        self._channels.setdefault(channel, set()).add(subscription)
        try:
            yield subscription
        finally:
            subscribers = self._channels[channel]
            subscribers.discard(subscription)
            if not subscribers:
                del self._channels[channel]

    @property
    def channels(self) -> frozenset[str]:
        """The channels that somebody is subscribed to."""
        return frozenset(self._channels)
