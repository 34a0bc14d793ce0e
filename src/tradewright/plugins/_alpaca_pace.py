"""How fast one of Alpaca's hosts may be called, on monotonic time, and when not at all."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from tradewright.domain.errors import RateLimitPluginError
from tradewright.plugins._alpaca_errors import NAME
from tradewright.runtime.clock import Clock
from tradewright.runtime.rate_limit import RateLimiter

PER_MINUTE: Final = 200
"""The quota of an account without a subscription; each answer says the real one."""
BURST_SHARE: Final = 20
WAITED_S_MAX: Final = 2.0
"""Whoever may call again so soon waits; whoever may not is told when."""
STAY_AWAY_S: Final = 10.0
STAY_AWAY_S_MAX: Final = 3_600.0
WAITING_MAX: Final = 500


class Pace:
    """Spaces calls by the quota that the host tells in its headers.

    While the host wants no call at all, ``acquire`` raises ``RateLimitPluginError`` with the time left.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._per_minute = PER_MINUTE
        self._limiter = self._make_limiter()
        self._closed_until_s = clock.monotonic()

    async def acquire(self) -> None:
        """Return when a call may be made."""
        self._check_open()
        await self._limiter.acquire()
        self._check_open()  # it may have closed while we waited

    def heed(self, status: int, headers: Mapping[str, str]) -> None:
        """Take note of what an answer says of the quota and of when to come back."""
        limit = _whole(headers.get("X-RateLimit-Limit"))
        if limit and limit != self._per_minute:
            self._per_minute = limit
            self._limiter = self._make_limiter()
        if status == 429:
            told_s = self._retry_after_s(headers)
            if told_s is None:
                told_s = self._until_reset_s(headers)
            self._stay_away(STAY_AWAY_S if told_s is None else told_s)
        elif _whole(headers.get("X-RateLimit-Remaining")) == 0:
            self._wait_for_reset(self._until_reset_s(headers))
        elif status == 503:
            self._stay_away(self._retry_after_s(headers) or 0.0)

    @property
    def retry_after_s(self) -> float | None:
        """How long the host still wants no call; None where it takes calls."""
        remaining_s = self._closed_until_s - self._clock.monotonic()
        return remaining_s if remaining_s > 0 else None

    def refusal(self) -> RateLimitPluginError:
        """What a call gets while the host wants none."""
        left_s = self.retry_after_s
        return RateLimitPluginError(
            f"{NAME} says that we ask too often; {left_s or 0:.0f} s are left.", left_s
        )

    def _check_open(self) -> None:
        if self.retry_after_s is not None:
            raise self.refusal()

    def _make_limiter(self) -> RateLimiter:
        """A burst and the steady rate together stay within the quota of any one minute."""
        burst = max(1, self._per_minute // BURST_SHARE)
        return RateLimiter(
            self._clock,
            per_second=max(1, self._per_minute - burst) / 60,
            burst=burst,
            max_waiting=WAITING_MAX,
            overflow=lambda: RateLimitPluginError(f"Too many calls wait for {NAME}'s rate limit."),
        )

    def _wait_for_reset(self, delay_s: float | None) -> None:
        if delay_s is not None and delay_s <= WAITED_S_MAX:
            self._limiter.pause(delay_s)
        elif delay_s is not None:
            self._stay_away(min(delay_s, 60.0))

    def _stay_away(self, delay_s: float) -> None:
        until_s = self._clock.monotonic() + min(delay_s, STAY_AWAY_S_MAX)
        self._closed_until_s = max(self._closed_until_s, until_s)

    def _retry_after_s(self, headers: Mapping[str, str]) -> float | None:
        seconds = _whole(headers.get("Retry-After"))
        return None if seconds is None else float(seconds)

    def _until_reset_s(self, headers: Mapping[str, str]) -> float | None:
        """Seconds until the quota changes, by the host's own clock where it tells it."""
        reset_s = _whole(headers.get("X-RateLimit-Reset"))
        if reset_s is None:
            return None
        try:
            now_s = parsedate_to_datetime(headers["Date"]).timestamp()
        except (KeyError, ValueError):
            now_s = self._clock.now_ms() / 1000
        return max(0.0, reset_s - now_s)


def _whole(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
