"""Under servers that know nothing of the socket: who is slow is waited for alone, and told why it is over."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import hypercorn.asyncio
import hypercorn.config
import pytest
import uvicorn

from tests.support.raw_sockets import CLOSE, RawClient
from tests.unit.services.streaming_rig import Rig
from tests.unit.web.test_ws_socket import Site
from tests.unit.web.test_ws_transport import until
from tradewright.web.ws.connection import LiveConnection

pytestmark = pytest.mark.filterwarnings(
    # One of uvicorn's protocols, and what it stands on, are on their way out, but still served with.
    "ignore:The `websockets` implementation is deprecated",
    "ignore:websockets.* is deprecated:DeprecationWarning",
    "ignore:remove second argument of ws_handler:DeprecationWarning",
)

NOTICES = 20
PADDING = "x" * 10_000


@asynccontextmanager
async def under_uvicorn(site: Site, listener: socket.socket, ws: str) -> AsyncIterator[None]:
    config = uvicorn.Config(site.app, ws=ws, lifespan="off", log_config=None, ws_per_message_deflate=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await until(lambda: server.started)
    yield
    server.should_exit = True
    await serving


@asynccontextmanager
async def under_hypercorn(site: Site, listener: socket.socket, _: str) -> AsyncIterator[None]:
    config = hypercorn.config.Config()
    config.bind = [f"fd://{listener.detach()}"]
    ended = asyncio.Event()
    serving = asyncio.create_task(hypercorn.asyncio.serve(site.app, config, shutdown_trigger=ended.wait))
    yield
    ended.set()
    await serving


@pytest.fixture(params=["uvicorn websockets-sansio", "uvicorn websockets", "uvicorn wsproto", "hypercorn -"])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Site, int]]:
    """The site and its port, on a listener whose clients' buffers in the kernel are small."""
    server, ws = str(request.param).split()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
    port = listener.getsockname()[1]
    async with Rig() as rig:
        site = Site(rig)
        under = under_uvicorn if server == "uvicorn" else under_hypercorn
        async with under(site, listener, ws):
            yield site, port
            await site.connections.close()


async def read_until(client: RawClient, condition: Callable[[], object]) -> None:
    def read() -> object:
        client.read()
        return condition()

    await until(read)


def numbers(client: RawClient) -> list[int]:
    return [notice["number"] for notice in client.messages("notice")]


def notify(site: Site, number: int) -> None:
    for connection in site.connections._connections:
        connection.notify(f'{{"type":"notice","number":{number},"padding":"{PADDING}"}}'.encode())


@asynccontextmanager
async def stuck_client(site: Site, port: int) -> AsyncIterator[tuple[RawClient, LiveConnection]]:
    """A client that the server waits for, since it reads nothing of the notices, and its connection."""
    with RawClient(port, receive_buffer=4_096) as slow:
        await read_until(slow, lambda: slow.begun and len(site.connections) == 1)
        for number in range(NOTICES):
            notify(site, number)
        (connection,) = site.connections._connections
        await until(lambda: connection._writer.stuck_since_s is not None)
        yield slow, connection


async def test_a_slow_client_is_waited_for_alone_and_gets_everything_in_order(
    served: tuple[Site, int], caplog: pytest.LogCaptureFixture
) -> None:
    site, port = served
    with RawClient(port, receive_buffer=4_096) as slow, RawClient(port) as fast:
        await read_until(slow, lambda: slow.begun)
        await read_until(fast, lambda: fast.begun and len(site.connections) == 2)
        for number in range(NOTICES):
            notify(site, number)
            await read_until(fast, lambda number=number: len(numbers(fast)) == number + 1)  # type: ignore[misc]
        writers = [connection._writer for connection in site.connections._connections]
        await until(lambda: sorted(writer.idle for writer in writers) == [False, True])
        assert sorted(writer.stuck_since_s is not None for writer in writers) == [False, True]
        await read_until(slow, lambda: len(numbers(slow)) == NOTICES)
        await until(lambda: all(writer.idle for writer in writers))
        notify(site, NOTICES)
        for client in (slow, fast):
            await read_until(client, lambda client=client: len(numbers(client)) == NOTICES + 1)  # type: ignore[misc]
            assert numbers(client) == list(range(NOTICES + 1))
    await until(lambda: len(site.connections) == 0)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_who_is_closed_while_the_server_waits_gets_whole_messages_and_the_reason(
    served: tuple[Site, int], caplog: pytest.LogCaptureFixture
) -> None:
    site, _ = served
    async with stuck_client(*served) as (slow, connection):
        await site.rig.clock.advance(6)  # it has taken nothing for longer than it may
        await until(lambda: len(site.connections) == 0)
        assert connection._writer.idle
        await read_until(slow, lambda: slow.close_code)
        got = numbers(slow)
        assert 0 < len(got) < NOTICES
        assert got == list(range(len(got)))
        assert [opcode for opcode, _ in slow.frames].index(CLOSE) == len(slow.frames) - 1
        assert slow.close_code == 1013
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_a_slow_client_that_leaves_is_no_error_and_leaves_nothing(
    served: tuple[Site, int], caplog: pytest.LogCaptureFixture
) -> None:
    site, _ = served
    async with stuck_client(*served):
        pass
    await until(lambda: len(site.connections) == 0)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
