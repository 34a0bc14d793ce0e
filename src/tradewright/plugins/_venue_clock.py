"""The venue's clock: by it bars are final, and requests are signed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from tradewright.domain.errors import PluginError, TimeoutPluginError
from tradewright.runtime.clock import Clock

CLOCK_LIFETIME_S: Final = 300.0
CLOCK_RETRY_S: Final = 60.0
DOUBT_AGAIN_S: Final = 5.0
JUMP_MS: Final = 1_000
SLOW_MS: Final = 1_000

_log = logging.getLogger(__name__)


class VenueClock:
    """Our clock plus the offset that was measured last.

    From a measurement on it goes by monotonic time, so that setting our wall clock moves no signature;
    a wall clock that has parted from it is a reason to measure anew, as is sleep of the whole machine.
    """

    def __init__(self, provider: str, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._lock = asyncio.Lock()
        self._until_s = clock.monotonic()
        self._not_before_s = clock.monotonic()
        self._measured: tuple[float, int, int] | None = None  # monotonic, wall and venue time of one moment
        self.unmeasured: PluginError | None = None
        """Why nothing is known of a clock that the venue would tell; None where it was measured once."""

    def now_ms(self) -> int:
        """The venue's time as far as it is known."""
        if self._measured is None:
            return self._clock.now_ms()
        monotonic_s, _, venue_ms = self._measured
        return venue_ms + int((self._clock.monotonic() - monotonic_s) * 1000)

    def measured_ms(self) -> int | None:
        """The venue's time by the last measurement; None where there is none, or where our clocks have parted
        since, as after a sleep of the machine."""
        return None if self._measured is None or self._jumped() else self.now_ms()

    def doubt(self) -> bool:
        """Measure anew before the next use, since the venue did not accept our time; False where that was
        done just now and would not help."""
        self._until_s = self._clock.monotonic()
        return self._until_s >= self._not_before_s

    async def refresh(self, measure: Callable[[], Awaitable[int | None]]) -> None:
        """Measure where that is due; ``measure`` gives the offset in ms, None where the venue can't say."""
        async with self._lock:
            now_s = self._clock.monotonic()
            if now_s < self._not_before_s or (now_s < self._until_s and not self._jumped()):
                return
            try:
                offset_ms = await measure()
            except PluginError as error:
                _log.info("%s: keeping the last clock offset: %s", self._provider, error)
                if self._measured is None:
                    self.unmeasured = error
                retry_s = CLOCK_RETRY_S if self._measured else DOUBT_AGAIN_S
                self._until_s = self._not_before_s = self._clock.monotonic() + retry_s
                return
            self.unmeasured = None
            self._not_before_s = self._clock.monotonic() + DOUBT_AGAIN_S
            self._until_s = self._clock.monotonic() + CLOCK_LIFETIME_S
            if offset_ms is not None:
                wall_ms = self._clock.now_ms()
                self._measured = (self._clock.monotonic(), wall_ms, wall_ms + offset_ms)

    def _jumped(self) -> bool:
        if self._measured is None:
            return False
        monotonic_s, wall_ms, _ = self._measured
        steady_ms = wall_ms + (self._clock.monotonic() - monotonic_s) * 1000
        return abs(self._clock.now_ms() - steady_ms) > JUMP_MS


class Question:
    """A venue is being asked for its time; made before it is."""

    def __init__(self, provider: str, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._began_ms, self._began_s = clock.now_ms(), clock.monotonic()

    def offset_ms(self, at_ms: int, sent_ms: int | None = None) -> int:
        """By how much the venue's clock is before ours, since it just answered ``at_ms``; ``sent_ms`` is when
        the question left, where that is known to be later than it was asked."""
        heard_ms, sent_ms = self._clock.now_ms(), self._began_ms if sent_ms is None else sent_ms
        steady_ms = self._began_ms + (self._clock.monotonic() - self._began_s) * 1000
        if abs(heard_ms - steady_ms) > SLOW_MS:
            # The machine slept meanwhile, or its clock was set: that would be our error.
            raise TimeoutPluginError(f"{self._provider} told its time while our clock was set.")
        if heard_ms - sent_ms > SLOW_MS:
            return at_ms - heard_ms  # a clock that is behind is late; one that is ahead ends bars too early
        return at_ms - (sent_ms + heard_ms) // 2
