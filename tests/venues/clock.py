"""A driven clock on which short waits pass by themselves."""

from __future__ import annotations

from typing import Final

from tradewright.testing.clock import DrivenClock

_SHORT_S: Final = 2.0


class HastyClock(DrivenClock):
    """As `DrivenClock`, but who sleeps for at most `short_s` moves the time on by that and goes on.

    So a rate limit or a pause between two attempts costs venue time and no real time, and thousands of
    requests need nobody who advances the clock. Longer sleeps wait for `advance`.
    """

    short_s = _SHORT_S

    async def sleep(self, delay_s: float) -> None:
        if 0 < delay_s <= self.short_s:
            await self.advance(delay_s)
        else:
            await super().sleep(delay_s)

    @staticmethod
    async def settle(rounds: int = 2) -> None:
        """Let the tasks that were woken take a step."""
        await DrivenClock.settle(rounds)
