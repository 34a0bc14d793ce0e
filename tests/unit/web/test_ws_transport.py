"""The socket under uvicorn: a client that stops reading is cut off, and its memory with it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
import uvicorn
import websockets

from tests.unit.services.streaming_rig import Rig
from tests.unit.web.test_ws_socket import Site
from tradewright.web.ws.transport import LiveSocketProtocol

HANDSHAKE = (
    "GET /api/v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class QuickProtocol(LiveSocketProtocol):
    """Cuts off sooner, since this clock is the loop's own."""

    expel_grace_s = 0.2


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Site, int, uvicorn.Server]]:
    async with Rig() as rig:
        rig.venue.trade(100)
        site = Site(rig)
        config = uvicorn.Config(
            site.app, ws=QuickProtocol, lifespan="off", log_config=None, ws_per_message_deflate=False
        )
        server = uvicorn.Server(config)
        listener = socket.create_server(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await until(lambda: server.started)
        yield site, listener.getsockname()[1], server
        server.should_exit = True
        await serving
        await site.connections.close()


async def until(condition: Callable[[], object], deadline_s: float = 10) -> None:
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110  many conditions, none of which tells
            await asyncio.sleep(0.01)


def masked(payload: bytes) -> bytes:
    """A client's text frame under a mask of zeros."""
    payload = payload.ljust(126)  # from here on the length has two bytes
    return b"\x81\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload


async def test_the_subprotocol_is_chosen_and_bytes_flow() -> None:
    async with served() as (site, port, _):
        uri = f"ws://127.0.0.1:{port}/api/v1/ws"
        async with websockets.connect(uri, subprotocols=["tradewright.v1", "bearer.x"]) as client:  # type: ignore[list-item]
            assert client.subprotocol == "tradewright.v1"
            assert b"invalid_token" in await client.recv(decode=False)
            await client.send('{"type":"ping","id":1}')
            assert await client.recv() == '{"type":"pong","id":1}'
        await until(lambda: len(site.connections) == 0)


@pytest.mark.parametrize("frames", [[b"\xff\xfe\x22"], [b'{"type":"ping","id":1}\xe2', b"\x28"]])
async def test_text_that_is_not_utf8_ends_the_socket_quietly(
    frames: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with served() as (site, port, _):
        async with websockets.connect(f"ws://127.0.0.1:{port}/api/v1/ws") as client:
            await client.send(frames[0] if len(frames) == 1 else frames, text=True)
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1007
        await until(lambda: len(site.connections) == 0)
    ours = [record for record in caplog.records if record.exc_info or record.levelno > logging.INFO]
    assert ours == []


async def test_a_character_in_two_frames_is_text() -> None:
    async with served() as (_, port, _), websockets.connect(f"ws://127.0.0.1:{port}/api/v1/ws") as client:
        message = '{"type":"ping","id":1,"é":1}'.encode()
        cut = message.index("é".encode()) + 1
        await client.send([message[:cut], message[cut:]], text=True)
        assert "invalid_value" in str(await client.recv())


async def test_a_client_that_reads_nothing_is_cut_off_and_frees_everything() -> None:
    async with served() as (site, port, server):
        rig = site.rig
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.connect(("127.0.0.1", port))
        deaf.sendall(HANDSHAKE.encode())
        await until(lambda: len(site.connections))
        request = {"type": "subscribe", "id": 1, "market": "crypto", "provider": "scripted"}
        request |= {"symbol": "BTC/USDT", "stream": "order_book"}
        deaf.sendall(masked(msgspec.json.encode(request)))
        await until(lambda: rig.registry.watched)
        connection = next(iter(site.connections._connections))
        stopped_at = None
        async with asyncio.timeout(60):
            while len(site.connections):
                # The market moves until the kernel's buffers are full, and on.
                for _ in range(200):
                    rig.venue.trade(100 + rig.clock.monotonic())
                    await rig.clock.advance(0.11 if stopped_at is None else 0.001)
                stuck = connection._writer.stuck_since_s is not None
                if stuck and stopped_at is None:
                    stopped_at = rig.clock.monotonic()
                if stopped_at is not None:
                    assert connection._outbox.waiting[1] < 1024 * 1024
                    await rig.clock.advance(1)
                    await asyncio.sleep(0.05)
        assert stopped_at is not None
        assert rig.clock.monotonic() - stopped_at <= 10
        assert rig.registry.connections == 0
        await until(lambda: not server.server_state.connections)
        deaf.close()
