"""The channels of a bus that this process listens to, and where each of them stands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tradewright.storage.buffered_subscription import BufferedSubscription
from tradewright.storage.redis.node import Sinks


class Channel:
    """One channel and its subscribers.

    ``ready`` says that Redis has confirmed our subscription and the connection has not been lost since.
    Only then are messages from there handed out: what came before is part of the loss that is told when it
    becomes ready.
    """

    def __init__(self, name: bytes, sinks: Sinks) -> None:
        self.ready = False
        self.subscribers: set[BufferedSubscription] = set()
        self._name = name
        self._sinks = sinks
        self._puts: list[Callable[[bytes], None]] = []
        self._entered: set[BufferedSubscription] = set()
        self._torn = False
        self._confirmed: asyncio.Future[None] | None = None

    def add(self, subscriber: BufferedSubscription) -> None:
        """Hand messages to one more; it counts as entered only when ``enter`` is called."""
        self.subscribers.add(subscriber)
        self._puts.append(subscriber.put)

    def enter(self, subscriber: BufferedSubscription) -> None:
        """From now on it is told what it misses."""
        self._entered.add(subscriber)

    def remove(self, subscriber: BufferedSubscription) -> None:
        """Hand it nothing any more."""
        self.subscribers.discard(subscriber)
        self._puts.remove(subscriber.put)
        self._entered.discard(subscriber)

    async def confirmed(self) -> None:
        """Return when the channel is ready, or it is known that it can't be."""
        if self._confirmed is None or self._confirmed.done():
            self._confirmed = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._confirmed)

    def confirm(self) -> None:
        """Redis hands us all messages from now on."""
        self.ready, self._torn = True, False
        self._sinks[self._name] = self._puts
        self.lose()
        self.give_up_waiting()

    def tear(self, *, lost: bool) -> None:
        """The connection is gone, and where ``lost`` messages of our own may be gone with it."""
        self.stop()
        if lost:
            self.lose()
        else:
            self._torn = True

    def stop(self) -> None:
        """Hand out nothing that comes from Redis."""
        self.ready = False
        self._sinks.pop(self._name, None)

    def give_up_waiting(self) -> None:
        """Let those go on who wait for a confirmation."""
        if self._confirmed is not None and not self._confirmed.done():
            self._confirmed.set_result(None)

    def hand_over(self, message: bytes) -> None:
        """A message of this process, while it is alone."""
        if self._torn:
            self._torn = False
            self.lose()
        for put in self._puts:
            put(message)

    def lose(self) -> None:
        """Tell all who have entered that messages were lost."""
        for subscriber in self._entered:
            subscriber.lose()
