"""The venue's own time: started from a clock, then steady whatever the clock's wall time does."""

from __future__ import annotations

from tradewright.runtime.clock import Clock


class VenueTime:
    """Epoch milliseconds of the venue."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._origin_ms = clock.now_ms()
        self._monotonic_s = clock.monotonic()

    def exact_ms(self) -> float:
        """Now, with fractions."""
        return self._origin_ms + (self._clock.monotonic() - self._monotonic_s) * 1000

    def now_ms(self) -> int:
        """Now, as the venue writes it."""
        return int(self.exact_ms())

    async def sleep(self, delay_s: float) -> None:
        """Return after that time on the clock."""
        await self._clock.sleep(delay_s)

    async def sleep_until(self, time_ms: float) -> None:
        """Return when it is that late."""
        await self._clock.sleep(max(0.0, (time_ms - self.exact_ms()) / 1000))
