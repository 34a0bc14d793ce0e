"""One socket at work: a reader, a writer, and the views between them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol
from weakref import WeakValueDictionary

import msgspec

from tradewright.domain.errors import LimitExceeded, StorageUnavailable, TradewrightError
from tradewright.domain.people import InvalidToken
from tradewright.runtime.clock import Clock
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.authentication import Authenticator, Identity, PrivateStreams
from tradewright.services.feeds.timing import within
from tradewright.services.subscription_service import SubscriptionService
from tradewright.web.protocol import CloseCode, Ok
from tradewright.web.ws.flusher import Flusher
from tradewright.web.ws.login import ANSWER_DEADLINE_S, Login
from tradewright.web.ws.outbox import Outbox, OutboxLimits
from tradewright.web.ws.sending import MessageWriter
from tradewright.web.ws.session import (
    Close,
    EndView,
    OpenPrivateView,
    OpenView,
    Reply,
    SessionLimits,
    TakeToken,
    WsSession,
    error_reply,
)
from tradewright.web.ws.writing import FrameSocket, FrameWriter, Writer

_log = logging.getLogger(__name__)

SEND_DEADLINE_S: Final = 5.0
CLOSE_DEADLINE_S: Final = 2.0
OPENING_AT_ONCE: Final = 12
OPENING_PER_PROVIDER: Final = 4
"""So many of a connection's subscriptions to one provider are under way at a time: one that does not
answer delays its own alone."""
TASKS_MAX: Final = 400
_encoder: Final = msgspec.json.Encoder()


WRONG_TOKENS_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Access:
    """How a connection finds out who is there and what they may see."""

    authenticator: Authenticator
    private: PrivateStreams
    identify: Callable[[str, str], None]
    """Notes whose a connection is; ``LimitExceeded`` where that user has too many."""
    has_ended: Callable[[str], bool]
    """Whether that session has been ended."""
    login_first: bool = False
    """Whether nothing is shown to somebody who has not logged in."""


class Socket(Protocol):
    """What a connection needs of the web server's socket."""

    async def receive(self) -> str | bytes:
        """The next message; ``OSError`` where the client is gone."""
        ...

    def send(self, text: str) -> Awaitable[None]: ...

    @property
    def frames(self) -> FrameSocket | None:
        """The way past ``send``, where the server offers one."""
        ...

    async def close(self, code: int, reason: str) -> None: ...

    def expel(self, code: int, reason: str) -> None:
        """Close without waiting for a client that takes nothing."""
        ...


class Slots:
    """How many of a connection's subscriptions may be under way at a time."""

    __slots__ = ("_of_providers", "opening")

    def __init__(self) -> None:
        self.opening = asyncio.Semaphore(OPENING_AT_ONCE)
        # Held by those who use them: names of providers that nobody waits for are forgotten.
        self._of_providers: WeakValueDictionary[tuple[str, str], asyncio.Semaphore] = WeakValueDictionary()

    def of_provider(self, market: str, provider: str) -> asyncio.Semaphore:
        """The slots of one provider."""
        return self._of_providers.setdefault((market, provider), asyncio.Semaphore(OPENING_PER_PROVIDER))


class LiveConnection:
    """One client. ``run`` returns when the socket is closed or the client is gone."""

    __slots__ = (
        "__weakref__",
        "_access",
        "_clock",
        "_end",
        "_login",
        "_outbox",
        "_pending",
        "_session",
        "_slots",
        "_socket",
        "_subscriptions",
        "_tasks",
        "_writer",
        "_writing",
        "_wrong_tokens",
        "id",
    )

    def __init__(
        self,
        socket: Socket,
        subscriptions: SubscriptionService,
        clock: Clock,
        address: str,
        session_limits: SessionLimits,
        outbox_limits: OutboxLimits,
        flusher: Flusher,
        access: Access,
    ) -> None:
        self._socket = socket
        self._subscriptions = subscriptions
        self._clock = clock
        self._session = WsSession(clock.monotonic(), session_limits, login_first=access.login_first)
        self._tasks = TaskSupervisor("live socket")
        self._writing: TaskSupervisor | None = None
        self._slots: Slots | None = None
        self._pending: dict[str, asyncio.Task[None]] = {}
        self._outbox, self._writer = self._make_writer(flusher, outbox_limits)
        self._end: asyncio.Future[Close] = asyncio.get_running_loop().create_future()
        self.id = subscriptions.connect(self._writer, address)
        self._access = access
        self._wrong_tokens = 0
        self._login = Login(
            access.authenticator,
            clock,
            identify=lambda user: access.identify(self.id, user),
            ended=access.has_ended,
        )

    async def run(self, token: str | None = None) -> None:
        """Serve the client, who may have brought a token, until it leaves or is closed."""
        reader = self._tasks.start("read", self._read(token))
        ends: list[asyncio.Future[Any]] = [reader, self._end]
        if self._writer.gone is not None:
            ends.append(self._writer.gone)
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._end.done():
                await self._close(self._end.result())
        finally:
            self._writer.stop()
            self._subscriptions.disconnect(self.id)
            await self._tasks.close()
            if self._writing is not None:
                await self._writing.close()

    def end(self, code: int, reason: str) -> None:
        """Close the socket soon, after what waits has been sent, if the client takes it."""
        if not self._end.done():
            self._end.set_result(Close(code, reason))

    def notify(self, data: bytes) -> None:
        """Send a notice."""
        self._outbox.reply(data)

    @property
    def identity(self) -> Identity | None:
        """Who is there, if they said so."""
        return self._login.identity

    def check(self) -> None:
        """Look after the client's token and its speed; to be called about twice a second."""
        match self._login.check():
            case Reply(data=data):
                self._outbox.reply(data)
            case Close(code=code, reason=reason):
                self.end(code, reason)
        self._check_speed()

    def _check_speed(self) -> None:
        """End a client that takes nothing, or too little."""
        since_s = self._writer.stuck_since_s
        stuck = since_s is not None and self._clock.monotonic() - since_s >= SEND_DEADLINE_S
        if stuck or self._outbox.overwhelmed:
            self.end(CloseCode.SLOW_CLIENT, "slow client")

    async def _close(self, close: Close) -> None:
        await self._tasks.close()  # nothing is read and no view opened any more, and none goes on
        self._subscriptions.disconnect(self.id)
        if close.code != CloseCode.SLOW_CLIENT:
            try:
                await within(self._clock, CLOSE_DEADLINE_S, self._flush(close))
            except TimeoutError:
                _log.debug("a client did not take the last messages before its close")
            else:
                return
        self._writer.stop()
        self._socket.expel(close.code, close.reason)

    async def _flush(self, close: Close) -> None:
        while not self._writer.idle:
            await self._clock.sleep(0.01)
        await self._socket.close(close.code, close.reason)

    def _make_writer(self, flusher: Flusher, limits: OutboxLimits) -> tuple[Outbox, Writer]:
        frames = self._socket.frames
        if frames is not None:
            own = FrameWriter(frames, flusher, self._clock, on_room=self._resync, limits=limits)
            return own, own
        self._writing = TaskSupervisor("writer of a live socket")
        over_asgi = MessageWriter(
            self._socket, flusher.turns, self._clock, self._writing, on_room=self._resync, limits=limits
        )
        return over_asgi, over_asgi

    def _resync(self, topic: str) -> None:
        self._subscriptions.resync(self.id, topic)

    # Reading

    async def _read(self, token: str | None) -> None:
        if token is not None:
            await self._take_token(TakeToken(None, token))
        while True:
            try:
                data = await self._socket.receive()
            except OSError:
                return  # the client is gone
            action = self._session.receive(data, self._clock.monotonic())
            match action:
                case Reply():
                    self._outbox.reply(action.data)
                    self._check_speed()
                case OpenView():
                    self._start_opening(action)
                case OpenPrivateView():
                    await self._open_private(action)
                case TakeToken():
                    await self._take_token(action)
                case EndView():
                    self._end_view(action)
                case Close():
                    self.end(action.code, action.reason)
                    return
            await asyncio.sleep(0)  # a client with many messages waiting must let the others in

    async def _take_token(self, action: TakeToken) -> None:
        try:
            await self._login.take(action.token)
        except TradewrightError as error:
            self._outbox.reply(error_reply(action.id, error).data)
            self._wrong_tokens += isinstance(error, InvalidToken)
            if self._wrong_tokens >= WRONG_TOKENS_MAX:
                self.end(CloseCode.POLICY, "too many wrong tokens")
            return
        self._session.logged_in = True
        if action.id is not None:
            self._outbox.reply(_encoder.encode(Ok(id=action.id)))

    async def _open_private(self, request: OpenPrivateView) -> None:
        identity = self._login.identity
        assert identity is not None, "the session has asked for a login first"
        work = self._access.private.key(identity, request.stream, request.subject)
        try:
            key = await within(self._clock, ANSWER_DEADLINE_S, work)
        except TradewrightError as error:
            self._outbox.reply(error_reply(request.id, error).data)
        except TimeoutError:
            late = StorageUnavailable("Whose this is could not be looked up in time; try again.")
            self._outbox.reply(error_reply(request.id, late).data)
        else:
            self._start_opening(OpenView(request.id, key, None, request.resume))

    def _start_opening(self, request: OpenView) -> None:
        if not self._tasks_free(request.id):
            return
        topic = request.key.topic
        self._queue_up(topic, f"open {topic}", lambda earlier: self._open(request, earlier))

    def _tasks_free(self, message_id: int) -> bool:
        if len(self._tasks) < TASKS_MAX:
            return True
        busy = LimitExceeded("Too many of your requests are waiting already.")
        self._outbox.reply(error_reply(message_id, busy).data)
        return False

    def _queue_up(
        self,
        topic: str,
        name: str,
        work: Callable[[asyncio.Task[None] | None], Coroutine[Any, Any, None]],
    ) -> None:
        """What concerns one topic happens, and is answered, in the order in which it was asked for."""
        task = self._tasks.start(name, work(self._pending.get(topic)))
        self._pending[topic] = task
        task.add_done_callback(lambda done: self._forget_pending(topic, done))

    def _forget_pending(self, topic: str, task: asyncio.Task[None]) -> None:
        if self._pending.get(topic) is task:
            del self._pending[topic]
        if not self._pending:
            self._slots = None

    async def _open(self, request: OpenView, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            await asyncio.wait({earlier})
        if self._slots is None:
            self._slots = Slots()
        slots = self._slots
        async with slots.of_provider(request.key.market, request.key.provider):
            try:
                topic = await self._subscriptions.subscribe(self.id, request.key, history=request.history)
            except TradewrightError as error:
                self._outbox.reply(error_reply(request.id, error).data)
                return
            async with slots.opening:
                await self._outbox.wait_for_room()
                self._outbox.reply(_encoder.encode(Ok(id=request.id, topic=topic)))
                await self._subscriptions.open(self.id, topic, request.resume)

    def _end_view(self, request: EndView) -> None:
        if request.topic not in self._pending:
            self._end_view_now(request)
        elif self._tasks_free(request.id):
            # The subscription is still on its way: it is answered first, then its end.
            self._queue_up(
                request.topic, "unsubscribe", lambda earlier: self._end_view_after(request, earlier)
            )

    async def _end_view_after(self, request: EndView, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            await asyncio.wait({earlier})
        self._end_view_now(request)

    def _end_view_now(self, request: EndView) -> None:
        try:
            self._subscriptions.unsubscribe(self.id, request.topic)
        except TradewrightError as error:
            self._outbox.reply(error_reply(request.id, error).data)
            return
        self._outbox.forget(request.topic)
        self._outbox.reply(_encoder.encode(Ok(id=request.id, topic=request.topic)))
