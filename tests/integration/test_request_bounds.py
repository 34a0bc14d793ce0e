"""What a stranger may send at most, tried over raw sockets against the server that runs in production."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn

from tests.support.applications import running_app
from tests.support.hostile_requests import read_answer
from tradewright.app import BODY_DEADLINE_S
from tradewright.config import TestingConfig
from tradewright.server import listen, uvicorn_config
from tradewright.web import http_transport

pytestmark = pytest.mark.alone

GET = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
LOGIN = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
SHORT_S = 0.4


@pytest.fixture
async def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """Where it listens; its two deadlines are short, so that a test need not wait for ten seconds."""
    assert http_transport.HEAD_DEADLINE_S == BODY_DEADLINE_S == 10
    monkeypatch.setattr(http_transport, "HEAD_DEADLINE_S", SHORT_S)
    async with running_app(tmp_path) as running:
        running.app.config["BODY_TIMEOUT"] = SHORT_S
        settings = uvicorn_config(TestingConfig(data_dir=tmp_path), running.app)
        settings.lifespan = "off"
        server = uvicorn.Server(settings)
        listener = listen("127.0.0.1", 0)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield listener.getsockname()[1]
        server.should_exit = True
        await serving
        listener.close()


async def status_of(port: int, *parts: bytes) -> int:
    """What is answered to these bytes, each sent for itself; 0 where the connection is closed instead."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(10):
            for part in parts:
                writer.write(part)
                await writer.drain()
            return (await read_answer(reader))[0]
    except ConnectionError:
        return 0
    finally:
        writer.close()


async def test_an_address_of_4_kib(port: int) -> None:
    def get(length: int) -> bytes:
        return b"GET /healthz?" + b"a" * (length - 9) + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

    assert await status_of(port, get(4_096)) == 200
    assert await status_of(port, get(4_097)) == 414
    assert await status_of(port, get(200_000)) in (414, 0)
    sent = get(6_000)
    assert await status_of(port, *(sent[at : at + 500] for at in range(0, len(sent), 500))) in (414, 0)


@pytest.mark.parametrize("lines", [1, 40])
async def test_a_head_of_16_kib(port: int, lines: int) -> None:
    def get(length: int) -> bytes:
        each = (length - len(GET)) // lines
        return GET + (b"X-A: " + b"a" * (each - 7) + b"\r\n") * lines + b"\r\n"

    assert await status_of(port, get(16_000)) == 200
    assert await status_of(port, get(17_000)) == 431
    assert await status_of(port, get(400_000)) in (431, 0)


@pytest.mark.parametrize("piece", [b"a" * 1_000, b"a" * 100 + b"\r\nX-B: "])
async def test_a_head_that_never_ends_is_not_gathered(
    port: int, piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_transport, "HEAD_DEADLINE_S", 60)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET + b"X-A: ")
    sent = 0
    async with asyncio.timeout(10):
        while sent < 2_000_000 and not reader.at_eof():
            writer.write(piece)
            try:
                await writer.drain()
            except ConnectionError:
                break
            sent += len(piece)
            await asyncio.sleep(0)
    writer.close()
    assert sent < 2_000_000


async def test_what_follows_a_body_in_chunks_has_an_end(port: int) -> None:
    chunks = LOGIN + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    assert await status_of(port, chunks + b"X-A: " + b"a" * 20_000 + b"\r\n\r\n") in (431, 422, 0)
    assert await status_of(port, LOGIN + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n") == 422


async def test_a_body_of_64_kib(port: int) -> None:
    def post(length: int) -> bytes:
        return LOGIN + b"Content-Length: %d\r\n\r\n" % length + b" " * length

    assert await status_of(port, post(65_536)) == 400
    assert await status_of(port, post(65_537)) == 413
    chunks = (b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 3 + b"0\r\n\r\n"
    assert await status_of(port, LOGIN + b"Transfer-Encoding: chunked\r\n\r\n" + chunks) == 413


async def test_who_stops_in_the_middle_is_not_waited_for(port: int) -> None:
    cases = {
        "nothing": (b"", 0),
        "half a head": (GET, 0),
        "half a body": (LOGIN + b"Content-Length: 10\r\n\r\n{", 408),
    }
    began_s = asyncio.get_running_loop().time()
    found = await asyncio.gather(*(status_of(port, sent) for sent, _ in cases.values()))
    assert dict(zip(cases, found, strict=True)) == {name: status for name, (_, status) in cases.items()}
    assert asyncio.get_running_loop().time() - began_s >= SHORT_S


async def test_a_connection_that_is_used_lives_on(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began_s = asyncio.get_running_loop().time()
    async with asyncio.timeout(10):
        while asyncio.get_running_loop().time() - began_s < 3 * SHORT_S:
            for part in (GET[:9], GET[9:], b"X-A: " + b"a" * 8_000 + b"\r\n\r\n"):
                writer.write(part)
                await writer.drain()
            assert (await read_answer(reader))[0] == 200
    writer.close()


async def test_two_requests_in_one_write_are_two(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = GET + b"X-A: " + b"a" * 12_000 + b"\r\n\r\n"
    writer.write(head * 3)
    async with asyncio.timeout(10):
        assert [(await read_answer(reader))[0] for _ in range(3)] == [200, 200, 200]
    writer.close()


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Content-Length: +2\r\n",
        b"Content-Length : 2\r\n",
    ],
)
async def test_a_body_of_two_lengths_is_refused(port: int, head: bytes) -> None:
    """A proxy in front could read another request into it."""
    smuggled = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    assert await status_of(port, LOGIN + head + b"\r\n" + smuggled) == 400
