"""One connection to a Redis, on which messages are published and received and commands are called.

In RESP3 all of that fits on one connection. So a message that was published, the messages that others
published, and the loss of either stand in one order, which two connections could not tell.

Nothing here waits: what is sent in one turn of the event loop leaves in one piece, and what arrives is
handed on while it is read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias, cast

import hiredis
from hiredis import PushNotification, ReplyError

from tradewright.runtime.clock import Clock

ANSWER_S: Final = 3.0
"""What was sent is answered within this time, or the connection counts as lost."""

UNSENT_BYTES_MAX: Final = 16 * 1024 * 1024
"""So much waits at most while Redis takes nothing; beyond it the connection is given up."""

BATCH_BYTES: Final = 64 * 1024

FED_BYTES: Final = 16 * 1024

_PING: Final = hiredis.pack_command((b"PING",))
_MESSAGES: Final = (b"message", b"smessage")
_JOINED: Final = (b"subscribe", b"ssubscribe")
_LEFT: Final = (b"unsubscribe", b"sunsubscribe")
_NOTHING: Final = object()

Word: TypeAlias = bytes | str | int
Reply: TypeAlias = Any
"""What Redis says: bytes, numbers, lists and tables of them, or a ``ReplyError``."""


def pack(*words: Word) -> bytes:
    """A command as Redis reads it."""
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]
    return packed


class WireClosed(ConnectionError):
    """The connection has ended, for the reason that the message tells; it holds no address."""


class Receiver(Protocol):
    """Who is told what comes over a wire."""

    @property
    def sinks(self) -> Mapping[bytes, Sequence[Callable[[bytes], None]]]:
        """To whom the messages of each channel go, as it is at any time; always the same mapping."""
        ...

    def dropped(self, name: bytes) -> None:
        """Redis ended the subscription of its own accord."""
        ...

    def refused(self, reason: str) -> None:
        """A message that was published reached nobody."""
        ...


class _Published:
    """Messages that were sent in one piece and are not answered yet."""

    __slots__ = ("names", "since_s")

    def __init__(self, since_s: float) -> None:
        self.since_s = since_s
        self.names: deque[bytes] = deque()


class _Called:
    """A command, and who waits for its answer."""

    __slots__ = ("answer", "future", "since_s")

    def __init__(
        self,
        since_s: float,
        answer: Callable[[Reply], None] | None = None,
        future: asyncio.Future[Reply] | None = None,
    ) -> None:
        self.since_s = since_s
        self.answer = answer
        self.future = future

    def answered(self, reply: Reply) -> None:
        """Hand the answer on."""
        if self.answer is not None:
            self.answer(reply)
        if self.future is not None and not self.future.done():
            self.future.set_result(reply)

    def fail(self, reason: str) -> None:
        """Say that there will be no answer."""
        if self.future is not None and not self.future.done():
            self.future.set_exception(WireClosed(reason))
            self.future.exception()  # whoever called may have left, and then nobody is to be told


class Changes:
    """Channels that are being joined or left. ``names`` are those that Redis has not confirmed."""

    __slots__ = ("errors", "leaving", "names", "since_s")

    def __init__(self, since_s: float, names: Iterable[bytes], *, leaving: bool) -> None:
        self.since_s = since_s
        self.names = set(names)
        self.leaving = leaving
        self.errors: list[str] = []


class Wire(asyncio.Protocol):
    """A connection. ``closed`` is done with the reason when it has ended, for whatever reason."""

    def __init__(self, clock: Clock, receiver: Receiver) -> None:
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._clock = clock
        self._receiver = receiver
        self._sinks = receiver.sinks
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None
        self._awaited: deque[_Published | _Called | Changes] = deque()
        self._batch: _Published | None = None
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._flushing = False
        self._paused = False

    # Sending

    def publish(self, name: bytes, command: bytes) -> None:
        """Send a message, of whose channel the name is, with the next piece."""
        batch = self._batch
        if batch is None:
            batch = self._batch = _Published(self._clock.monotonic())
            self._awaited.append(batch)
        batch.names.append(name)
        self._send(command)

    def call(self, *words: Word) -> asyncio.Future[Reply]:
        """Call a command; its answer, which may be a ``ReplyError``. ``WireClosed`` when the connection
        ends first."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        called = _Called(self._clock.monotonic(), future=future)
        if self.closed.done():
            called.fail(self.closed.result())
        else:
            self._await(called, pack(*words))
        return future

    def join(self, commands: bytes, names: Sequence[bytes], done: Callable[[Changes], None]) -> None:
        """Send what subscribes to these channels. ``done`` is called at the place among the messages
        from which on none of a confirmed channel is missed."""
        self._change(commands, Changes(self._clock.monotonic(), names, leaving=False), done)

    def leave(self, commands: bytes, names: Sequence[bytes]) -> None:
        """Send what ends the subscription to these channels."""
        self._change(commands, Changes(self._clock.monotonic(), names, leaving=True), lambda _: None)

    def check(self) -> None:
        """Give the connection up where an answer is overdue, and ask for one where none is awaited."""
        if not self._awaited:
            self._await(_Called(self._clock.monotonic()), _PING)
        elif self._clock.monotonic() - self._awaited[0].since_s > ANSWER_S:
            self.give_up("Redis does not answer.")

    def unanswered(self) -> list[bytes]:
        """The channel of each message that was sent, or was to be, and of which it is not known whether
        it reached anybody."""
        return [name for each in self._awaited if isinstance(each, _Published) for name in each.names]

    def give_up(self, reason: str) -> None:
        """End the connection now."""
        if not self.closed.done():
            self.closed.set_result(reason)
            for each in self._awaited:
                if isinstance(each, _Called):
                    each.fail(reason)
        if self._transport is not None:
            self._transport.abort()

    def _change(self, commands: bytes, changes: Changes, done: Callable[[Changes], None]) -> None:
        # A subscription is confirmed by pushes and refused by answers, so a PING tells which it was.
        self._await(changes, commands)
        self._await(_Called(changes.since_s, lambda _: done(changes)), _PING)

    def _await(self, awaited: _Called | Changes, command: bytes) -> None:
        self._batch = None
        self._awaited.append(awaited)
        self._send(command)

    def _send(self, command: bytes) -> None:
        self._unsent.append(command)
        self._unsent_bytes += len(command)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)
        if self._unsent_bytes > BATCH_BYTES:
            self._write()

    def _flush(self) -> None:
        self._flushing = False
        self._write()

    def _write(self) -> None:
        if self._paused:
            if self._unsent_bytes > UNSENT_BYTES_MAX:
                self.give_up("Redis takes nothing any more.")
            return
        if self._unsent and self._transport is not None and not self.closed.done():
            self._transport.write(b"".join(self._unsent))
            self._batch = None
            self._unsent.clear()
            self._unsent_bytes = 0

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = transport = cast("asyncio.Transport", transport)  # uvloop's has another base
        transport.set_write_buffer_limits(high=1024 * 1024)
        if self.closed.done():
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self.give_up("The connection to Redis broke.")

    def pause_writing(self) -> None:
        """Redis does not keep up."""
        self._paused = True

    def resume_writing(self) -> None:
        """Redis has caught up."""
        self._paused = False
        self._write()

    def data_received(self, data: bytes) -> None:
        """Hand on all that has arrived as a whole."""
        try:
            # Its time to take a message grows with what it holds, so it is fed in small pieces.
            for start in range(0, len(data), FED_BYTES):
                if self.closed.done():
                    return
                self._reader.feed(data, start, min(FED_BYTES, len(data) - start))
                self._read()
        except (hiredis.ProtocolError, IndexError):
            self.give_up("What answers at that address is no Redis.")

    def _read(self) -> None:
        # Every message comes this way, so nothing is called that need not be.
        read, sinks_of = self._reader.gets, self._sinks.get
        while (item := read()) is not _NOTHING:
            if type(item) is not PushNotification:
                self._answered(item)
            elif item[0] in _MESSAGES:
                for sink in sinks_of(item[1], ()):
                    sink(item[2])
                continue
            else:
                self._pushed(item)
            if self.closed.done():
                return

    def _pushed(self, item: list[Any]) -> None:
        kind, name = item[0], item[1]
        head = self._awaited[0] if self._awaited else None
        if isinstance(head, Changes) and head.leaving != (kind in _JOINED) and name in head.names:
            head.names.discard(name)
        elif kind in _LEFT:
            self._receiver.dropped(name)

    def _answered(self, reply: Reply) -> None:
        head = self._awaited[0]
        if isinstance(head, Changes):
            if isinstance(reply, ReplyError):
                head.errors.append(str(reply))
                return
            self._awaited.popleft()
            head = self._awaited[0]
        if isinstance(head, _Published):
            head.names.popleft()
            if not head.names:
                self._awaited.popleft()
            if isinstance(reply, ReplyError):
                self._receiver.refused(str(reply))
        elif isinstance(head, _Called):
            self._awaited.popleft()
            head.answered(reply)
