"""The venue's websocket API as far as the account's own events need it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from tests.venues.binance.ledger import Execution, Ledger, PlacedOrder
from tests.venues.binance.rest import VenueError
from tests.venues.binance.trading import TradingApi
from tests.venues.time import VenueTime


class UserStream:
    """Subscribes sockets by signature and sends them each change of an order, and what it did to balances."""

    def __init__(self, trading: TradingApi, ledger: Ledger, time: VenueTime) -> None:
        self._trading = trading
        self._ledger = ledger
        self._time = time
        self._outboxes: dict[web.WebSocketResponse, asyncio.Queue[str]] = {}
        self.sockets = 0
        self.opened = 0
        ledger.listeners.append(self._changed)

    @property
    def subscriptions(self) -> int:
        """How many sockets hear of the account now."""
        return len(self._outboxes)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one websocket for as long as it lives."""
        socket = web.WebSocketResponse(autoping=True, max_msg_size=65_536)
        await socket.prepare(request)
        self.sockets += 1
        self.opened += 1
        outbox: asyncio.Queue[str] = asyncio.Queue()
        sender = asyncio.create_task(_drain(socket, outbox), name="venue/user_stream")
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    outbox.put_nowait(self._command(socket, outbox, message.data))
        except ConnectionError:
            pass
        finally:
            self.sockets -= 1
            self._outboxes.pop(socket, None)
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        return socket

    def inject(self, text: str) -> None:
        """Send this text to all subscribed sockets."""
        for outbox in self._outboxes.values():
            outbox.put_nowait(text)

    def _command(self, socket: web.WebSocketResponse, outbox: asyncio.Queue[str], text: str) -> str:
        command = msgspec.json.decode(text, type=dict[str, Any])
        try:
            self._check(command)
        except VenueError as error:
            body: dict[str, object] = {"error": {"code": error.code, "msg": error.text}}
            return msgspec.json.encode({"id": command.get("id"), "status": error.status, **body}).decode()
        self._outboxes[socket] = outbox
        result = {"subscriptionId": 0}
        return msgspec.json.encode({"id": command.get("id"), "status": 200, "result": result}).decode()

    def _check(self, command: Mapping[str, Any]) -> None:
        if command.get("method") != "userDataStream.subscribe.signature":
            raise VenueError(-1000, "Unknown method.")
        params: Mapping[str, Any] = command["params"]
        signed = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")
        texts = {name: str(value) for name, value in params.items()}
        self._trading.check(texts.get("apiKey"), texts, signed, texts.get("signature", ""))

    def _changed(self, order: PlacedOrder, execution: Execution) -> None:
        now_ms = self._time.now_ms()
        held = account_position(self._ledger, (order.base, order.quote), now_ms)
        for event in (execution_report(order, execution, now_ms), held):
            self.inject(msgspec.json.encode({"subscriptionId": 0, "event": event}).decode())


async def _drain(socket: web.WebSocketResponse, outbox: asyncio.Queue[str]) -> None:
    while True:
        await socket.send_str(await outbox.get())


def account_position(ledger: Ledger, assets: tuple[str, str], now_ms: int) -> dict[str, object]:
    """The event that tells what is held of what may have changed."""
    held = [
        {
            "a": asset,
            "f": f"{ledger.free.get(asset, Decimal(0)):f}",
            "l": f"{ledger.locked.get(asset, Decimal(0)):f}",
        }
        for asset in assets
    ]
    return {"e": "outboundAccountPosition", "E": now_ms, "u": now_ms, "B": held}


def execution_report(order: PlacedOrder, execution: Execution, now_ms: int) -> dict[str, object]:
    """The event that tells of one change of an order."""
    last = order.fills[-1] if execution == "TRADE" else None
    ended = execution == "CANCELED"
    return {
        "e": "executionReport",
        "E": now_ms,
        "s": order.symbol,
        "c": order.cancel_id if ended else order.client_id,
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": f"{order.amount:f}",
        "p": f"{order.price:f}",
        "P": f"{order.stop_price:f}",
        "F": "0.00000000",
        "g": -1,
        "C": order.client_id if ended else "",
        "x": execution,
        "X": order.status,
        "r": "NONE",
        "i": order.id,
        "l": f"{last.amount:f}" if last else "0.00000000",
        "z": f"{order.executed:f}",
        "L": f"{last.price:f}" if last else "0.00000000",
        "n": f"{last.fee:f}" if last else "0",
        "N": last.fee_asset if last else None,
        "T": order.updated_ms,
        "t": last.id if last else -1,
        "w": order.open,
        "m": last.maker if last else False,
        "O": order.created_ms,
        "Z": f"{order.cost:f}",
        "Y": f"{last.amount * last.price:f}" if last else "0.00000000",
        "Q": "0.00000000",
    }
