"""The emulated venue: one process-local server with REST and websocket on one port."""

from __future__ import annotations

import asyncio
import json
import socket
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.venues.binance.capture import Capture, load_capture
from tests.venues.binance.faults import Faults, Rule
from tests.venues.binance.generate import generate_capture
from tests.venues.binance.market import SpotMarket
from tests.venues.binance.recorded import load_candles
from tests.venues.binance.replay import Replay
from tests.venues.binance.rest import WEIGHT_LIMIT, RestApi
from tests.venues.binance.time import VenueTime
from tests.venues.binance.websocket import Hub
from tradewright.runtime.clock import Clock, SystemClock

QUOTES = ("USDT", "ETH", "BTC")


class BinanceVenue:
    """Speaks Binance spot on a free (or given) port of the loopback, from `async with` to its end.

    `capture` is a capture, the path of one, or a seed from which one is generated. The first
    `lead_in_s` seconds of it have already happened when the venue opens. `xrpeth` is the Parquet
    file of recorded candles; where the trades they were made from lie beside it, they are served too.
    """

    def __init__(
        self,
        capture: Capture | Path | int = 1,
        *,
        xrpeth: Path | None = None,
        clock: Clock | None = None,
        port: int = 0,
        speed: float = 1.0,
        lead_in_s: float = 0.0,
        restart: bool = True,
        weight_limit: int = WEIGHT_LIMIT,
    ) -> None:
        self._source = capture
        self._xrpeth = xrpeth
        self._clock = clock or SystemClock()
        self._port = port
        self._speed = speed
        self._lead_in_s = lead_in_s
        self._restart = restart
        self._weight_limit = weight_limit
        self.markets: dict[str, SpotMarket] = {}
        self.faults = Faults(self)

    # life

    async def __aenter__(self) -> Self:
        self.capture = await asyncio.to_thread(self._load)
        self.time = VenueTime(self._clock)
        self.hub = Hub(self.time)
        self.hub.faults = self.faults
        market = _market(self.capture.symbol, tick="0.01000000", step="0.00001000")
        self.markets[market.symbol] = market
        self.replay = Replay(
            market,
            self.capture,
            self.time,
            self.hub,
            origin_ms=self.time.exact_ms() - self._lead_in_s * 1000,
            speed=self._speed,
            restart=self._restart,
        )
        self.rest = RestApi(self.markets, self.time, self._weight_limit)
        app = web.Application(middlewares=[self._misbehave])
        self.rest.add_routes(app)
        for path in ("/stream", "/stream/{rest:.*}", "/ws", "/ws/{rest:.*}"):
            app.router.add_get(path, self.hub.handle)
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        self._listener: asyncio.Server | None = None
        await self.listen()
        self._task = asyncio.create_task(self.replay.run(), name="venue/replay")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        outcome = await asyncio.gather(self._task, return_exceptions=True)
        self.stop_listening()
        self.abort_connections()
        await self._runner.cleanup()
        if isinstance(outcome[0], Exception):
            raise outcome[0]

    def _load(self) -> Capture:
        if self._xrpeth:
            self.markets["XRPETH"] = market = _market("XRPETH", tick="0.00000001", step="1.00000000")
            load_candles(market, self._xrpeth)
        match self._source:
            case int():
                return generate_capture(self._source)
            case Path():
                return load_capture(self._source)
            case _:
                return self._source

    # how an operator reaches it

    @property
    def port(self) -> int:
        """The port, once open."""
        return self._port

    @property
    def url(self) -> str:
        """Where REST is served."""
        return f"http://127.0.0.1:{self._port}"

    def provider_options(self) -> dict[str, Any]:
        """What an operator writes under `[providers.binance]` to reach this server."""
        options: dict[str, Any] = tomllib.loads(self.provider_toml())["providers"]["binance"]
        return options

    def provider_toml(self) -> str:
        """The same as text of a configuration file."""
        rest, stream = f"{self.url}/api/v3", f"ws://127.0.0.1:{self._port}"
        return "\n".join(
            (
                "[providers.binance.urls.api]",
                f"public = {json.dumps(rest)}",
                f"private = {json.dumps(rest)}",
                "[providers.binance.urls.api.ws]",
                f"spot = {json.dumps(f'{stream}/stream')}",
                "[providers.binance.urls.api.ws.ws-api]",
                f"spot = {json.dumps(f'{stream}/ws-api/v3')}",
                "[providers.binance.options]",
                'defaultType = "spot"',
                "fetchCurrencies = false",
                "fetchMargins = false",
                "[providers.binance.options.fetchMarkets]",
                'types = ["spot"]',
                "",
            )
        )

    # what tests count

    @property
    def upstream_sockets(self) -> int:
        """How many websockets are open now."""
        return len(self.hub.sockets)

    @property
    def sockets_opened(self) -> int:
        """How many websockets were opened since the start."""
        return self.hub.opened

    @property
    def subscriptions(self) -> dict[str, int]:
        """Each subscribed stream and how many sockets have it now."""
        return self.hub.subscriptions

    def requests(self, path: str) -> int:
        """How many requests to `/api/v3/<path>` were answered by the venue itself."""
        return self.rest.requests[path]

    # what faults may do

    def silence_sockets(self) -> int:
        """See `Faults.silence_sockets`."""
        for one in self.hub.sockets:
            one.silent = True
        return len(self.hub.sockets)

    def inject(self, text: str) -> int:
        """See `Faults.inject`."""
        for one in self.hub.sockets:
            one.put(text, self.time.exact_ms())
        return len(self.hub.sockets)

    def abort_connections(self) -> int:
        """Reset every open connection."""
        server = self._runner.server
        connections = list(server.connections) if server else []
        for connection in connections:
            if connection.transport is not None:
                connection.transport.abort()
        return len(connections)

    async def listen(self) -> None:
        """Accept connections; nothing happens when it does already."""
        if self._listener is not None:
            return
        server = self._runner.server
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
    async def _misbehave(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        rule = self.faults.match(request.path)
        if rule is None:
            return await handler(request)
        match rule.action:
            case "answer":
                return web.Response(status=rule.status, text=rule.body, headers=rule.headers)
            case "delay":
                await self._clock.sleep(rule.delay_s)
                return await handler(request)
            case "cut_body":
                return await self._cut(request, rule)
            case "hang":
                await asyncio.Event().wait()
            case "reset":
                pass
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    async def _cut(self, request: web.Request, rule: Rule) -> web.StreamResponse:
        response = web.StreamResponse(status=rule.status, headers={"Content-Length": "1000"})
        response.content_type = "application/json"
        await response.prepare(request)
        await response.write(b'{"symbol":"BTC')
        if request.transport is not None:
            request.transport.close()
        return response


def _market(symbol: str, *, tick: str, step: str) -> SpotMarket:
    quote = next((quote for quote in QUOTES if symbol.endswith(quote)), None)
    if quote is None:
        raise ValueError(f"The emulated venue can't tell base and quote of {symbol}.")
    return SpotMarket(symbol, symbol.removesuffix(quote), quote, tick, step)
