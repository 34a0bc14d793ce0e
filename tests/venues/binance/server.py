"""The emulated venue: one process-local server with REST and websocket on one port."""

from __future__ import annotations

import asyncio
import json
import tomllib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.venues.binance.capture import Capture, load_capture
from tests.venues.binance.generate import generate_capture
from tests.venues.binance.ledger import Ledger
from tests.venues.binance.market import SpotMarket
from tests.venues.binance.recorded import load_candles
from tests.venues.binance.replay import Replay
from tests.venues.binance.rest import WEIGHT_LIMIT, RestApi
from tests.venues.binance.trading import TradingApi
from tests.venues.binance.user_stream import UserStream
from tests.venues.binance.websocket import Hub
from tests.venues.candle_faults import CandleFaults
from tests.venues.server import LocalServer
from tests.venues.time import VenueTime
from tradewright.runtime.clock import Clock, SystemClock

QUOTES = ("USDT", "ETH", "BTC")


class BinanceVenue(LocalServer):
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
        super().__init__(port)
        self._source = capture
        self._xrpeth = xrpeth
        self._clock = clock or SystemClock()
        self._speed = speed
        self._lead_in_s = lead_in_s
        self._restart = restart
        self._weight_limit = weight_limit
        self.markets: dict[str, SpotMarket] = {}

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
        self.ledger = Ledger(self.time)
        self.trading = TradingApi(self.markets, self.time, self.ledger)
        self.user_stream = UserStream(self.trading, self.ledger, self.time)
        await self.open(self._add_routes)
        self._task = asyncio.create_task(self.replay.run(), name="venue/replay")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        outcome = await asyncio.gather(self._task, return_exceptions=True)
        await self.shut()
        if isinstance(outcome[0], Exception):
            raise outcome[0]

    def _add_routes(self, app: web.Application) -> None:
        self.rest.add_routes(app)
        self.trading.add_routes(app)
        app.router.add_get("/ws-api/v3", self.user_stream.handle)
        for path in ("/stream", "/stream/{rest:.*}", "/ws", "/ws/{rest:.*}"):
            app.router.add_get(path, self.hub.handle)

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
                f"sapi = {json.dumps(f'{self.url}/sapi/v1')}",
                f"fapiPrivate = {json.dumps(f'{self.url}/fapi/v1')}",
                f"fapiPrivateV3 = {json.dumps(f'{self.url}/fapi/v3')}",
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

    @property
    def candle_faults(self) -> CandleFaults:
        """What is wrong in pages of klines."""
        return self.rest.candle_faults

    async def heal(self) -> None:
        """Behave from now on."""
        self.candle_faults.heal()
        await self.faults.heal()

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


def _market(symbol: str, *, tick: str, step: str) -> SpotMarket:
    quote = next((quote for quote in QUOTES if symbol.endswith(quote)), None)
    if quote is None:
        raise ValueError(f"The emulated venue can't tell base and quote of {symbol}.")
    return SpotMarket(symbol, symbol.removesuffix(quote), quote, tick, step)
