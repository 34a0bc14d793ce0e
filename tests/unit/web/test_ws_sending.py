"""Over plain ASGI: each client gets everything in order at its own speed, and none holds up another."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.subscription_service import TopicMessage
from tradewright.testing.clock import DrivenClock
from tradewright.web.ws.flusher import TURNS_AT_ONCE, Turns
from tradewright.web.ws.outbox import OutboxLimits
from tradewright.web.ws.sending import MESSAGES_A_TURN, MessageWriter

who: contextvars.ContextVar[str] = contextvars.ContextVar("who")


class Line:
    """A server's ``send`` of one client, which waits and fails as a test likes it."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.free = asyncio.Event()
        self.free.set()
        self.fault: BaseException | None = None
        self.let_go = 0
        self.seen: list[str | None] = []

    async def send(self, text: str) -> None:
        token = who.set(f"{who.get('nobody')}'s server")
        try:
            await self.free.wait()
            if self.fault is not None:
                raise self.fault
            self.sent.append(text)
            self.seen.append(who.get())
        finally:
            self.let_go += 1
            who.reset(token)  # fails in any other context than the one where it was set


class Here:
    """Writers in one process."""

    def __init__(self) -> None:
        self.clock = DrivenClock()
        self.turns = Turns()
        self.tasks = TaskSupervisor("test")

    def writer(self, line: Any) -> MessageWriter:
        return MessageWriter(
            line, self.turns, self.clock, self.tasks, on_room=lambda _: None, limits=OutboxLimits()
        )


@pytest.fixture
async def here() -> AsyncIterator[Here]:
    made = Here()
    yield made
    made.turns.close()
    await made.tasks.close()


def message(number: int, topic: str = "t") -> TopicMessage:
    return TopicMessage(topic, "trades", str(number).encode())


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  many conditions, none of which tells
            await asyncio.sleep(0)


async def test_a_client_that_keeps_up_wakes_no_task(here: Here) -> None:
    line = Line()
    writer = here.writer(line)
    for number in range(3):
        writer.offer(message(number))
        assert not writer.idle
        await until(lambda: writer.idle)
        assert line.sent == [str(each) for each in range(number + 1)]
    assert not len(here.tasks)
    assert writer.stuck_since_s is None


@pytest.mark.parametrize("seed", range(20))
async def test_the_order_is_kept_however_the_server_waits(here: Here, seed: int) -> None:
    rng = random.Random(seed)

    class Hesitant(Line):
        async def send(self, text: str) -> None:
            for _ in range(rng.choice((0, 0, 0, 1, 3))):
                await asyncio.sleep(0)  # gives way without a future
            await super().send(text)

    lines = [Hesitant(), Hesitant()]
    writers = [here.writer(line) for line in lines]
    for number in range(200):
        for writer in writers:
            if rng.random() < 0.2:
                writer.reply(str(number).encode())
            else:
                writer.offer(message(number))
        if rng.random() < 0.3:
            rng.choice(lines).free.clear()
        if rng.random() < 0.5:
            rng.choice(lines).free.set()
        for _ in range(rng.choice((0, 0, 1, 2, 10))):
            await asyncio.sleep(0)
    for line in lines:
        line.free.set()
    await until(lambda: all(writer.idle for writer in writers))
    for line in lines:
        assert line.sent == [str(number) for number in range(200)]
    await until(lambda: not len(here.tasks))


async def test_who_waits_is_waited_for_alone_and_known(here: Here) -> None:
    slow, fast = Line(), Line()
    slow.free.clear()
    writers = [here.writer(slow), here.writer(fast)]
    await here.clock.advance(7)
    for number in range(100):
        for writer in writers:
            writer.offer(message(number))
        await until(lambda: writers[1].idle)
    assert writers[0].stuck_since_s == here.clock.monotonic()
    assert writers[0].waiting[0] == 99, "under the outbox's policies, but for the one that is under way"
    assert len(here.tasks) == 1
    assert fast.sent == [str(number) for number in range(100)]
    slow.free.set()
    await until(lambda: writers[0].idle)
    assert slow.sent == fast.sent
    assert writers[0].stuck_since_s is None


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after waiting"])
@pytest.mark.parametrize("fault", [ConnectionResetError(), ValueError("the server's own")])
async def test_a_send_that_fails_is_the_client_s_end_and_no_other_s(
    here: Here, fault: Exception, waits: bool, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [Line() for _ in range(3)]
    writers = [here.writer(line) for line in lines]
    lines[1].fault = fault
    if waits:
        lines[1].free.clear()
    for writer in writers:
        writer.offer(message(1))
        writer.offer(message(2))
    if waits:
        await until(lambda: writers[1].stuck_since_s is not None)
        lines[1].free.set()
    await until(lambda: writers[1].gone.done())
    lines[1].fault = None
    for writer in writers:
        writer.offer(message(3))
    await until(lambda: all(writer.idle for writer in writers))
    assert [line.sent for line in lines] == [["1", "2", "3"], [], ["1", "2", "3"]]
    assert [writer.gone.done() for writer in writers] == [False, True, False]
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == (0 if isinstance(fault, OSError) else 1), "a server's fault does not pass unseen"


@pytest.mark.parametrize("began", [False, True], ids=["before its turn", "while it waits"])
async def test_nothing_is_sent_after_a_stop_and_the_server_lets_go(here: Here, began: bool) -> None:
    line = Line()
    writer = here.writer(line)
    line.free.clear()
    writer.offer(message(1))
    writer.offer(message(2))
    if began:
        await until(lambda: writer.stuck_since_s is not None)
    writer.stop()
    assert writer.idle
    await here.tasks.close()
    assert line.let_go == began
    line.free.set()
    writer.offer(message(3))
    for _ in range(10):
        await asyncio.sleep(0)
    assert line.sent == []


async def test_the_server_finds_the_context_of_the_client(here: Here) -> None:
    who.set("one")
    one = Line()
    writers = [here.writer(one)]
    who.set("other")
    other = Line()
    writers.append(here.writer(other))
    who.set("a feed")
    for number in range(4):
        if number == 2:  # in the end the wait is over, and the server puts back what it had set
            one.free.clear()
            other.free.clear()
        for writer in writers:
            writer.offer(message(number))
        if number == 2:
            await until(lambda: all(writer.stuck_since_s is not None for writer in writers))
            one.free.set()
            other.free.set()
        await until(lambda: all(writer.idle for writer in writers))
    assert one.seen == ["one's server"] * 4
    assert other.seen == ["other's server"] * 4


class Compiled:
    """What compiled servers give: it can be awaited, but neither cancelled nor closed."""

    def __init__(self, waits: int, done: Callable[[], None]) -> None:
        self._waits, self._done = waits, done

    def __await__(self) -> Iterator[None]:
        return self

    def __iter__(self) -> Iterator[None]:
        return self

    def __next__(self) -> None:
        self._waits -= 1
        if self._waits < 0:
            self._done()
            raise StopIteration


@pytest.mark.parametrize("waits", [0, 1, 5])
async def test_what_a_server_gives_to_be_awaited_need_not_be_a_coroutine(here: Here, waits: int) -> None:
    sent: list[str] = []

    class Server:
        def send(self, text: str) -> Awaitable[None]:
            if text != "2":
                return Compiled(waits, lambda: sent.append(text))  # type: ignore[return-value]
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.add_done_callback(lambda _: sent.append(text))
            asyncio.get_running_loop().call_soon(future.set_result, None)
            return future

    writer = here.writer(Server())
    for number in range(4):
        writer.offer(message(number))
    await until(lambda: writer.idle)
    assert sent == ["0", "1", "2", "3"]
    writer.offer(message(4))
    await asyncio.sleep(0)
    writer.stop()


async def test_many_clients_and_many_messages_leave_the_loop_to_others(here: Here) -> None:
    crowd = [here.writer(Line()) for _ in range(3 * TURNS_AT_ONCE)]
    for writer in crowd:
        writer.offer(message(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sum(writer.idle for writer in crowd) in (TURNS_AT_ONCE, 2 * TURNS_AT_ONCE)
    await until(lambda: all(writer.idle for writer in crowd))
    line = Line()
    writer = here.writer(line)
    for number in range(3 * MESSAGES_A_TURN):
        writer.offer(message(number))
    await until(lambda: line.sent)
    assert len(line.sent) <= 2 * MESSAGES_A_TURN + 1
    await until(lambda: writer.idle)
    assert len(line.sent) == 3 * MESSAGES_A_TURN


async def test_what_is_watched_no_more_is_not_sent(here: Here) -> None:
    line = Line()
    writer = here.writer(line)
    writer.offer(message(1, "gone"))
    writer.offer(message(2, "kept"))
    writer.offer(message(3, "gone"))
    writer.forget("gone")
    writer.reply(b"ok")
    await until(lambda: writer.idle)
    writer.offer(message(4, "gone"))
    writer.forget("gone")
    await until(lambda: writer.idle)
    writer.offer(message(5, "kept"))
    await until(lambda: writer.idle)
    assert line.sent == ["2", "ok", "5"]


async def test_a_server_that_wants_to_know_its_task_is_given_one(here: Here) -> None:
    class Timed:
        def __init__(self) -> None:
            self.sent: list[str] = []

        async def send(self, text: str) -> None:
            async with asyncio.timeout(5):
                await asyncio.sleep(0)
                self.sent.append(text)

    line = Timed()
    writer = here.writer(line)
    for number in range(100):
        writer.offer(message(number))
    await until(lambda: len(line.sent) == 100)
    assert line.sent == [str(number) for number in range(100)]
    await until(lambda: writer.idle)
    writer.offer(message(100))
    await until(lambda: line.sent[-1] == "100")
    assert not writer.gone.done()
