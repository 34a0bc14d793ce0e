"""The real socket under uvicorn over a scripted venue, and clients by the hundred, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from weakref import WeakSet

import msgspec
import uvicorn

from tests.support.raw_sockets import CLOSE, HANDSHAKE, PING, TEXT, masked
from tests.unit.services.streaming_rig import Rig
from tests.unit.services.streaming_viewer import Viewer
from tests.unit.web.test_ws_socket import Site
from tradewright.services.feeds.settings import StreamSettings
from tradewright.services.subscription_registry import SubscriptionLimits
from tradewright.web.ws.connections import HandshakeLimits
from tradewright.web.ws.transport import LiveSocketProtocol

SUBSCRIBE: Mapping[str, object] = {
    "type": "subscribe",
    "market": "crypto",
    "provider": "scripted",
    "symbol": "BTC/USDT",
}


class Refused(Exception):
    """The handshake was not made; ``status`` is the answer's."""

    def __init__(self, status: int) -> None:
        super().__init__(f"refused with {status}")
        self.status = status


class StormClient(asyncio.Protocol):
    """A client that checks every number it gets, and reads only while it likes to."""

    def __init__(self, *, pongs: bool = True) -> None:
        self._pongs = pongs
        self._data = b""
        self._ids = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._wanted: dict[int, Viewer] = {}
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        self.close_code: int | None = None
        self.transport: asyncio.Transport
        self.viewers: dict[str, Viewer] = {}
        self.errors: list[dict[str, Any]] = []
        self.conflated = 0
        self.heard: Callable[[dict[str, Any]], None] = lambda message: None

    def ask(self, **message: object) -> asyncio.Future[dict[str, Any]]:
        """Send a message; the answer is to come."""
        self._ids += 1
        answer = self._answers[self._ids] = asyncio.get_running_loop().create_future()
        self.send(msgspec.json.encode({**message, "id": self._ids}))
        return answer

    async def watch(self, viewer: Viewer | None = None, **stream: object) -> str:
        """Subscribe, and wait for the answer; the topic."""
        message = {**SUBSCRIBE, **stream}
        if viewer is not None and viewer.seq > 0:
            message["resume"] = {"epoch": viewer.epoch, "seq": viewer.seq}
            viewer.awaiting = False
        answer = self.ask(**message)
        self._wanted[self._ids] = viewer or Viewer()
        found = await asyncio.wait_for(answer, 30)
        assert found["type"] == "ok", found
        topic: str = found["topic"]
        return topic

    def send(self, payload: bytes) -> None:
        """Send any bytes as text."""
        self.transport.write(masked(payload))

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by birth

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set()
        if not self.opened.done():
            self.opened.set_exception(Refused(0))
        for answer in self._answers.values():
            answer.cancel()

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self.opened.done():
            head, complete, rest = self._data.partition(b"\r\n\r\n")
            if not complete:
                return
            status = int(head.split(b" ", 2)[1])
            if status != 101:
                self.opened.set_exception(Refused(status))
                self.transport.close()
                return
            self._data = rest
            self.opened.set_result(None)
        offset = 0
        while (found := _frame(self._data, offset)) is not None:
            opcode, payload, offset = found
            self._take(opcode, payload)
        self._data = self._data[offset:]

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            self._read(payload)
        elif opcode == PING and self._pongs:
            self.transport.write(bytes((0x8A, 0x80 | len(payload))) + bytes(4) + payload)
        elif opcode == CLOSE:
            assert self.close_code is None, "one close frame, and nothing after it"
            self.close_code = int.from_bytes(payload[:2], "big")
            self.transport.close()

    def _read(self, payload: bytes) -> None:
        message = msgspec.json.decode(payload)
        match message["type"]:
            case "ok" | "pong" | "error":
                if message["type"] == "error":
                    self.errors.append(message)
                if "topic" in message:
                    viewer = self._wanted.pop(message["id"], None)
                    self.viewers.setdefault(message["topic"], viewer or Viewer())
                answer = self._answers.pop(message["id"], None) if message["id"] is not None else None
                if answer is not None and not answer.done():
                    answer.set_result(message)
            case "resync":
                self.viewers[message["topic"]].offer_resync(message["topic"], "trades", message["reason"])
            case "snapshot" | "update" | "feed":
                self.conflated += message.get("conflated", 0)
                if message["topic"] in self.viewers:
                    self.viewers[message["topic"]].take(payload)
        self.heard(message)


def _frame(data: bytes, offset: int) -> tuple[int, bytes, int] | None:
    if len(data) < offset + 2:
        return None
    assert data[offset] & 0xF0 == 0x80, "whole frames, not compressed"
    size, start = data[offset + 1], offset + 2
    if size >= 126:
        width = 2 if size == 126 else 8
        size, start = int.from_bytes(data[start : start + width], "big"), start + width
    if len(data) < start + size:
        return None
    return data[offset] & 0x0F, data[start : start + size], start + size


class QuickProtocol(LiveSocketProtocol):
    """Cuts off sooner, since this clock is the loop's own."""

    expel_grace_s = 0.3


@dataclass
class StormSite:
    """A server with its venue; time there goes on with real time, ``speed`` times as fast."""

    rig: Rig
    site: Site
    server: uvicorn.Server
    port: int
    open: WeakSet[StormClient] = field(default_factory=WeakSet)

    async def client(self, *, pongs: bool = True, token: str | None = None) -> StormClient:
        """A connected client; ``Refused`` where the server does not want it."""
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: StormClient(pongs=pongs), "127.0.0.1", self.port)
        self.open.add(client)
        bearer = f"Sec-WebSocket-Protocol: tradewright.v1, bearer.{token}\r\n\r\n" if token else "\r\n"
        client.transport.write(HANDSHAKE.removesuffix("\r\n").encode() + bearer.encode())
        await client.opened
        return client

    async def clients(self, count: int, **options: Any) -> list[StormClient]:
        """So many of them."""
        return [await self.client(**options) for _ in range(count)]

    async def until(self, condition: Callable[[], object], within_s: float = 30.0) -> float:
        """Wait for it, in real time; how long it took."""
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110  many conditions, none of which tells
                await asyncio.sleep(0.01)
        return asyncio.get_running_loop().time() - began


@asynccontextmanager
async def storm_site(
    *, speed: float = 1.0, coalesce_s: float = 0.1, handshakes_per_s: float = 100_000.0, **settings: Any
) -> AsyncIterator[StormSite]:
    """A server in this process, with limits that let one address in a thousand times."""
    async with Rig(settings=StreamSettings(coalesce_s=coalesce_s)) as rig:
        rig.registry.limits = SubscriptionLimits(connections_per_address=100_000)
        rig.venue.trade(100)
        limits = HandshakeLimits(per_s=handshakes_per_s, burst=int(handshakes_per_s))
        site = Site(rig, handshakes=limits)
        config = uvicorn.Config(
            site.app,
            ws=QuickProtocol,
            lifespan="off",
            log_config=None,
            ws_per_message_deflate=False,
            ws_max_size=64 * 1024,
            **settings,
        )
        server = uvicorn.Server(config)
        listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        passing = asyncio.create_task(_pass_time(rig, speed))
        made = StormSite(rig, site, server, listener.getsockname()[1])
        try:
            await made.until(lambda: server.started)
            yield made
        finally:
            left = list(made.open)
            for client in left:
                client.transport.abort()
            await asyncio.gather(*(client.ended.wait() for client in left))
            server.should_exit = True
            passing.cancel()
            await asyncio.gather(serving, passing, return_exceptions=True)
            await site.connections.close()
            with contextlib.suppress(OSError):
                listener.close()


async def _pass_time(rig: Rig, speed: float) -> None:
    loop = asyncio.get_running_loop()
    last_s = loop.time()
    while True:
        await asyncio.sleep(0.02)
        now_s = loop.time()
        await rig.clock.advance((now_s - last_s) * speed)
        last_s = now_s
