"""The server under an emulated venue: one port of the loopback, and faults before every answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

from tests.venues.faults import Faults, Rule
from tests.venues.time import VenueTime

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class LocalServer:
    """Serves an application on a free (or given) port; can be told to refuse, to cut and to lie.

    What a venue does with websockets it says by overriding `silence_sockets` and `inject`.
    """

    time: VenueTime

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._listener: asyncio.Server | None = None
        self._runner: web.AppRunner | None = None
        self._over = asyncio.Event()
        self.faults = Faults(self)

    async def open(self, add_routes: Callable[[web.Application], None]) -> None:
        """Begin to serve."""
        app = web.Application(middlewares=[self._misbehave])
        add_routes(app)
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await self.listen()

    async def shut(self) -> None:
        """Serve no more."""
        assert self._runner is not None
        self.stop_listening()
        self.abort_connections()
        self._over.set()
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port, once open."""
        return self._port

    @property
    def url(self) -> str:
        """Where REST is served."""
        return f"http://127.0.0.1:{self._port}"

    # what faults may do

    def now_ms(self) -> int:
        """The venue's time."""
        return self.time.now_ms()

    def set_clock_offset(self, offset_ms: int) -> None:
        """See `Faults.wrong_clock`."""
        self.time.offset_ms = offset_ms

    def silence_sockets(self) -> int:
        """A venue without websockets has none to silence."""
        return 0

    def inject(self, _text: str) -> int:
        """A venue without websockets has none to send to."""
        return 0

    def abort_connections(self) -> int:
        """Reset every open connection."""
        server = self._runner.server if self._runner is not None else None
        connections = list(server.connections) if server else []
        for connection in connections:
            if connection.transport is not None:
                connection.transport.abort()
        return len(connections)

    async def listen(self) -> None:
        """Accept connections; nothing happens when it does already."""
        if self._listener is not None:
            return
        server = self._runner.server if self._runner is not None else None
        assert server is not None
        self._listener = await asyncio.get_running_loop().create_server(
            server, "127.0.0.1", self._port, family=socket.AF_INET, reuse_address=True
        )
        self._port = self._listener.sockets[0].getsockname()[1]

    def stop_listening(self) -> None:
        """Refuse new connections."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    @web.middleware
    async def _misbehave(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        rule = self.faults.match(request.path)
        if rule is None:
            return await handler(request)
        match rule.action:
            case "answer":
                headers = {"Content-Type": "application/json", **rule.headers_at(self.now_ms())}
                return web.Response(status=rule.status, body=rule.body.encode(), headers=headers)
            case "delay":
                await self.time.sleep(rule.delay_s)
                return await handler(request)
            case "cut_body":
                return await _cut(request, rule)
            case "hang":
                await self._over.wait()
            case "reset":
                pass
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)


async def _cut(request: web.Request, rule: Rule) -> web.StreamResponse:
    response = web.StreamResponse(status=rule.status, headers={"Content-Length": "1000"})
    response.content_type = "application/json"
    await response.prepare(request)
    await response.write(b'{"symbol":"BTC')
    if request.transport is not None:
        request.transport.close()
    return response
