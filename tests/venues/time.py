"""The venue's own time: started from a clock, then steady whatever the clock's wall time does."""

from __future__ import annotations

from tradewright.runtime.clock import Clock


class VenueTime:
    """Epoch milliseconds of the venue; ``offset_ms`` is by how much its clock is wrong."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._origin_ms = clock.now_ms()
        self._monotonic_s = clock.monotonic()
        self.offset_ms = 0

    def exact_ms(self) -> float:
        """Now, with fractions."""
        passed_ms = (self.clock.monotonic() - self._monotonic_s) * 1000
        return self._origin_ms + self.offset_ms + passed_ms

    def now_ms(self) -> int:
        """Now, as the venue writes it."""
        return int(self.exact_ms())

    async def sleep(self, delay_s: float) -> None:
        """Return after that time on the clock."""
        await self.clock.sleep(delay_s)

    async def sleep_until(self, time_ms: float) -> None:
        """Return when it is that late."""
        await self.clock.sleep(max(0.0, (time_ms - self.exact_ms()) / 1000))
