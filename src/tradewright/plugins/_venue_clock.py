"""The venue's clock, by which requests are signed and bars are final."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from tradewright.domain.errors import PluginError, TimeoutPluginError
from tradewright.runtime.clock import Clock

CLOCK_LIFETIME_S: Final = 300.0
CLOCK_RETRY_S: Final = 60.0
DOUBT_AGAIN_S: Final = 5.0
JUMP_MS: Final = 1_000
SLOW_MS: Final = 1_000

_log = logging.getLogger(__name__)


class _Mark(NamedTuple):
    """The same moment by monotonic time, our wall clock, and the venue."""

    monotonic_s: float
    wall_ms: int
    venue_ms: int


class VenueClock:
    """Our clock plus the offset that was measured last.

    From a measurement on it goes by monotonic time, so that setting our wall clock moves no signature;
    a wall clock that has parted from it is a reason to measure anew, as is sleep of the whole machine.

    A venue that tells its time in no call of its own tells it by the dates of its answers. These give what
    its clock has passed at least, up to two seconds late: enough to tell what is final, and nothing is signed
    by it.
    """

    def __init__(self, provider: str, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._lock = asyncio.Lock()
        self._until_s = clock.monotonic()
        self._not_before_s = clock.monotonic()
        self._measured: _Mark | None = None
        self._heard: _Mark | None = None
        self.unmeasured: PluginError | None = None
        """Why nothing is known of a clock that the venue would tell; None where it was measured once."""

    def now_ms(self) -> int:
        """The venue's time as far as it was measured, else ours."""
        return self._clock.now_ms() if self._measured is None else self._since(self._measured)

    def past_ms(self) -> int:
        """What the venue's clock has passed, by measurement, else by the dates of its answers; ours where
        there is neither."""
        known = self._measured or self._heard
        return self._clock.now_ms() if known is None else self._since(known)

    @property
    def is_known(self) -> bool:
        """Whether ``past_ms`` is more than our own clock."""
        return self._measured is not None or self._heard is not None

    def measured_ms(self) -> int | None:
        """``past_ms``; None where nothing is known of the venue's clock, or where ours have parted since, as
        after a sleep of the machine."""
        known = self._measured or self._heard
        return None if known is None or self._jumped(known) else self._since(known)

    def heard(self, date: str | None) -> None:
        """An answer came just now that was made at that HTTP date, by the venue's clock."""
        try:
            venue_ms = int(parsedate_to_datetime(date or "").timestamp() * 1000)
        except (ValueError, OverflowError):
            return
        known = self._heard
        now_s = self._clock.monotonic()
        outdated = known is None or now_s - known.monotonic_s > CLOCK_LIFETIME_S or self._jumped(known)
        if known is None or outdated or venue_ms > self._since(known):
            self._heard = _Mark(now_s, self._clock.now_ms(), venue_ms)

    def doubt(self) -> bool:
        """Measure anew before the next use, since the venue did not accept our time; False where that was
        done just now and would not help."""
        self._until_s = self._clock.monotonic()
        return self._until_s >= self._not_before_s

    async def refresh(self, measure: Callable[[], Awaitable[int | None]]) -> None:
        """Measure where that is due; ``measure`` gives the offset in ms, None where the venue can't say."""
        async with self._lock:
            now_s = self._clock.monotonic()
            if now_s < self._not_before_s or (now_s < self._until_s and not self._jumped(self._measured)):
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
                self._measured = _Mark(self._clock.monotonic(), wall_ms, wall_ms + offset_ms)

    def _since(self, mark: _Mark) -> int:
        return mark.venue_ms + int((self._clock.monotonic() - mark.monotonic_s) * 1000)

    def _jumped(self, mark: _Mark | None) -> bool:
        if mark is None:
            return False
        steady_ms = mark.wall_ms + (self._clock.monotonic() - mark.monotonic_s) * 1000
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
