"""A message bus inside one process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tradewright.domain.ports import BusGap, BusSubscription

BUFFERED_MESSAGES_MAX: Final = 10_000


class _MemorySubscription:
    """What one subscriber has not taken yet. When it lags too far, all of it is dropped and it is told so."""

    def __init__(self, buffered_max: int) -> None:
        self._buffered_max = buffered_max
        self._messages: deque[bytes] = deque()
        self._lost = False
        self._arrived = asyncio.Event()

    def put(self, message: bytes) -> None:
        if len(self._messages) >= self._buffered_max:
            self._messages.clear()
            self._lost = True
        self._messages.append(message)
        self._arrived.set()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._messages:
            self._arrived.clear()
            await self._arrived.wait()
        if self._lost:
            self._lost = False
            raise BusGap
        return self._messages.popleft()


class MemoryBus:
    """Hands messages to the subscribers of this process; each has a bounded buffer of its own."""

    def __init__(self, *, buffered_max: int = BUFFERED_MESSAGES_MAX) -> None:
        self._buffered_max = buffered_max
        self._channels: dict[str, set[_MemorySubscription]] = {}

    async def publish(self, channel: str, message: bytes) -> None:
        """Hand the message to those who are subscribed now; never waits for any of them."""
        for subscription in self._channels.get(channel, ()):
            subscription.put(message)

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[BusSubscription]:
        """From entering on, nothing published is missed without a ``BusGap``."""
        subscription = _MemorySubscription(self._buffered_max)
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
