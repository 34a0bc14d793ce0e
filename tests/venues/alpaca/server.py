"""The emulated venue: one process-local server with both hosts and all streams on one port."""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

from aiohttp import web

from tests.venues.alpaca.data_api import LIMIT_MAX, DataApi, Refused, json_error, quote_row, trade_row
from tests.venues.alpaca.generate import Walk, securities, sessions_around
from tests.venues.alpaca.ledger import Ledger
from tests.venues.alpaca.recorded import load_days, load_minutes
from tests.venues.alpaca.securities import DAY_MS, MINUTE_MS, Security, stamp
from tests.venues.alpaca.streams import Hub
from tests.venues.alpaca.trading_api import TradingApi
from tests.venues.candle_faults import CandleFaults
from tests.venues.faults import Rule
from tests.venues.server import Handler, LocalServer
from tests.venues.time import VenueTime
from tradewright.runtime.clock import Clock, SystemClock

API_KEY: Final = "PKEMULATED0000000001"
SECRET: Final = "emulated/secret/that/opens/nothing/000001"
STEP_S: Final = 0.25
LATE_MS: Final = 30_000

AfterAccept: TypeAlias = Literal["hang", "reset", "cut_body", "html", "empty", "null", "unavailable", "other"]


class AlpacaVenue(LocalServer):
    """Speaks Alpaca on a free (or given) port of the loopback, from `async with` to its end.

    Without files its securities are generated from `seed`, with a past of `days` days; `minutes` and
    `days_file` are Parquet files of recorded bars in their place, `listed` any securities.
    `requests_per_minute` is the quota, `page_limit` how many rows it gives in one answer.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        days: int = 10,
        minutes: Path | None = None,
        days_file: Path | None = None,
        listed: Sequence[Security] = (),
        clock: Clock | None = None,
        port: int = 0,
        requests_per_minute: int = 10_000,
        live: bool = True,
        page_limit: int = LIMIT_MAX,
    ) -> None:
        super().__init__(port)
        self._seed = seed
        self._days = days
        self._files = minutes, days_file
        self._listed = listed
        self._clock = clock or SystemClock()
        self.requests_per_minute = requests_per_minute
        self.spent_by_others = 0
        """How many of these another program spends with the same key at the beginning of each minute."""
        self.revoked = False
        """Whether the key was taken back."""
        self._live = live
        self._page_limit = page_limit
        self._minute = 0
        self._spent = 0  # in that minute
        self.requests: Counter[str] = Counter()
        self.refused = 0
        """How many requests were beyond the quota."""
        self.securities: dict[str, Security] = {}
        self.tells_retry_after = True
        self._after_accept: list[AfterAccept] = []

    # life

    async def __aenter__(self) -> Self:
        self.time = VenueTime(self._clock)
        await asyncio.to_thread(self._load)
        self.hub = Hub(self.securities, API_KEY, SECRET)
        self.ledger = Ledger(self.securities, self.time, self.hub.order_event)
        self.data = DataApi(self.securities, self.time)
        self.data.page_limit = self._page_limit
        await self.open(self._add_routes)
        self._task = asyncio.create_task(self._trade(), name="venue/trading") if self._live else None
        return self

    def _add_routes(self, app: web.Application) -> None:
        app.middlewares.insert(0, self._count)
        app.middlewares.extend((self._break_writes, self._refusals))
        for path, answer in self.data.routes().items():
            app.router.add_get(path, _answering(answer))
        TradingApi(self.securities, self.ledger, self.time).add_routes(app)
        for path in ("/v2/iex", "/v2/sip", "/v1beta3/crypto/us"):
            app.router.add_get(path, self.hub.market)
        app.router.add_get("/stream", self.hub.orders)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outcome: BaseException | None = None
        if self._task is not None:
            self._task.cancel()
            (outcome,) = await asyncio.gather(self._task, return_exceptions=True)
        await self.shut()
        if isinstance(outcome, Exception):
            raise outcome

    def _load(self) -> None:
        minutes, days = self._files
        found = list(self._listed)
        found += load_minutes(minutes) if minutes else []
        found += load_days(days) if days else []
        if self._live or not found:
            self._sessions = sessions_around(self.time.now_ms() // DAY_MS)
        if not found:
            found = securities(self._seed, self.time.now_ms(), self._days, self._sessions)
        for one in found:
            one.end_past()
        self.securities |= {one.symbol: one for one in found}
        self._walks = [Walk(one, self._seed) for one in found] if self._live else []

    # trading goes on

    async def _trade(self) -> None:
        newest_minute = self.time.now_ms() // MINUTE_MS * MINUTE_MS
        late: list[tuple[int, int]] = []
        while True:
            await self.time.sleep(STEP_S)
            now_ms = self.time.now_ms()
            if now_ms >= newest_minute + MINUTE_MS:
                self._close_minute(newest_minute)
                late.append((now_ms + LATE_MS, newest_minute))
                newest_minute = now_ms // MINUTE_MS * MINUTE_MS
            while late and late[0][0] <= now_ms:
                self._correct(late.pop(0)[1])
            for walk in self._walks:
                stock = walk.security.stock
                self._step(walk, self._sessions.share(now_ms) if stock else 1.0)

    def _step(self, walk: Walk, share: float) -> None:
        one = walk.security
        if not share:
            return
        for trade in walk.step(self.time.now_ms(), share):
            row = trade_row(trade, stock=one.stock)
            self.hub.publish("trades", one.symbol, {"T": "t", "S": one.symbol, **row})
        self.hub.publish("quotes", one.symbol, {"T": "q", "S": one.symbol, **quote_row(one)})
        if not one.stock:
            self._publish_book(one)
        self.ledger.match(one.symbol)

    def _publish_book(self, one: Security) -> None:
        """Of this book all levels change at each step: they are told as one whole book."""
        sides = {
            name: [{"p": price, "s": size} for price, size in side.items()]
            for name, side in (("b", one.bids), ("a", one.asks))
        }
        whole: dict[str, object] = {"T": "o", "S": one.symbol, "t": stamp(one.quoted_ms), "r": True, **sides}
        self.hub.publish("orderbooks", one.symbol, whole)

    def _close_minute(self, opened: int) -> None:
        for walk in self._walks:
            minute = walk.security.minute(opened)
            if minute is not None:
                symbol = walk.security.symbol
                self.hub.publish("bars", symbol, {"T": "b", "S": symbol, **minute.row()})
                day = walk.security.bars("1Day")[-1].row()
                self.hub.publish("dailyBars", symbol, {"T": "d", "S": symbol, **day})

    def _correct(self, opened: int) -> None:
        for walk in self._walks:
            minute = walk.security.minute(opened)
            if minute is not None and walk.late(minute):
                symbol = walk.security.symbol
                self.hub.publish("updatedBars", symbol, {"T": "u", "S": symbol, **minute.row()})

    # how an operator reaches it

    def provider_options(self, *, key: bool = False) -> dict[str, Any]:
        """What an operator writes under `[providers.alpaca]` to reach this server; `key` adds the table
        with the key."""
        options: dict[str, Any] = tomllib.loads(self.provider_toml())["providers"]["alpaca"]
        if not key:
            del options["credentials"]
        return options

    def provider_toml(self) -> str:
        """The same as text of a configuration file, with the key."""
        stream = f"ws://127.0.0.1:{self._port}"
        return "\n".join(
            (
                "[providers.alpaca]",
                f"data_url = {json.dumps(self.url)}",
                f"trading_url = {json.dumps(self.url)}",
                f"data_stream_url = {json.dumps(stream)}",
                f"trading_stream_url = {json.dumps(f'{stream}/stream')}",
                'feed = "iex"',
                "[providers.alpaca.credentials]",
                f"api_key = {json.dumps(API_KEY)}",
                f"secret = {json.dumps(SECRET)}",
                "",
            )
        )

    # faults

    @property
    def candle_faults(self) -> CandleFaults:
        """What may be wrong in its pages of bars."""
        return self.data.candle_faults

    def maintenance(self, *, until_ms: int) -> Rule:
        """Refuse every request until that time of the venue."""
        return self.faults.maintenance(until_ms=until_ms)

    async def heal(self) -> None:
        """Behave from now on."""
        self.spent_by_others = self._spent = 0
        self.candle_faults.heal()
        await self.faults.heal()

    def accept_then(self, *actions: AfterAccept) -> None:
        """Take the next orders, one for each action, and answer them so."""
        self._after_accept += actions

    def silence_sockets(self) -> int:
        """See `Faults.silence_sockets`."""
        for one in self.hub.sockets:
            one.silent = True
        return len(self.hub.sockets)

    def inject(self, text: str) -> int:
        """See `Faults.inject`."""
        for one in self.hub.sockets:
            one.put_text(text)
        return len(self.hub.sockets)

    # around every answer; the faults of `LocalServer` stand between the first and the second of these

    @web.middleware
    async def _count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The quota, told in the headers of every answer but a socket's."""
        self.requests[f"{request.method} {request.path}"] += 1
        minute = self.time.now_ms() // MINUTE_MS
        if minute != self._minute:
            self._minute, self._spent = minute, self.spent_by_others
        self._spent += 1
        remaining = max(0, self.requests_per_minute - self._spent)
        reset_s = (minute + 1) * 60
        headers = {
            "X-RateLimit-Limit": str(self.requests_per_minute),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": str(reset_s),
            "Date": formatdate(self.time.now_ms() / 1000, usegmt=True),
        }
        if self._spent > self.requests_per_minute:
            self.refused += 1
            if self.tells_retry_after:
                headers["Retry-After"] = str(max(1, reset_s - self.time.now_ms() // 1000))
            body = {"code": 42910000, "message": "too many requests."}
            return web.json_response(body, status=429, headers=headers)
        response = await handler(request)
        if not response.prepared:
            for name, value in headers.items():
                response.headers.setdefault(name, value)
        return response

    @web.middleware
    async def _break_writes(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Take an order, and answer otherwise than one should."""
        response = await handler(request)
        if not self._after_accept or request.method != "POST" or response.status != 200:
            return response
        match self._after_accept.pop(0):
            case "hang":
                await asyncio.Event().wait()
            case "cut_body":
                return await self._cut(request)
            case "html":
                return web.Response(text="<html><body>welcome</body></html>", content_type="text/html")
            case "empty":
                return web.json_response({})
            case "null":
                return web.json_response(None)
            case "unavailable":
                return web.Response(status=503, text="Service Unavailable")
            case "other":
                other = next(iter(self.ledger.orders.values())).row() | {"client_order_id": "another"}
                return web.json_response(other)
            case "reset":
                pass
        return self._reset(request)

    @web.middleware
    async def _refusals(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Who may ask, and refusals in the venue's form."""
        try:
            self._check_key(request)
            return await handler(request)
        except Refused as refused:
            return json_error(refused)

    def _check_key(self, request: web.Request) -> None:
        if request.path.startswith("/v1beta3/crypto") or "Upgrade" in request.headers:
            return  # public, or checked by the socket's own messages
        given = request.headers.get("APCA-API-KEY-ID"), request.headers.get("APCA-API-SECRET-KEY")
        if self.revoked or given != (API_KEY, SECRET):
            raise Refused(401, "request is not authorized", 40110000)

    def _reset(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    async def _cut(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        response.content_type = "application/json"
        await response.prepare(request)
        await response.write(b'{"id":"904837e3')
        if request.transport is not None:
            request.transport.close()
        return response


def _answering(answer: Callable[[Any], object]) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        return web.json_response(answer(request.query))

    return handle
