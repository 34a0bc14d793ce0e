"""Orders while our clock and the venue's are set again and again, by up to thirty seconds."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from tests.contract.ccxt_plugin.rig import CREATE, order_request, trader_on
from tests.venues.binance import BinanceVenue, generate_capture
from tradewright.domain.errors import PluginError
from tradewright.plugins.ccxt import CCXTPlugin
from tradewright.testing.clock import DrivenClock

WRONG_MS: Final = 30_000
AGAIN_S: Final = 6.0
"""So long after a measurement another one is made where the venue does not accept our time."""
CAPTURE: Final = generate_capture(4, 5)


class OwnClock(DrivenClock):
    """Ours: as the right one, but set by whoever likes to. Who waits moves the time on."""

    def __init__(self, right: DrivenClock) -> None:
        super().__init__()
        self.wrong_ms = 0
        self._right = right

    def now_ms(self) -> int:
        return self._right.now_ms() + self.wrong_ms

    def monotonic(self) -> float:
        return self._right.monotonic()

    async def sleep(self, delay_s: float) -> None:
        await self._right.advance(delay_s)


class QuietClock(DrivenClock):
    """The venue's: the right one, on which nobody wakes, so that its market stands still."""

    def __init__(self, right: DrivenClock) -> None:
        super().__init__()
        self._right = right

    def now_ms(self) -> int:
        return self._right.now_ms()

    def monotonic(self) -> float:
        return self._right.monotonic()


@dataclass
class WrongClocks:
    """What became of orders. ``refused`` are those that the venue refused for their time, and did not do."""

    seed: int
    placed: list[str] = field(default_factory=list)
    refused: int = 0
    ours_set: int = 0
    theirs_set: int = 0

    async def run(self, orders: int) -> None:
        """Place so many. ``AssertionError`` where the venue's books hold another order, or one twice; where
        one is refused though the venue's clock was not set since the last; or where the next is, too."""
        chance = random.Random(self.seed)
        right = DrivenClock()
        ours = OwnClock(right)
        async with (
            BinanceVenue(CAPTURE, lead_in_s=5, clock=QuietClock(right)) as venue,
            trader_on(venue, clock=ours) as trader,
        ):
            for number in range(orders):
                await right.advance(chance.choice((0.05, 1.0, 8.0, 310.0)))
                if chance.random() < 0.5:
                    ours.wrong_ms = chance.randrange(-WRONG_MS, WRONG_MS + 1)
                    self.ours_set += 1
                set_theirs = chance.random() < 0.1
                if set_theirs:
                    venue.faults.wrong_clock(chance.randrange(-WRONG_MS, WRONG_MS + 1))
                    self.theirs_set += 1
                if not await self._placed(trader, f"tw-{number}"):
                    assert set_theirs, "refused for its time, though the venue's clock was not set"
                    await right.advance(AGAIN_S)
                    assert await self._placed(trader, f"tw-{number}-again"), "refused once more"
            books = [order.client_id for order in venue.ledger.orders.values()]
            assert books == self.placed, "the venue has other orders than it confirmed"
            assert venue.trading.requests[CREATE] == len(self.placed) + self.refused

    async def _placed(self, trader: CCXTPlugin, client_order_id: str) -> bool:
        """Whether it was; False where it was refused for its time, which is final."""
        try:
            await trader.create_order(order_request(client_order_id, amount=Decimal("0.01")))
        except PluginError as error:
            if type(error) is not PluginError or "InvalidNonce" not in error.message:
                raise
            self.refused += 1
            return False
        self.placed.append(client_order_id)
        return True
