"""When to leave a service that fails alone, and when to try it again."""

from __future__ import annotations

from typing import Final

from tradewright.runtime.clock import Clock

FAILURES_MAX: Final = 5
LOST_S_MAX: Final = 0.2
PROBE_EVERY_S: Final = 1.0


class CircuitBreaker:
    """Opens after ``failures_max`` failures in a row, or fewer that cost ``lost_s_max`` seconds together,
    so that a service that hangs is left alone after its first call. A success closes it.

    While it is open one call may be made as a probe every ``probe_every_s`` seconds; nothing waits for
    a probe that never reports.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        failures_max: int = FAILURES_MAX,
        lost_s_max: float = LOST_S_MAX,
        probe_every_s: float = PROBE_EVERY_S,
    ) -> None:
        self._clock = clock
        self._failures_max = failures_max
        self._lost_s_max = lost_s_max
        self._probe_every_s = probe_every_s
        self._failures = 0
        self._lost_s = 0.0
        self._probe_at_s: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether ordinary calls are better not made."""
        return self._probe_at_s is not None

    def may_probe(self) -> bool:
        """Whether it is time for a probe; True is said once in a period, to whoever makes it then."""
        now_s = self._clock.monotonic()
        if self._probe_at_s is None or now_s < self._probe_at_s:
            return False
        self._probe_at_s = now_s + self._probe_every_s
        return True

    def succeeded(self) -> None:
        """Report a call that went well."""
        self._failures, self._lost_s, self._probe_at_s = 0, 0.0, None

    def failed(self, took_s: float = 0.0) -> bool:
        """Report a call that failed after ``took_s`` seconds; whether that opened the breaker."""
        self._failures += 1
        self._lost_s += took_s
        if self.is_open or (self._failures < self._failures_max and self._lost_s < self._lost_s_max):
            return False
        self._probe_at_s = self._clock.monotonic() + self._probe_every_s
        return True
