"""How fast one exchange may be called, on monotonic time, and when not at all."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from tradewright.domain.errors import RateLimitPluginError
from tradewright.runtime.clock import Clock
from tradewright.runtime.rate_limit import RateLimiter

STAY_AWAY_S_MAX: Final = 24 * 3600.0
DIALS_PER_S: Final = 0.5
DIALS_AT_ONCE: Final = 145


class Governor:
    """Spaces calls by the venue's published rate; while the venue wants none, it refuses them at once.

    A refusal is a ``RateLimitPluginError`` with the time that is left, so that nobody waits for
    minutes in a queue.
    """

    def __init__(self, provider: str, clock: Clock, *, per_second: float) -> None:
        self._provider = provider
        self._clock = clock
        self._calls = RateLimiter(clock, per_second=per_second, overflow=self._too_many)
        self._messages = RateLimiter(clock, per_second=per_second, overflow=self._too_many)
        self._dials = RateLimiter(clock, per_second=DIALS_PER_S, burst=DIALS_AT_ONCE, overflow=self._too_many)
        self._closed_until_s = clock.monotonic()

    async def acquire(self, cost: float) -> None:
        """Return when a call of that cost may be made."""
        self._check_open()
        await self._calls.acquire(cost)
        self._check_open()

    async def acquire_message(self, cost: float) -> None:
        """Return when a websocket message may be sent; sockets go on while calls are refused."""
        await self._messages.acquire(cost)

    async def acquire_dial(self) -> None:
        """Return when a websocket may be dialled: at most 300 are in any five minutes, as Binance has it."""
        await self._dials.acquire()

    @property
    def retry_after_s(self) -> float | None:
        """How long the venue still wants no call; None where it takes calls."""
        remaining_s = self._closed_until_s - self._clock.monotonic()
        return remaining_s if remaining_s > 0 else None

    def heed(self, status: int, headers: Mapping[str, str]) -> None:
        """Take note of an answer: 418, 429 and 503 may say for how long to stay away."""
        if status not in (418, 429, 503):
            return
        named = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
        delay_s = self._seconds(named) if named else None
        if delay_s is not None:
            until_s = self._clock.monotonic() + min(delay_s, STAY_AWAY_S_MAX)
            self._closed_until_s = max(self._closed_until_s, until_s)

    def _seconds(self, value: str) -> float | None:
        """`Retry-After` in either of its forms; None for what is neither."""
        if value.strip().isascii() and value.strip().isdigit():
            return float(value)
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - self._clock.now_ms() / 1000)
        except ValueError:
            return None

    def _check_open(self) -> None:
        remaining_s = self.retry_after_s
        if remaining_s is not None:
            raise RateLimitPluginError(
                f"{self._provider} asked us to stay away; {remaining_s:.0f} s are left.", remaining_s
            )

    def _too_many(self) -> RateLimitPluginError:
        return RateLimitPluginError(f"Too many calls wait for {self._provider}'s rate limit.")
