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


class Address:
    """What an exchange allows the address that we call from, whoever's key a call carries: its published
    rate, and no call at all while it wants none. All instances of one exchange and network share it."""

    def __init__(self, provider: str, clock: Clock, *, per_second: float) -> None:
        self._provider = provider
        self._clock = clock
        self.calls = RateLimiter(clock, per_second=per_second, overflow=self.too_many)
        self.dials = RateLimiter(clock, per_second=DIALS_PER_S, burst=DIALS_AT_ONCE, overflow=self.too_many)
        self._closed_until_s = clock.monotonic()

    @property
    def retry_after_s(self) -> float | None:
        """How long the venue still wants no call; None where it takes calls."""
        remaining_s = self._closed_until_s - self._clock.monotonic()
        return remaining_s if remaining_s > 0 else None

    def stay_away(self, delay_s: float) -> None:
        """Make no call for so long."""
        until_s = self._clock.monotonic() + min(delay_s, STAY_AWAY_S_MAX)
        self._closed_until_s = max(self._closed_until_s, until_s)

    def check_open(self) -> None:
        """Raise while the venue wants no call."""
        remaining_s = self.retry_after_s
        if remaining_s is not None:
            raise RateLimitPluginError(
                f"{self._provider} asked us to stay away; {remaining_s:.0f} s are left.", remaining_s
            )

    def too_many(self) -> RateLimitPluginError:
        """What who does not even get a place to wait is told."""
        return RateLimitPluginError(f"Too many calls wait for {self._provider}'s rate limit.")


class Governor:
    """Spaces the calls of one instance by what the venue allows its address; while the venue wants none, it
    refuses them at once. ``address`` is shared by many, or its own.

    A refusal is a ``RateLimitPluginError`` with the time that is left, so that nobody waits for
    minutes in a queue.
    """

    def __init__(
        self, provider: str, clock: Clock, *, per_second: float, address: Address | None = None
    ) -> None:
        self._clock = clock
        self.address = address or Address(provider, clock, per_second=per_second)
        self._messages = RateLimiter(clock, per_second=per_second, overflow=self.address.too_many)

    async def acquire(self, cost: float, *, ahead: bool = False) -> None:
        """Return when a call of that cost may be made, ``ahead`` of those that wait already."""
        self.address.check_open()
        calls = self.address.calls
        await (calls.acquire_ahead(cost) if ahead else calls.acquire(cost))
        self.address.check_open()

    async def acquire_message(self, cost: float) -> None:
        """Return when a websocket message may be sent; sockets go on while calls are refused."""
        await self._messages.acquire(cost)

    async def acquire_dial(self) -> None:
        """Return when a websocket may be dialled: at most 300 are in any five minutes, as Binance has it."""
        await self.address.dials.acquire()

    @property
    def retry_after_s(self) -> float | None:
        """How long the venue still wants no call; None where it takes calls."""
        return self.address.retry_after_s

    def heed(self, status: int, headers: Mapping[str, str]) -> None:
        """Take note of an answer: 418, 429 and 503 may say for how long to stay away."""
        if status not in (418, 429, 503):
            return
        named = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
        delay_s = self._seconds(named) if named else None
        if delay_s is not None:
            self.address.stay_away(delay_s)

    def _seconds(self, value: str) -> float | None:
        """`Retry-After` in either of its forms; None for what is neither."""
        if value.strip().isascii() and value.strip().isdigit():
            return float(value)
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - self._clock.now_ms() / 1000)
        except ValueError:
            return None
