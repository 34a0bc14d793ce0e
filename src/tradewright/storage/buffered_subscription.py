"""What one subscriber of a bus has not taken yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

from tradewright.domain.ports import BusGap

BUFFERED_MESSAGES_MAX: Final = 10_000


class BufferedSubscription:
    """Messages in order, and between them the places where some were lost.

    A subscriber that lags so far that it would hold more than ``buffered_max`` loses all that it holds,
    and is told so. Of several losses with no message between, it is told once. For one task at a time.
    """

    __slots__ = ("_arrived", "_buffered_max", "_messages", "_new_future")

    def __init__(self, buffered_max: int = BUFFERED_MESSAGES_MAX) -> None:
        self._buffered_max = buffered_max
        self._messages: deque[bytes | None] = deque()  # None stands where some were lost
        self._arrived: asyncio.Future[None] | None = None
        self._new_future: Callable[[], asyncio.Future[None]] | None = None

    def put(self, message: bytes) -> None:
        """Keep a message until it is taken."""
        messages = self._messages
        if len(messages) >= self._buffered_max:
            messages.clear()
            messages.append(None)
        messages.append(message)
        # Every message comes this way, so nothing is called that need not be.
        arrived = self._arrived
        if arrived is not None:
            self._arrived = None
            if not arrived.done():
                arrived.set_result(None)

    def lose(self) -> None:
        """Note that messages were lost after those that are held."""
        if not self._messages or self._messages[-1] is not None:
            self._messages.append(None)
            arrived, self._arrived = self._arrived, None
            if arrived is not None and not arrived.done():
                arrived.set_result(None)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        messages = self._messages
        while not messages:
            if self._new_future is None:
                self._new_future = asyncio.get_running_loop().create_future
            self._arrived = arrived = self._new_future()
            await arrived
        message = messages.popleft()
        if message is None:
            raise BusGap
        return message
