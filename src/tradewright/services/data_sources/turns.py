"""One at a time for each series."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tradewright.domain.instruments import SeriesKey


@dataclass(slots=True)
class _Turn:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Turns:
    """Lets readers of one series ask its venue one after the other; remembers none that nobody uses."""

    def __init__(self) -> None:
        self._turns: dict[SeriesKey, _Turn] = {}

    def __len__(self) -> int:
        return len(self._turns)

    def wanted(self, key: SeriesKey) -> bool:
        """Whether somebody waits for the turn that is held."""
        turn = self._turns.get(key)
        return turn is not None and turn.users > 1

    @asynccontextmanager
    async def take(self, key: SeriesKey, deadline_s: float) -> AsyncIterator[None]:
        """Hold the turn while the context lasts; ``TimeoutError`` where it did not come until then."""
        turn = self._turns.setdefault(key, _Turn())
        turn.users += 1
        try:
            async with asyncio.timeout_at(deadline_s):
                await turn.lock.acquire()
            try:
                yield
            finally:
                turn.lock.release()
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[key]
