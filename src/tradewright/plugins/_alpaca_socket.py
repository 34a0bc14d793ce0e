"""One websocket that all streams of one kind share, and what becomes of them when it fails.

It is opened with the first stream and closed a moment after the last one. Each stream finds in a box
what came since it looked; a failure of the socket ends them all, and who watches again gets a new one.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import aiohttp
import msgspec

from tradewright.domain.errors import NetworkPluginError, PluginError, TimeoutPluginError
from tradewright.plugins._alpaca_errors import NAME, copy_of, malformed, refusal
from tradewright.runtime.clock import Clock

Item = TypeVar("Item")

HANDSHAKE_TIMEOUT_S: Final = 10.0
PING_EACH_S: Final = 20.0
MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024
LINGER_S: Final = 5.0
DIALS_MAX: Final = 4
DIALS_WITHIN_S: Final = 60.0
CLOSE_GRACE_S: Final = 1.0
_log = logging.getLogger(__name__)


class Box(Generic[Item]):
    """Holds at most one item, into which newer ones are merged; or the reason why none will come."""

    def __init__(self, merge: Callable[[Item, Item], Item]) -> None:
        self._merge = merge
        self._item: Item | None = None
        self.error: PluginError | None = None
        self.filled = asyncio.Event()

    def put(self, item: Item) -> None:
        """Add an item; one that can't be merged any more ends the stream."""
        try:
            self._item = item if self._item is None else self._merge(self._item, item)
        except PluginError as error:
            self.fail(error)
        self.filled.set()

    def take(self) -> Item | None:
        """What waits, or None."""
        item, self._item = self._item, None
        if self.error is None:
            self.filled.clear()
        return item

    def fail(self, error: PluginError) -> None:
        """No more items."""
        self.error = self.error or copy_of(error)
        self.filled.set()


@dataclass(frozen=True, slots=True)
class Feed(Generic[Item]):
    """One thing to watch: ``symbol`` on ``channels``.

    ``take`` makes an item of a message, or None when it says nothing new; ``merge`` joins an item that
    nobody has taken yet with the next one; ``keeps_state`` says that whoever joins needs the last item.
    """

    kind: str
    symbol: str
    channels: tuple[str, ...]
    take: Callable[[str, Any], Item | None]
    merge: Callable[[Item, Item], Item]
    keeps_state: bool = False


@dataclass(slots=True)
class Watched(Generic[Item]):
    """A feed with those who watch it."""

    feed: Feed[Item]
    boxes: list[Box[Item]] = field(default_factory=list)
    latest: Item | None = None

    def hand_on(self, channel: str, message: Any) -> None:
        """Give everybody what the message says; one that can't be read ends these streams, and loudly."""
        try:
            item = self.feed.take(channel, message)
        except PluginError as error:
            self.fail(error)
            return
        if item is not None:
            self.latest = item if self.feed.keeps_state else None
            for box in self.boxes:
                box.put(item)

    def fail(self, error: PluginError) -> None:
        """End these streams."""
        for box in self.boxes:
            box.fail(error)


class SharedSocket(ABC):
    """Opens, logs in, reads and closes the socket. What is said on it is for subclasses."""

    def __init__(
        self, name: str, url: str, session: Callable[[], aiohttp.ClientSession], clock: Clock
    ) -> None:
        self._name = name
        self._url = url
        self._session = session
        self._clock = clock
        self._runner: asyncio.Task[None] | None = None
        self._lingering: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._dialled: deque[float] = deque(maxlen=DIALS_MAX)
        self._not_before_s = clock.monotonic()
        self._refused: PluginError | None = None
        self.watched: dict[tuple[str, str], Watched[Any]] = {}
        self.changed = asyncio.Event()
        self._closed = False

    @abstractmethod
    async def log_in(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Return when the venue has accepted the key; raises one of our errors."""

    @abstractmethod
    def handle(self, frame: Any) -> None:
        """Take one decoded frame; raising one of our errors ends every stream."""

    @abstractmethod
    async def keep_subscribed(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Subscribe to what is watched, and go on doing so as it changes."""

    async def stream(self, feed: Feed[Item]) -> AsyncGenerator[Item, None]:
        """The feed's items, until the caller closes it or it fails with one of our errors."""
        box = self._join(feed)
        try:
            while True:
                await box.filled.wait()
                item = box.take()
                if item is not None:
                    yield item
                elif box.error is not None:
                    raise box.error
        finally:
            self._leave(feed, box)

    def _join(self, feed: Feed[Item]) -> Box[Item]:
        self._check_open()
        if self._refused is not None and self._clock.monotonic() < self._not_before_s:
            raise copy_of(self._refused)
        watched: Watched[Item] = self.watched.setdefault((feed.kind, feed.symbol), Watched(feed))
        box: Box[Item] = Box(feed.merge)
        watched.boxes.append(box)
        if watched.latest is not None:
            box.put(watched.latest)
        self.changed.set()
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        if self._runner is None:
            self._runner = self._start("socket", self._run())
        return box

    def _leave(self, feed: Feed[Item], box: Box[Item]) -> None:
        key = feed.kind, feed.symbol
        watched = self.watched.get(key)
        if watched is None or box not in watched.boxes:
            return  # the socket has failed, and nothing of it is left
        watched.boxes.remove(box)
        if watched.boxes:
            return
        del self.watched[key]
        self.changed.set()
        if not self.watched and self._runner is not None and not self._closed:
            self._lingering = self._start("linger", self._linger(self._runner))

    async def close(self) -> None:
        """End all streams and everything that runs for them."""
        self._closed = True
        self._fail(NetworkPluginError(f"The connection to {NAME} is closed."))
        tasks = tuple(self._ending)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _check_open(self) -> None:
        if self._closed:
            raise NetworkPluginError(f"The connection to {NAME} is closed.")

    def _start(self, name: str, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work, name=f"alpaca/{self._name}/{name}")
        self._ending.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled():
            task.exception()

    def refuse_until(self, error: PluginError, delay_s: float) -> PluginError:
        """The venue wants no socket of us for a while: who watches before gets the error at once."""
        self._refused = error
        self._not_before_s = self._clock.monotonic() + delay_s
        return error

    def fail_some(self, which: Iterable[tuple[str, str]], error: PluginError) -> None:
        """End those streams, and forget them."""
        for key in tuple(which):
            watched = self.watched.pop(key, None)
            if watched is not None:
                watched.fail(error)
        self.changed.set()

    def _fail(self, error: PluginError) -> None:
        """End every stream; who watches from now on gets a new socket."""
        self._runner = None
        self.fail_some(tuple(self.watched), error)

    async def _linger(self, runner: asyncio.Task[None]) -> None:
        """Keep the socket for a moment: dialling is bounded, and views come and go."""
        await self._clock.sleep(LINGER_S)
        if self._runner is runner and not self.watched:
            self._runner = None
            runner.cancel()

    async def _run(self) -> None:
        """The life of one socket."""
        before = tuple(task for task in self._ending if task is not asyncio.current_task())
        before = tuple(task for task in before if task is not self._lingering)
        if before:  # the venue takes one socket at a time
            await asyncio.wait(before, timeout=2 * CLOSE_GRACE_S)
        try:
            await self._wait_for_a_turn()
            await self._talk()
        except PluginError as error:
            _log.info("alpaca/%s: the stream ended: %s", self._name, error.message)
            self._fail_if_mine(error)
        except TimeoutError:
            self._fail_if_mine(TimeoutPluginError(f"{NAME}'s stream did not answer in time."))
        except aiohttp.WSServerHandshakeError as error:
            self._fail_if_mine(refusal(error.status, None, writing=False))
        except (aiohttp.ClientError, OSError, EOFError):
            self._fail_if_mine(NetworkPluginError(f"{NAME}'s stream could not be reached, or broke off."))

    def _fail_if_mine(self, error: PluginError) -> None:
        if self._runner is asyncio.current_task():
            self._fail(error)

    async def _wait_for_a_turn(self) -> None:
        """No more than ``DIALS_MAX`` sockets a minute, however often they fail."""
        while len(self._dialled) == DIALS_MAX:
            ahead_s = self._dialled[0] + DIALS_WITHIN_S - self._clock.monotonic()
            if ahead_s <= 0:
                break
            await self._clock.sleep(ahead_s)
        self._dialled.append(self._clock.monotonic())

    async def _talk(self) -> None:
        timeout = aiohttp.ClientWSTimeout(ws_close=CLOSE_GRACE_S)
        async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
            socket = await self._session().ws_connect(
                self._url, timeout=timeout, heartbeat=PING_EACH_S, max_msg_size=MESSAGE_BYTES_MAX
            )
        subscribing: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                await self.log_in(socket)
            self._refused = None
            subscribing = self._start("subscribe", self.keep_subscribed(socket))
            while True:
                self.handle(await frame(socket))
        finally:
            if subscribing is not None:
                subscribing.cancel()
            await socket.close()


async def frame(socket: aiohttp.ClientWebSocketResponse) -> Any:
    """The next frame, decoded; text and binary ones hold JSON alike. Raises our errors."""
    message = await socket.receive()
    match message.type:
        case aiohttp.WSMsgType.TEXT | aiohttp.WSMsgType.BINARY:
            try:
                return msgspec.json.decode(message.data)
            except (msgspec.DecodeError, RecursionError, ValueError):
                raise malformed("a message of its stream is no JSON") from None
        case aiohttp.WSMsgType.ERROR if isinstance(message.data, aiohttp.WebSocketError):
            raise malformed("its stream breaks the protocol")
        case _:
            raise NetworkPluginError(f"{NAME}'s stream broke off.")
