"""Alpaca's market data streams: one socket for stocks, one for crypto, each for all symbols and kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import aiohttp
import msgspec

from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import PluginError
from tradewright.plugins._alpaca_errors import NAME, malformed, stream_error
from tradewright.plugins._alpaca_feeds import KINDS
from tradewright.plugins._alpaca_parse import rows
from tradewright.plugins._alpaca_socket import SharedSocket, frame
from tradewright.runtime.clock import Clock

CHANNELS: Final[Mapping[str, str]] = {
    "t": "trades",
    "q": "quotes",
    "b": "bars",
    "u": "updatedBars",
    "d": "dailyBars",
    "o": "orderbooks",
}
"""By the type of a message."""

CONNECTION_LIMIT: Final = 406
CONNECTION_LIMIT_WAIT_S: Final = 30.0
_OF_SUBSCRIBING: Final = frozenset({400, 405, 410})
_OF_A_KNOWN_STATE: Final = 403  # "already authenticated"

_Subscription: TypeAlias = tuple[str, str]
"""A channel and a symbol."""


class MarketStream(SharedSocket):
    """Subscribes to what is watched and hands each message to who watches it."""

    def __init__(
        self,
        name: str,
        url: str,
        session: Callable[[], aiohttp.ClientSession],
        credentials: Credentials,
        clock: Clock,
    ) -> None:
        super().__init__(name, url, session, clock)
        self._credentials = credentials
        self._asked: set[_Subscription] = set()
        self._confirmed: set[_Subscription] = set()

    async def log_in(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._asked, self._confirmed = set(), set()
        greeted = False
        while True:
            for message in _messages(await frame(socket)):
                match message.get("T"), message.get("msg"):
                    case "error", _:
                        raise self._error(message)
                    case "success", "connected" if not greeted:
                        greeted = True
                        key, secret = (self._credentials.reveal(name) for name in ("api_key", "secret"))
                        await socket.send_json({"action": "auth", "key": key, "secret": secret})
                    case "success", "authenticated":
                        return

    async def keep_subscribed(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            self.changed.clear()
            wanted = {
                (channel, symbol)
                for (_, symbol), watched in self.watched.items()
                for channel in watched.feed.channels
            }
            for action, which in (("unsubscribe", self._asked - wanted), ("subscribe", wanted - self._asked)):
                if which:
                    text = msgspec.json.encode({"action": action, **_by_channel(which)}).decode()
                    await socket.send_str(text)
            self._asked = wanted
            await self.changed.wait()

    def handle(self, frame: Any) -> None:
        for message in _messages(frame):
            kind = message.get("T")
            if not isinstance(kind, str):
                raise malformed("a message of its stream has no type")
            if kind in CHANNELS:
                self._hand_on(CHANNELS[kind], message)
            elif kind == "error":
                self._take_error(message)
            elif kind == "subscription":
                self._confirmed = {
                    (channel, symbol)
                    for channel in CHANNELS.values()
                    for symbol in rows(message.get(channel), "a subscription")
                    if isinstance(symbol, str)
                }
            # What else there is (trading status, corrections) is nothing that we watch.

    def _hand_on(self, channel: str, message: Mapping[str, Any]) -> None:
        symbol = message.get("S")
        if not isinstance(symbol, str):
            raise malformed("a message of its stream names no symbol")
        for kind in KINDS:  # not all that is watched: there may be hundreds of symbols
            watched = self.watched.get((kind, symbol))
            if watched is None or channel not in watched.feed.channels:
                continue
            watched.hand_on(channel, message)
            if all(box.error for box in watched.boxes):
                del self.watched[kind, symbol]
                self.changed.set()

    def _take_error(self, message: Mapping[str, Any]) -> None:
        error = self._error(message)
        code = message.get("code")
        if code == _OF_A_KNOWN_STATE:
            return
        if not isinstance(code, int) or code not in _OF_SUBSCRIBING:
            raise error
        # Alpaca keeps the subscriptions of before. Those who asked for more are told so.
        unconfirmed = self._asked - self._confirmed
        self.fail_some(
            [
                key
                for key, watched in self.watched.items()
                if any((channel, key[1]) in unconfirmed for channel in watched.feed.channels)
            ],
            error,
        )
        self._asked = set(self._confirmed)

    def _error(self, message: Mapping[str, Any]) -> PluginError:
        code = message.get("code")
        if not isinstance(code, int):
            return malformed("an error without a code")
        if code == CONNECTION_LIMIT:
            told = f"{NAME} allows one connection to its stream, and another program has it with this key."
            return self.refuse_until(PluginError(told, CONNECTION_LIMIT_WAIT_S), CONNECTION_LIMIT_WAIT_S)
        return stream_error(code, str(message.get("msg", "")))


def _messages(frame: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(frame, list) or not all(isinstance(message, dict) for message in frame):
        raise malformed("a message of its stream is of another form")
    return frame


def _by_channel(which: set[_Subscription]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for channel, symbol in sorted(which):
        found.setdefault(channel, []).append(symbol)
    return found
