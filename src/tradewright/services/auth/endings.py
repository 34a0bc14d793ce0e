"""Tells whoever holds something open for a session that it has ended, here and on other servers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from tradewright.domain.errors import TradewrightError
from tradewright.domain.ports import BusGap, MessageBus

_log = logging.getLogger(__name__)

CHANNEL: Final = "accounts:ended-sessions"
PUBLISH_DEADLINE_S: Final = 2.0
_ID_LENGTH_MAX: Final = 64

Ended = Callable[[str], None]


class Endings:
    """Announces sessions that have ended. A notice is a courtesy: it may be lost, and who must be sure looks
    at the session itself."""

    def __init__(self, bus: MessageBus | None) -> None:
        self._bus = bus
        self._watchers: list[Ended] = []

    def watch(self, ended: Ended) -> None:
        """Call this with the id of each session that ends from now on."""
        self._watchers.append(ended)

    async def announce(self, session_ids: Iterable[str]) -> None:
        """These have ended. Raises nothing: they have, whoever hears of it."""
        for session_id in session_ids:
            self._tell(session_id)
            if self._bus is None:
                continue
            try:
                async with asyncio.timeout(PUBLISH_DEADLINE_S):
                    await self._bus.publish(CHANNEL, session_id.encode())
            except (TradewrightError, TimeoutError):
                _log.warning("Other servers were not told that a session has ended; they find out by asking.")
                return

    async def listen(self) -> None:
        """Hear what other servers announce, until cancelled."""
        if self._bus is None:
            return
        async with self._bus.subscribe(CHANNEL) as subscription:
            notices = aiter(subscription)
            while True:
                try:
                    notice = await anext(notices)
                except BusGap:
                    continue
                if len(notice) <= _ID_LENGTH_MAX and notice.isascii():
                    self._tell(notice.decode())

    def _tell(self, session_id: str) -> None:
        for ended in self._watchers:
            ended(session_id)
