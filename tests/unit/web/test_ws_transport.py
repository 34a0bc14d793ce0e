"""The socket under uvicorn: a client that stops reading is cut off, and its memory with it."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import hypercorn.asyncio
import hypercorn.config
import msgspec
import pytest
import uvicorn
import websockets

from tests.support.raw_sockets import CLOSE, HANDSHAKE, PING, PONG, RawClient, masked
from tests.unit.services.streaming_rig import Rig
from tests.unit.web.test_ws_socket import Site
from tradewright.web.ws.outbox import OutboxLimits
from tradewright.web.ws.transport import LiveSocketProtocol


class QuickProtocol(LiveSocketProtocol):
    """Cuts off sooner, since this clock is the loop's own."""

    expel_grace_s = 0.2


class MessagesOnly(QuickProtocol):
    """Takes no frames past ASGI, as other servers don't."""

    takes_frames = False


@pytest.fixture(params=[QuickProtocol, MessagesOnly], ids=["frames", "asgi"])
def protocol(request: pytest.FixtureRequest) -> type[QuickProtocol]:
    """Both ways in which a client is reached."""
    kind: type[QuickProtocol] = request.param
    return kind


@asynccontextmanager
async def served(
    protocol: type[QuickProtocol] = QuickProtocol, limits: OutboxLimits | None = None, **settings: float
) -> AsyncIterator[tuple[Site, int, uvicorn.Server]]:
    async with Rig() as rig:
        rig.venue.trade(100)
        site = Site(rig, limits=limits)
        config = uvicorn.Config(
            site.app,
            ws=protocol,
            lifespan="off",
            log_config=None,
            ws_per_message_deflate=False,
            **settings,  # type: ignore[arg-type]
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


async def test_the_subprotocol_is_chosen_and_bytes_flow(protocol: type[QuickProtocol]) -> None:
    async with served(protocol) as (site, port, _):
        uri = f"ws://127.0.0.1:{port}/api/v1/ws"
        async with websockets.connect(uri, subprotocols=["tradewright.v1", "bearer.x"]) as client:  # type: ignore[list-item]
            assert client.subprotocol == "tradewright.v1"
            assert b"invalid_token" in await client.recv(decode=False)
            await client.send('{"type":"ping","id":1}')
            assert await client.recv() == '{"type":"pong","id":1}'
        await until(lambda: len(site.connections) == 0)


async def test_clients_that_leave_at_once_are_no_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as (site, port, server):
        for number in range(30):
            with RawClient(port) as hasty:
                hasty.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                for _ in range(number % 6):
                    await asyncio.sleep(0)
        await until(lambda: not server.server_state.connections and not len(site.connections))
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_a_refused_handshake_is_no_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as (_, port, _):
        uri = f"ws://127.0.0.1:{port}/api/v1/ws"
        with pytest.raises(websockets.InvalidStatus) as refusal:
            await websockets.connect(uri, origin=websockets.Origin("http://evil.example"))
        assert refusal.value.response.status_code == 403
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


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


async def test_a_character_in_two_frames_is_text(protocol: type[QuickProtocol]) -> None:
    async with (
        served(protocol) as (_, port, _),
        websockets.connect(f"ws://127.0.0.1:{port}/api/v1/ws") as client,
    ):
        message = '{"type":"ping","id":1,"é":1}'.encode()
        cut = message.index("é".encode()) + 1
        await client.send([message[:cut], message[cut:]], text=True)
        assert "invalid_value" in str(await client.recv())


async def test_a_client_that_reads_nothing_is_cut_off_and_frees_everything(
    protocol: type[QuickProtocol],
) -> None:
    async with served(protocol) as (site, port, server):
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


BOOK = {"type": "subscribe", "market": "crypto", "provider": "scripted", "symbol": "BTC/USDT"} | {
    "stream": "order_book"
}


async def test_a_slow_client_is_waited_for_alone_and_goes_on(protocol: type[QuickProtocol]) -> None:
    limits = OutboxLimits(lagging_messages=5)
    async with served(protocol, limits=limits) as (site, port, _):
        rig = site.rig
        with RawClient(port, receive_buffer=4_096) as slow, RawClient(port) as fast:
            for client in (slow, fast):
                await told(rig, lambda client=client: client.begun, client)  # type: ignore[misc]
                client.ask(**BOOK, id=1)
                await told(rig, lambda client=client: client.messages("snapshot"), client)  # type: ignore[misc]
            connections = list(site.connections._connections)
            async with asyncio.timeout(30):
                while not any(each._outbox.lagging for each in connections):
                    rig.venue.trade(100 + rig.clock.monotonic())
                    await told(rig, lambda: True, fast)
            for _ in range(10):
                rig.venue.trade(100 + rig.clock.monotonic())
                await told(rig, lambda: True, fast)
            last = rig.venue.trade(77.0)
            for client in (fast, slow):
                await told(rig, lambda client=client: client.bid == last.price - 1, client)  # type: ignore[misc]
                seq = client.messages("snapshot")[0]["seq"]
                for update in client.messages("update"):
                    assert update["seq"] == seq + update.get("conflated", 0) + 1
                    seq = update["seq"]
            assert any("conflated" in update for update in slow.messages())
            assert not any("conflated" in update for update in fast.messages())


async def told(rig: Rig, condition: Callable[[], object], client: RawClient) -> None:
    """Let the market's time go on, and the client read, until it is so."""
    async with asyncio.timeout(20):
        while True:
            await rig.clock.advance(0.11)
            await asyncio.sleep(0.001)
            client.read()
            if condition():
                return


async def test_what_the_server_says_itself_never_falls_into_a_frame_and_nothing_follows_a_close(
    protocol: type[QuickProtocol],
) -> None:
    async with served(protocol, ws_ping_interval=0.02, ws_ping_timeout=30) as (site, port, _):
        rig = site.rig
        with RawClient(port, receive_buffer=4_096) as client:
            await told(rig, lambda: client.begun, client)
            client.ask(**BOOK, id=1)
            client.ask(type="ping", id=2)
            await told(rig, lambda: client.messages("snapshot"), client)
            kinds = [message["type"] for message in client.messages()]
            assert kinds.index("ok") < kinds.index("snapshot")
            for number in range(3, 150):
                rig.venue.trade(100 + number)
                client.send_ping(b"ping")
                client.ask(type="ping", id=number)
                await told(rig, lambda: True, client)
            await told(rig, lambda: len(client.messages("pong")) == 148, client)
            assert [pong["id"] for pong in client.messages("pong")] == list(range(2, 150))
            assert (PONG, b"ping") in client.frames
            assert PING in [opcode for opcode, _ in client.frames]
            for each in list(site.connections._connections):
                each.end(1012, "server restart")
            for number in range(20):
                rig.venue.trade(200 + number)
                await told(rig, lambda: True, client)
            await told(rig, lambda: client.ended, client)
            opcodes = [opcode for opcode, _ in client.frames]
            assert opcodes.index(CLOSE) == len(opcodes) - 1


async def test_a_peer_that_is_half_open_is_cut_off() -> None:
    async with served(ws_ping_interval=0.1, ws_ping_timeout=0.2) as (site, port, server):
        with RawClient(port) as silent:  # says nothing, not even a pong
            await until(lambda: len(site.connections))
            await until(lambda: not len(site.connections))
            await until(lambda: not server.server_state.connections)
            silent.read()
            assert silent.frames[-1][0] == CLOSE
            assert silent.close_code == 1011


async def test_under_another_server_the_socket_is_the_same() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        site = Site(rig)
        config = hypercorn.config.Config()
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        config.bind = [f"fd://{listener.detach()}"]
        ended = asyncio.Event()
        serving = asyncio.create_task(hypercorn.asyncio.serve(site.app, config, shutdown_trigger=ended.wait))
        async with websockets.connect(f"ws://127.0.0.1:{port}/api/v1/ws") as client:
            await client.send(msgspec.json.encode(BOOK | {"id": 1}).decode())
            kinds = [msgspec.json.decode(await client.recv())["type"] for _ in range(2)]
            assert kinds == ["ok", "snapshot"]
            rig.venue.trade(101)
            await rig.clock.advance(0.2)
            while msgspec.json.decode(text := await client.recv())["type"] != "update":
                pass
            assert msgspec.json.decode(text)["order_book"]["bids"][0][0] == 100.0
        await until(lambda: len(site.connections) == 0)
        ended.set()
        await serving
        await site.connections.close()
