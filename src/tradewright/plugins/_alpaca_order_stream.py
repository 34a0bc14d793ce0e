"""Alpaca's trading stream: the account's orders at each of their changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp

from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import AuthenticationPluginError, PluginError
from tradewright.domain.orders import VenueOrder
from tradewright.plugins import _alpaca_orders as orders
from tradewright.plugins._alpaca_errors import NAME, malformed
from tradewright.plugins._alpaca_parse import rows
from tradewright.plugins._alpaca_socket import Feed, SharedSocket, frame
from tradewright.runtime.clock import Clock

WAITING_MAX: Final = 10_000
_KIND: Final = "trade_updates"


def orders_feed() -> Feed[tuple[VenueOrder, ...]]:
    """Each state that the venue told, in its order; who falls too far behind is told so by an error."""

    def take(_channel: str, message: Any) -> tuple[VenueOrder, ...] | None:
        row = message.get("order")
        if isinstance(row, Mapping) and row.get("asset_class", "us_equity") not in ("us_equity", "crypto"):
            return None
        return (orders.order(row),)

    def merge(waiting: tuple[VenueOrder, ...], newer: tuple[VenueOrder, ...]) -> tuple[VenueOrder, ...]:
        if len(waiting) + len(newer) > WAITING_MAX:
            raise PluginError(f"More than {WAITING_MAX} changes of orders wait to be taken.")
        return waiting + newer

    return Feed(_KIND, "", (_KIND,), take, merge)


class OrderStream(SharedSocket):
    """Logs in and listens to the one stream there is."""

    def __init__(
        self,
        url: str,
        session: Callable[[], aiohttp.ClientSession],
        credentials: Credentials,
        clock: Clock,
    ) -> None:
        super().__init__("orders", url, session, clock)
        self._credentials = credentials

    async def log_in(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        key, secret = (self._credentials.reveal(name) for name in ("api_key", "secret"))
        await socket.send_json({"action": "auth", "key": key, "secret": secret})
        while True:
            stream, data = _message(await frame(socket))
            if stream == "authorization":
                break
        if data.get("status") != "authorized":
            raise AuthenticationPluginError(f"{NAME} did not accept the key for its trading stream.")
        await socket.send_json({"action": "listen", "data": {"streams": [_KIND]}})
        while True:
            stream, data = _message(await frame(socket))
            if stream == "listening":
                break
        if _KIND not in rows(data.get("streams"), "what it listens to"):
            raise malformed("its trading stream does not listen")

    async def keep_subscribed(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        pass  # there is but one thing to listen to

    def handle(self, frame: Any) -> None:
        stream, data = _message(frame)
        if stream == _KIND:
            for watched in tuple(self.watched.values()):
                watched.hand_on(_KIND, data)
                if all(box.error for box in watched.boxes):
                    del self.watched[watched.feed.kind, watched.feed.symbol]


def _message(frame: Any) -> tuple[str, Mapping[str, Any]]:
    if isinstance(frame, dict) and isinstance(frame.get("stream"), str):
        data = frame.get("data")
        if isinstance(data, dict):
            return frame["stream"], data
    raise malformed("a message of its trading stream is of another form")
