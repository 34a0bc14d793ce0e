"""What the product's fan-out is measured beside, each a server of its own.

    python -m bench.fanout_peers picows|obvious|queues

`picows` writes one prepared frame to every client from compiled code and is the limit. `obvious` is what is
written first: Quart under Hypercorn, a queue of dicts for each client. `queues` does the same with text that
is encoded once, under uvicorn.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import defaultdict

import hypercorn.asyncio
import hypercorn.config
import msgspec
import uvicorn
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server
from quart import Quart, websocket

from bench.fanout_control import FIRST_SEQ, obey, topic_name, update_of


class Subscription(msgspec.Struct, frozen=True):
    """What these servers read of a client's message."""

    symbol: str


def _topic_of(message: str | bytes) -> str:
    return f"ticker:crypto:bench:{msgspec.json.decode(message, type=Subscription).symbol}"


class Numbers:
    """The number of each topic's next update."""

    def __init__(self) -> None:
        self._seqs: defaultdict[str, int] = defaultdict(lambda: FIRST_SEQ)

    def next(self, topic: str) -> int:
        """One more."""
        self._seqs[topic] += 1
        return self._seqs[topic]


async def picows() -> None:
    """One frame for all, one write for each."""
    watching: defaultdict[str, list[WSTransport]] = defaultdict(list)
    numbers = Numbers()

    class Client(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.TEXT:
                watching[_topic_of(frame.get_payload_as_bytes())].append(transport)
                transport.send(WSMsgType.TEXT, b'{"type":"snapshot"}')

    def publish(number: int, time_us: int) -> None:
        topic = topic_name(number)
        payload = msgspec.json.encode(update_of(topic, numbers.next(topic), time_us))
        for transport in watching[topic]:
            transport.send(WSMsgType.TEXT, payload)

    def listener(_: WSUpgradeRequest) -> WSListener:
        return Client()

    server = await ws_create_server(listener, "127.0.0.1", 0, backlog=2048)
    await obey(publish, server.sockets[0].getsockname()[1])


async def obvious() -> None:
    """A queue of dicts for each client."""
    app = Quart("obvious")
    watching: defaultdict[str, list[asyncio.Queue[dict[str, object]]]] = defaultdict(list)
    numbers = Numbers()

    @app.websocket("/api/v1/ws")
    async def live() -> None:
        queue: asyncio.Queue[dict[str, object]] = asyncio.Queue()

        async def listen() -> None:
            while True:
                watching[_topic_of(await websocket.receive())].append(queue)
                queue.put_nowait({"type": "snapshot"})

        listening = asyncio.create_task(listen())
        try:
            while True:
                await websocket.send_json(await queue.get())
        finally:
            listening.cancel()

    def publish(number: int, time_us: int) -> None:
        topic = topic_name(number)
        update = update_of(topic, numbers.next(topic), time_us)
        for queue in watching[topic]:
            queue.put_nowait(update)

    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    port = listener.getsockname()[1]
    config = hypercorn.config.Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = None
    ended = asyncio.Event()
    serving = asyncio.create_task(hypercorn.asyncio.serve(app, config, shutdown_trigger=ended.wait))
    await obey(publish, port)
    ended.set()
    await serving


async def queues() -> None:
    """A queue of text for each client, one send for each update."""
    app = Quart("queues")
    watching: defaultdict[str, list[asyncio.Queue[str]]] = defaultdict(list)
    numbers = Numbers()

    @app.websocket("/api/v1/ws")
    async def live() -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()

        async def listen() -> None:
            while True:
                watching[_topic_of(await websocket.receive())].append(queue)
                queue.put_nowait('{"type":"snapshot"}')

        listening = asyncio.create_task(listen())
        try:
            while True:
                await websocket.send(await queue.get())
        finally:
            listening.cancel()

    def publish(number: int, time_us: int) -> None:
        topic = topic_name(number)
        text = msgspec.json.encode(update_of(topic, numbers.next(topic), time_us)).decode()
        for queue in watching[topic]:
            queue.put_nowait(text)

    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    settings = uvicorn.Config(
        app,
        ws="websockets-sansio",
        lifespan="off",
        log_config=None,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
    )
    server = uvicorn.Server(settings)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await obey(publish, listener.getsockname()[1])
    server.should_exit = True
    await serving


if __name__ == "__main__":
    uvloop.run({"picows": picows, "obvious": obvious, "queues": queues}[sys.argv[1]]())
