"""How a connection's outbox reaches its client over plain ASGI, under any server: message by message."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Generator, Iterator
from functools import partial
from typing import Any, Final, Protocol

from tradewright.runtime.clock import Clock
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.subscription_service import TopicMessage
from tradewright.web.ws.flusher import Turns
from tradewright.web.ws.outbox import Outbox, OutboxLimits

MESSAGES_A_TURN: Final = 32
"""So many of one client's messages are sent before it is another's turn."""
_SENT: Final = object()


class MessageSocket(Protocol):
    """A server's socket that takes one message after the other."""

    def send(self, text: str) -> Awaitable[None]:
        """To be awaited until the message is under way; ``OSError`` where the client is gone."""
        ...


class Begun:
    """An awaitable of which somebody took the first step, which was to wait; to be awaited for the others."""

    __slots__ = ("_steps", "_waits_for")

    def __init__(self, steps: Iterator[Any], waits_for: object) -> None:
        self._steps = steps
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        steps, waits_for = self._steps, self._waits_for
        while True:
            try:
                yield waits_for
            except asyncio.CancelledError as error:
                if not isinstance(steps, Generator):
                    raise  # a server's compiled iterator, which can't be told
                step = partial(steps.throw, error)
            else:
                step = partial(next, steps)
            try:
                waits_for = step()
            except StopIteration:
                return

    def close(self) -> None:
        """Let go what it holds, where it has not come to its end."""
        if isinstance(self._steps, Generator):
            self._steps.close()


class MessageWriter(Outbox):
    """An outbox that sends one message after the other, and waits for its own client before the next.

    A client that keeps up wakes no task: when its turn comes on the event loop, the server's ``send`` is
    begun there, in the context of the client's own task, and is over at once. Only where it waits, a task
    is made that waits with it, and the client has no turns meanwhile.
    """

    __slots__ = (
        "_clock",
        "_context",
        "_from_loop",
        "_idle",
        "_lone",
        "_sending",
        "_socket",
        "_stopped",
        "_tasks",
        "_turns",
        "gone",
        "stuck_since_s",
    )

    def __init__(
        self,
        socket: MessageSocket,
        turns: Turns,
        clock: Clock,
        tasks: TaskSupervisor,
        *,
        on_room: Callable[[str], None],
        limits: OutboxLimits,
    ) -> None:
        super().__init__(on_room=on_room, limits=limits)
        self._socket = socket
        self._turns = turns
        self._clock = clock
        self._tasks = tasks
        self._context = contextvars.copy_context()
        self._from_loop = True
        """Whether the server's ``send`` can be begun outside of a task, as most can."""
        self._idle = True
        """Whether nothing waits, so that the next message need not go through the queue."""
        self._lone: TopicMessage | None = None
        """What goes out before the queue when the turn comes."""
        self._sending: asyncio.Task[None] | None = None
        self._stopped = False
        self.stuck_since_s: float | None = None
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def offer(self, message: TopicMessage) -> None:
        """Keep the message for the next turn, or queue it."""
        # This runs for every message and viewer, so that each call and each object that is looked at counts.
        if self._idle:
            self._idle = False
            self._lone = message
            self._turns.add(self)
        else:
            super().offer(message)

    def forget(self, topic: str) -> None:
        """Drop what waits of a topic."""
        if self._lone is not None and self._lone.topic == topic:
            self._lone = None
        super().forget(topic)

    def write(self) -> None:
        """Send what waits, as far as the client takes it at once."""
        lone = self._lone
        if lone is not None:
            self._lone = None
            if not self._sent_at_once(lone.text):
                return
            if not self.told:
                self._idle = not self._stopped
                return
        if self._sending is None and not self._stopped:
            self._write_queue()

    @property
    def idle(self) -> bool:
        return self._stopped or not (self.entries or self._lone or self._sending)

    def stop(self) -> None:
        self._stopped = True
        self._idle = False
        self._lone = None
        if self._sending is not None:
            self._sending.cancel()

    def _write_queue(self) -> None:
        for _ in range(MESSAGES_A_TURN):
            if self._stopped or not self.entries:
                self._rest()
                return
            if not self._sent_at_once(self.take(bytes_max=1)[0]):
                return
        self._turns.add(self)

    def _sent_at_once(self, text: str) -> bool:
        """Whether the server took it; else a task sees to it, or all is over."""
        if not self._from_loop:
            return self._sent_by_task(self._socket.send(text))
        failed = True
        try:
            steps = self._socket.send(text).__await__()
            waits_for = self._context.run(next, steps, _SENT)
            failed = False
        except OSError:
            return False
        except RuntimeError:
            # It may want to know its task, as asyncio.timeout() does; a fault of its own comes again there.
            self._from_loop = failed = False
            return self._sent_by_task(self._socket.send(text))
        finally:
            if failed:
                self._lose_client()
        if waits_for is _SENT:
            return True
        begun = Begun(steps, waits_for)
        self._sent_by_task(begun)
        if self._sending is not None:
            # A task that is cancelled before its own first step awaits nothing.
            self._sending.add_done_callback(lambda _: begun.close(), context=self._context)
        return False

    def _sent_by_task(self, sending: Awaitable[None]) -> bool:
        self.stuck_since_s = self._clock.monotonic()
        self._sending = self._tasks.start("write", self._go_on(sending), context=self._context)
        return False

    async def _go_on(self, begun: Awaitable[None]) -> None:
        """Wait for the client; what has come meanwhile is sent when its turn comes."""
        failed = True
        try:
            await begun
            failed = False
        except OSError:
            return
        finally:
            self._sending = None
            if failed:
                self._lose_client()
        self.stuck_since_s = None
        self._turns.add(self)

    def _rest(self) -> None:
        """All is sent."""
        self.told = False
        self.begin_again()
        self._idle = not (self.entries or self._stopped)

    def _lose_client(self) -> None:
        self.stop()
        if not self.gone.done():
            self.gone.set_result(None)

    def _wake(self) -> None:
        self._idle = False
        self._turns.add(self)
