"""Server processes on one Redis and one database before an emulated venue, and clients of them that check
every message they get and come back, to any server, when they lose one."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import websockets
from websockets.asyncio.client import ClientConnection, connect

from tests.support.postgres_schemas import own_database
from tests.support.server_units import ServerUnit, server_units
from tests.unit.services.streaming_viewer import Viewer
from tests.venues.binance import BinanceVenue, generate_capture
from tools.private_servers import OwnRedis
from tradewright.domain.bars import BarRow
from tradewright.domain.streams import StreamKey
from tradewright.domain.timeframes import Timeframe

LEAD_IN_S: Final = 200.0
HISTORY: Final = 200
"""So many bars each client asks for."""
KLINES: Final = "btcusdt@kline_1m"


def bars_of(timeframe: str) -> StreamKey:
    """The stream of bars that is watched."""
    return StreamKey(
        kind="ohlcv", market="crypto", provider="binance", symbol="BTC/USDT", timeframe=timeframe
    )


class Client:
    """One WebSocket client of one stream; ``viewer`` has what it was told and what was wrong with that."""

    def __init__(
        self, units: list[ServerUnit], home: ServerUnit, timeframe: str, chance: random.Random
    ) -> None:
        self.home = home
        self.timeframe = timeframe
        self.viewer = Viewer()
        self.moved_at_s = 0.0
        """When the last update came."""
        self.incomplete = False
        """Whether the last snapshot said that bars may be missing. The server sends another one then; until
        it came nothing can be resumed."""
        self.since_ms = 0
        """From when on it should have every bar."""
        self.problems: Counter[str] = Counter()
        self._number = 0
        self._units = units
        self._chance = chance

    async def run(self) -> None:
        """Follow the stream, on another server where this one is lost."""
        while True:
            with contextlib.suppress(OSError, TimeoutError, websockets.WebSocketException):
                address = f"ws://127.0.0.1:{self.home.port}/api/v1/ws"
                async with connect(address, open_timeout=5, ping_interval=None, compression=None) as socket:
                    await self._follow(socket)
            self.home = self._chance.choice(self._units)
            await asyncio.sleep(self._chance.uniform(0.05, 0.5))

    async def _follow(self, socket: ClientConnection) -> None:
        viewer = self.viewer
        resume = {"epoch": viewer.epoch, "seq": viewer.seq}
        whole = viewer.epoch and not viewer.awaiting and not self.incomplete
        await self._subscribe(socket, **({"resume": resume} if whole else {}))
        async for message in socket:
            self._take(message if isinstance(message, bytes) else message.encode())

    async def _subscribe(self, socket: ClientConnection, **more: object) -> None:
        self._number += 1
        request: dict[str, Any] = {
            "type": "subscribe",
            "id": self._number,
            "stream": "ohlcv",
            "history": HISTORY,
        }
        request |= {"market": "crypto", "provider": "binance", "symbol": "BTC/USDT"}
        request |= {"timeframe": self.timeframe, **more}
        await socket.send(msgspec.json.encode(request).decode(), text=True)

    def _take(self, message: bytes) -> None:
        kind = msgspec.json.decode(message)["type"]
        if kind == "resync":
            self.viewer.resyncs.append("told")
            self.viewer.awaiting = True
        elif kind in ("snapshot", "update", "feed"):
            try:
                self.viewer.take(message)
            except AssertionError as error:
                self.viewer.violations.append(str(error))
            if kind == "snapshot":
                problems = self.viewer.snapshots[-1].problems
                # A cache that is away costs time, and no bars.
                self.incomplete = any(each.source != "cache" for each in problems or ())
                self.problems.update(f"{each.source} {each.code}" for each in problems or ())
            if kind == "update":
                self.moved_at_s = time.monotonic()


class Together:
    """The servers, what they stand on, and their clients."""

    def __init__(
        self, venue: BinanceVenue, redis: OwnRedis, units: list[ServerUnit], settings: Mapping[str, str]
    ) -> None:
        self.venue = venue
        self.redis = redis
        self.units = units
        self.settings = settings
        self.clients: list[Client] = []
        self.most_upstream = 0
        self._running: list[asyncio.Task[None]] = []

    def add_clients(self, count: int, unit: ServerUnit, timeframe: str = "1m") -> None:
        """So many more clients, of that server first."""
        for _ in range(count):
            chance = random.Random(len(self.clients))
            client = Client(self.units, unit, timeframe, chance)
            # One bar less than it asks for, since another may open before it is served.
            client.since_ms = self.truth(timeframe)[-HISTORY:][1][0]
            self.clients.append(client)
            self._running.append(asyncio.create_task(client.run(), name=f"client {len(self.clients)}"))

    async def close(self) -> None:
        """Send the clients away."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()

    @property
    def upstream(self) -> int:
        """How many connections to the venue follow the bars."""
        return self.venue.subscriptions.get(KLINES, 0)

    async def until(self, condition: Callable[[], bool], within_s: float, what: str) -> float:
        """Wait until the condition holds; for how long that took."""
        began_s = time.monotonic()
        while not condition():
            self.most_upstream = max(self.most_upstream, self.upstream)
            assert time.monotonic() < began_s + within_s, f"{what}: not within {within_s:.0f} s; {self}"
            await asyncio.sleep(0.02)
        return time.monotonic() - began_s

    async def all_moved(self, within_s: float, clients: list[Client] | None = None) -> float:
        """Wait until each client has got an update after now."""
        since_s = time.monotonic()
        watched = self.clients if clients is None else clients
        return await self.until(lambda: all(c.moved_at_s > since_s for c in watched), within_s, "updates")

    async def all_whole(self, within_s: float = 30.0) -> float:
        """Wait until every client has every bar that has ended, as the venue has it."""
        closed_by_ms, began_s = self.venue.now_ms(), time.monotonic()
        while lacking := [client for client in self.clients if self.missing(client, closed_by_ms)]:
            if time.monotonic() > began_s + within_s:
                one = lacking[0]
                told = {row: one.viewer.rows.get(row[0]) for row in self.missing(one, closed_by_ms)}
                raise AssertionError(
                    f"{len(lacking)} clients lack bars; one was told"
                    f" {len(one.viewer.snapshots)} snapshots with {one.viewer.snapshots[-1].gaps}: {told}"
                )
            await asyncio.sleep(0.2)
        return time.monotonic() - began_s

    def missing(self, client: Client, closed_by_ms: int) -> list[BarRow]:
        """The bars that had ended by then and that the client lacks or has otherwise."""
        end = Timeframe.parse(client.timeframe).end
        truth = (row for row in self.truth(client.timeframe) if row[0] >= client.since_ms)
        ended = (row for row in truth if end(row[0]) <= closed_by_ms)
        return [row for row in ended if client.viewer.rows.get(row[0]) != row]

    def truth(self, timeframe: str) -> list[BarRow]:
        """The venue's bars."""
        klines = self.venue.markets["BTCUSDT"].klines.series(timeframe).select(None, None, 10_000)
        return [
            (k.open_ms, float(k.open), float(k.high), float(k.low), float(k.close), float(k.volume))
            for k in klines
        ]

    def __str__(self) -> str:
        """How things stand."""
        followed = Counter(f"{client.home.port} {client.viewer.epoch}" for client in self.clients)
        states = Counter(str(client.viewer.states[-1:]) for client in self.clients)
        return f"{self.upstream} connections, {dict(followed)}, {dict(states)}"

    @property
    def violations(self) -> list[str]:
        """What was wrong with any message of any client."""
        return [violation for client in self.clients for violation in client.viewer.violations]

    @property
    def epochs(self) -> set[str]:
        """The epochs that the clients follow, by timeframe."""
        return {f"{client.timeframe} {client.viewer.epoch}" for client in self.clients}


@asynccontextmanager
async def together(
    home: Path, redis: OwnRedis, postgres_url: str, *, servers: int = 2
) -> AsyncIterator[Together]:
    """Servers that serve, before a venue that lives."""
    async with AsyncExitStack() as stack:
        venue = await stack.enter_async_context(
            BinanceVenue(generate_capture(11, int(LEAD_IN_S) + 600), lead_in_s=LEAD_IN_S)
        )
        config = home / "tradewright.toml"
        config.write_text(venue.provider_toml(), encoding="utf-8")
        settings = {
            "TRADEWRIGHT_CONFIG": str(config),
            "TRADEWRIGHT_REDIS_URL": redis.url,
            "TRADEWRIGHT_DATABASE_URL": await stack.enter_async_context(own_database(postgres_url)),
            "TRADEWRIGHT_WS_MAX_PER_ADDRESS": "1000",
        }
        units = await stack.enter_async_context(server_units(home, servers, settings))
        house = Together(venue, redis, units, settings)
        stack.push_async_callback(house.close)
        yield house
