"""What a page and the server say to each other over one socket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from playwright.async_api import WebSocket


class PageSocket:
    """What goes over one socket of a page."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self._sent: list[dict[str, Any]] = []
        self._heard: list[dict[str, Any]] = []
        self._moved = asyncio.Event()
        socket.on("framesent", lambda text: self._note(self._sent, text))
        socket.on("framereceived", lambda text: self._note(self._heard, text))
        self._closed = asyncio.Event()
        socket.on("close", lambda _: self._closed.set())

    @property
    def refusals(self) -> list[dict[str, Any]]:
        """What the server did not take."""
        return [message for message in self._heard if message["type"] == "error"]

    async def closed(self) -> None:
        """Wait until the page is known to have closed it, which may be told after the next one was opened."""
        await asyncio.wait_for(self._closed.wait(), 20)

    async def sent(self, kind: str) -> dict[str, Any]:
        """The first message of the page of this kind."""
        return await self._first(self._sent, "type", kind)

    async def answer(self, message_id: int) -> dict[str, Any]:
        """What the server answered to a message."""
        return await self._first(self._heard, "id", message_id)

    def _note(self, messages: list[dict[str, Any]], text: str | bytes) -> None:
        messages.append(json.loads(text))
        self._moved.set()

    async def _first(self, messages: list[dict[str, Any]], name: str, value: object) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while not (found := [one for one in messages if one.get(name) == value]):
                self._moved.clear()
                await self._moved.wait()
        return found[0]
