"""The venue's websockets: market data (one for stocks, one for crypto) and the account's orders."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec
from aiohttp import WSMessage, WSMsgType, web

from tests.venues.alpaca.data_api import book_row
from tests.venues.alpaca.ledger import LedgerFill, LedgerOrder
from tests.venues.alpaca.securities import Security, stamp

CHANNELS: Final = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "orderbooks")
OUTBOX_MAX: Final = 100_000


@dataclass(eq=False, slots=True)
class Socket:
    """One client connection."""

    response: web.WebSocketResponse
    path: str
    binary: bool = False
    authenticated: bool = False
    listening: bool = False
    silent: bool = False
    subscriptions: dict[str, set[str]] = field(default_factory=lambda: {name: set() for name in CHANNELS})
    outbox: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(OUTBOX_MAX))

    def put(self, message: object) -> None:
        """Queue a message."""
        self.put_text(msgspec.json.encode(message).decode())

    def put_text(self, text: str) -> None:
        """Queue a text, well formed or not."""
        self.outbox.put_nowait(text)

    async def drain(self) -> None:
        """Send what is queued, until cancelled."""
        while True:
            text = await self.outbox.get()
            if self.silent:
                continue
            if self.binary:
                await self.response.send_bytes(text.encode())
            else:
                await self.response.send_str(text)


class Hub:
    """All sockets of the venue. `connections_max` bounds the logged-in ones of each path, as the venue's one
    does; `symbols_max` bounds the trades and quotes that one may have."""

    def __init__(self, securities: dict[str, Security], key: str, secret: str) -> None:
        self._securities = securities
        self._key = key
        self._secret = secret
        self.sockets: set[Socket] = set()
        self.opened = 0
        self.connections_max = 1
        self.symbols_max = 1_000
        self.errors: Counter[int] = Counter()
        self.commands: list[dict[str, object]] = []

    def revoke(self) -> None:
        """The key opens no stream any more."""
        self._secret = ""

    async def market(self, request: web.Request) -> web.StreamResponse:
        """A socket for market data."""
        return await self._serve(request, self._market_command, binary=False)

    async def orders(self, request: web.Request) -> web.StreamResponse:
        """A socket for the account's orders; frames are binary, as on the paper host."""
        return await self._serve(request, self._orders_command, binary=True)

    async def _serve(
        self,
        request: web.Request,
        command: Callable[[Socket, dict[str, object]], Awaitable[None]],
        *,
        binary: bool,
    ) -> web.StreamResponse:
        response = web.WebSocketResponse(autoping=False, max_msg_size=65_536)
        await response.prepare(request)
        socket = Socket(response, request.path, binary)
        self.sockets.add(socket)
        self.opened += 1
        if not binary:
            socket.put([{"T": "success", "msg": "connected"}])
        sender = asyncio.create_task(socket.drain(), name="venue/socket")
        try:
            async for message in response:
                await self._receive(socket, message, command)
        except ConnectionError:
            pass
        finally:
            self.sockets.discard(socket)
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        return response

    async def _receive(
        self,
        socket: Socket,
        message: WSMessage,
        command: Callable[[Socket, dict[str, object]], Awaitable[None]],
    ) -> None:
        if socket.silent:
            return
        if message.type is WSMsgType.PING:
            await socket.response.pong(message.data)
        elif message.type is WSMsgType.TEXT:
            try:
                decoded = msgspec.json.decode(message.data, type=dict[str, object])
            except msgspec.MsgspecError:
                self._refuse(socket, 400, "invalid syntax")
                return
            self.commands.append({name: value for name, value in decoded.items() if name != "secret"})
            await command(socket, decoded)

    def _refuse(self, socket: Socket, code: int, text: str) -> None:
        self.errors[code] += 1
        socket.put([{"T": "error", "code": code, "msg": text}])

    # market data

    async def _market_command(self, socket: Socket, command: dict[str, object]) -> None:
        action = command.get("action")
        if action == "auth":
            self._authenticate(socket, command)
        elif not socket.authenticated:
            self._refuse(socket, 401, "not authenticated")
        elif action in ("subscribe", "unsubscribe"):
            self._subscribe(socket, command, add=action == "subscribe")
        else:
            self._refuse(socket, 400, "invalid syntax")

    def _authenticate(self, socket: Socket, command: dict[str, object]) -> None:
        if command.get("key") != self._key or command.get("secret") != self._secret:
            self._refuse(socket, 402, "auth failed")
        elif self._logged_in(socket.path) >= self.connections_max:
            self._refuse(socket, 406, "connection limit exceeded")
        else:
            socket.authenticated = True
            socket.put([{"T": "success", "msg": "authenticated"}])

    def _logged_in(self, path: str) -> int:
        return sum(one.path == path and one.authenticated for one in self.sockets)

    def _subscribe(self, socket: Socket, command: dict[str, object], *, add: bool) -> None:
        asked = {
            name: {str(symbol) for symbol in given}
            for name in CHANNELS
            if isinstance(given := command.get(name), list)
        }
        before = {name: set(symbols) for name, symbols in socket.subscriptions.items()}
        for name, symbols in asked.items():
            socket.subscriptions[name] = before[name] | symbols if add else before[name] - symbols
        if len(socket.subscriptions["trades"]) + len(socket.subscriptions["quotes"]) > self.symbols_max:
            socket.subscriptions = before
            self._refuse(socket, 405, "symbol limit exceeded")
            return
        now = {name: sorted(symbols) for name, symbols in socket.subscriptions.items()}
        socket.put([{"T": "subscription", **now}])
        if add:
            for symbol in sorted(asked.get("orderbooks", set()) - before["orderbooks"]):
                if symbol in self._securities:
                    book = book_row(self._securities[symbol])
                    socket.put([{"T": "o", "S": symbol, **book, "r": True}])

    def publish(self, channel: str, symbol: str, message: dict[str, object]) -> None:
        """Send a message to the subscribed sockets."""
        for socket in self.sockets:
            if symbol in socket.subscriptions[channel] or "*" in socket.subscriptions[channel]:
                socket.put([message])

    @property
    def subscriptions(self) -> dict[str, int]:
        """How many sockets have each `channel:symbol` now."""
        return dict(
            Counter(
                f"{channel}:{symbol}"
                for socket in self.sockets
                for channel, symbols in socket.subscriptions.items()
                for symbol in symbols
            )
        )

    # orders

    async def _orders_command(self, socket: Socket, command: dict[str, object]) -> None:
        if command.get("action") in ("auth", "authenticate"):
            data = command.get("data")
            given = data if isinstance(data, dict) else command
            key, secret = given.get("key_id", given.get("key")), given.get("secret_key", given.get("secret"))
            socket.authenticated = key == self._key and secret == self._secret
            status = "authorized" if socket.authenticated else "unauthorized"
            answer = {"status": status, "action": "authenticate"}
            socket.put({"stream": "authorization", "data": answer})
        elif command.get("action") == "listen" and socket.authenticated:
            socket.listening = True
            socket.put({"stream": "listening", "data": {"streams": ["trade_updates"]}})

    def order_event(self, event: str, order: LedgerOrder, fill: LedgerFill | None) -> None:
        """Tell the listening sockets of an order's change."""
        data: dict[str, object] = {"event": event, "timestamp": stamp(order.updated_ms), "order": order.row()}
        if fill is not None:
            execution = fill.id.rpartition("::")[2]
            data |= {"execution_id": execution, "price": f"{fill.price:f}", "qty": f"{fill.qty:f}"}
        for socket in self.sockets:
            if socket.listening:
                socket.put({"stream": "trade_updates", "data": data})
