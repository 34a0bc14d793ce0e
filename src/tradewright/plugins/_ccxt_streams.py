"""Runs CCXT's ``watch_*`` methods as streams that lose nothing between two answers and end at once.

CCXT resolves a future at a message and keeps nothing for who is not waiting. So each stream has a pump,
a task that waits for the next message again in the very step in which it took the last one; its
consumer finds in a box what came meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from tradewright.domain.errors import NetworkPluginError, TradewrightError

Item = TypeVar("Item")

UNWATCH_DEADLINE_S: Final = 3.0
CLOSE_GRACE_S: Final = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Feed(Generic[Item]):
    """One thing to watch. ``take`` makes an item of an answer, or None when it says nothing new;
    ``merge`` joins an item that nobody has taken yet with the next one."""

    kind: str
    symbol: str
    watch: Callable[[Any], Awaitable[Any]]
    unwatch: Callable[[Any], Awaitable[Any]]
    unwatch_feature: str
    take: Callable[[Any], Item | None]
    merge: Callable[[Item, Item], Item]

    @property
    def key(self) -> str:
        """Names the subscription at the venue."""
        return f"{self.kind}:{self.symbol}"


class Answerer(Protocol):
    """``_ccxt_exchange.answer_of``, known only once CCXT is imported."""

    async def __call__(
        self, exchange: Any, call: Callable[[Any], Awaitable[Any]], *, deadline_s: float | None
    ) -> Any:
        """What the call gives, or one of our errors."""
        ...


class _Box(Generic[Item]):
    """Holds at most one item, into which newer ones are merged."""

    def __init__(self, merge: Callable[[Item, Item], Item]) -> None:
        self._merge = merge
        self._item: Item | None = None
        self.filled = asyncio.Event()

    def put(self, item: Item) -> None:
        self._item = item if self._item is None else self._merge(self._item, item)
        self.filled.set()

    def take(self) -> Item | None:
        item, self._item = self._item, None
        self.filled.clear()
        return item


class StreamSet:
    """The streams of one exchange.

    Closing a stream ends its subscription where CCXT can do that; when the last stream of the exchange
    has ended its sockets are closed, which ends the others. Both happen beside the caller.
    """

    def __init__(self, name: str, ready: Callable[[str], Awaitable[tuple[Any, Answerer]]]) -> None:
        self._name = name
        self._ready = ready
        self._users: Counter[str] = Counter()
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._subscriptions = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def stream(self, feed: Feed[Item]) -> AsyncIterator[Item]:
        """The feed's items, until the caller closes it or it fails with one of our errors."""
        exchange, answer = await self._ready(feed.symbol)
        await self._join(feed.key)
        box: _Box[Item] = _Box(feed.merge)
        pump = self._start(f"watch {feed.key}", _pump(exchange, answer, feed, box))
        pump.add_done_callback(lambda _: box.filled.set())
        try:
            while True:
                await box.filled.wait()
                item = box.take()
                if item is not None:
                    yield item
                elif pump.done():
                    self._check_open()
                    pump.result()
                    return
                if pump.done():
                    box.filled.set()
        finally:
            lost = _lost(pump)
            pump.cancel()
            self._users[feed.key] -= 1
            if not self._users[feed.key] and not self._closed:
                del self._users[feed.key]
                unsubscribing = self._unsubscribe(exchange, answer, feed, lost=lost)
                ending = self._start(f"unwatch {feed.key}", unsubscribing)
                self._ending[feed.key] = ending
                ending.add_done_callback(lambda _: self._ending.pop(feed.key))

    async def close(self) -> None:
        """End all streams and everything that runs for them."""
        self._closed = True
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=UNWATCH_DEADLINE_S)

    async def _join(self, key: str) -> None:
        """Count one more user of the subscription.

        Who watches again at once must get a new subscription, not the one that is about to end: it may be
        given up just because it has fallen silent.
        """
        while True:
            async with self._subscriptions:
                self._check_open()
                ending = self._ending.get(key)
                if ending is None:
                    self._users[key] += 1
                    return
            await asyncio.wait((ending,))

    def _check_open(self) -> None:
        if self._closed:
            raise NetworkPluginError(f"The connection to {self._name} is closed.")

    def _start(self, name: str, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work, name=f"ccxt/{self._name}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the stream raises it; this only marks it as seen

    async def _unsubscribe(self, exchange: Any, answer: Answerer, feed: Feed[Any], *, lost: bool) -> None:
        async with self._subscriptions:
            # Where the socket was lost there is nothing to end, and CCXT would dial just to do so.
            if not lost and exchange.has.get(feed.unwatch_feature) is True and exchange.clients:
                await self._unwatch(exchange, answer, feed)
            if not self._users:
                await _drop_sockets(exchange, list(exchange.clients))

    async def _unwatch(self, exchange: Any, answer: Answerer, feed: Feed[Any]) -> None:
        heard = {url: client.last_message_at for url, client in exchange.clients.items()}
        try:
            await answer(exchange, feed.unwatch, deadline_s=UNWATCH_DEADLINE_S)
        except TradewrightError as error:
            # CCXT believes that it is still subscribed, perhaps on a socket that has fallen silent:
            # it would never subscribe again. So the sockets that said nothing meanwhile are given up.
            _log.info("%s: could not unsubscribe from %s: %s", self._name, feed.key, error)
            clients = exchange.clients.items()
            silent = [url for url, client in clients if client.last_message_at == heard.get(url)]
            await _drop_sockets(exchange, silent or list(exchange.clients))


async def drop_all_sockets(exchange: Any) -> None:
    """Close every socket of the exchange, where there is one and it has any."""
    clients = getattr(exchange, "clients", None)
    if clients:
        await _drop_sockets(exchange, list(clients))


async def _drop_sockets(exchange: Any, urls: list[str]) -> None:
    """Close those sockets; who still watches through one gets a ``NetworkPluginError``."""
    closing = []
    for url in urls:
        client = exchange.clients.pop(url)
        closing.append(asyncio.create_task(client.close(), name=f"ccxt/{exchange.id}/close"))
    if closing:
        # A silent peer does not answer the closing; its socket then goes when aiohttp gives up.
        await asyncio.wait(closing, timeout=CLOSE_GRACE_S)


def _lost(pump: asyncio.Task[None]) -> bool:
    """Whether the stream ended because its socket did."""
    if not pump.done() or pump.cancelled():
        return False
    return isinstance(pump.exception(), NetworkPluginError)


async def _pump(exchange: Any, answer: Answerer, feed: Feed[Item], box: _Box[Item]) -> None:
    while True:
        item = feed.take(await answer(exchange, feed.watch, deadline_s=None))
        if item is not None:
            box.put(item)
