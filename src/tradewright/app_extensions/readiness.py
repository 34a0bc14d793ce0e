"""Whether the store can be used, looked at no more often than is useful."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from tradewright.domain.errors import StorageUnavailable
from tradewright.runtime.clock import Clock

_REMEMBERED_S: Final = 2.0


class Readiness:
    """What a store's check last said. However many ask, it writes once in a while."""

    def __init__(self, check: Callable[[], Awaitable[None]], clock: Clock) -> None:
        self._check = check
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._looked_s: float | None = None
        self._problem: str | None = None

    async def problem(self) -> str | None:
        """Why the store can't be read or written, as of at most two seconds ago; None where they can."""
        async with self._one_at_a_time:
            if self._looked_s is None or self._clock.monotonic() - self._looked_s >= _REMEMBERED_S:
                try:
                    await self._check()
                except StorageUnavailable as error:
                    self._problem = error.message
                else:
                    self._problem = None
                self._looked_s = self._clock.monotonic()
            return self._problem
