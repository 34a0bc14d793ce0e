"""Bars that a venue calls closed before they are, and clocks that are wrong: what is published and stored."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

import numpy as np

from tests.support.venue_engine import VenueEngine, key_of, same_bars, venue_engine
from tests.unit.services.streaming_rig import Rig, stream
from tests.unit.services.streaming_viewer import Viewer
from tests.venues.generated import generate_minutes
from tests.venues.truth import Market
from tradewright.domain.timeframes import DAY_MS, MINUTE_MS, ONE_MINUTE
from tradewright.plugins.base import BarUpdate
from tradewright.testing.clock import DrivenClock

START_MS: Final = 1_704_067_200_000  # 2024-01-01, a Monday
CLOCK_WRONG_MS: Final = 30_000


class WrongClock(DrivenClock):
    """As another clock, but off by so much."""

    def __init__(self, right: DrivenClock, wrong_ms: int) -> None:
        super().__init__()
        self._right, self._wrong_ms = right, wrong_ms

    def now_ms(self) -> int:
        return self._right.now_ms() + self._wrong_ms

    def monotonic(self) -> float:
        return self._right.monotonic()

    async def sleep(self, delay_s: float) -> None:
        await self._right.sleep(delay_s)


@dataclass
class EarlyStream:
    """A stream that calls the minute at work closed at any moment of it, on a clock that may be wrong."""

    seed: int
    cases: int = 0
    too_early: int = 0

    async def run(self, cases: int) -> None:
        """Send so many bars too early; ``AssertionError`` where a viewer ends with another series."""
        chance = random.Random(self.seed)
        wrong_ms = chance.randrange(-CLOCK_WRONG_MS, CLOCK_WRONG_MS + 1)
        async with Rig(flags=True) as rig:
            rig.venue.clock = WrongClock(rig.clock, wrong_ms)
            rig.venue.trade(100)
            viewer = await rig.view(stream())
            for _ in range(cases):
                await rig.clock.advance(chance.uniform(1, 25))
                rig.venue.trade(round(chance.uniform(90, 110), 2), round(chance.uniform(0.1, 3), 3))
                known = len(viewer.finals)
                minute = rig.venue.minutes()[-1:]
                rig.venue.send("ohlcv", BarUpdate(minute, True))
                self.cases += 1
                await rig.clock.advance(0.3)
                self.too_early += self._final_too_early(rig, viewer, known)
            await rig.clock.advance(150)
            settled = rig.venue.clock.now_ms() - 2 * MINUTE_MS
            expected = [row for row in rig.venue.bars("1m") if row[0] < settled]
            shown = [row for row in viewer.series() if row[0] < settled]
            assert shown == expected, f"seed {self.seed}: other bars than there are"

    def _final_too_early(self, rig: Rig, viewer: Viewer, known: int) -> int:
        """How many finals came more than the tolerance of two seconds before their minute's end."""
        return sum(time + MINUTE_MS - 2_000 > rig.venue.clock.now_ms() for time in viewer.finals[known:])


@dataclass
class EarlyPages:
    """Pages that hold the minute at work as if it were closed, from a venue whose clock and ours differ."""

    seed: int
    cases: int = 0
    too_early: int = 0
    kept: int = 0

    async def run(self, cases: int) -> None:
        """Read so often, at any moment of a minute."""
        chance = random.Random(self.seed)
        market = Market("BTC", "USDT", generate_minutes(self.seed, START_MS, 4 * 1_440, quiet=0.1))
        async with venue_engine([market], START_MS + DAY_MS) as engine:
            engine.venue.candle_faults.do("unclosed_as_closed")
            wrong_ms = chance.randrange(-CLOCK_WRONG_MS, CLOCK_WRONG_MS + 1)
            if chance.random() < 0.5:
                engine.venue.faults.wrong_clock(wrong_ms)
            else:
                engine.clock.jump_wall(wrong_ms)
            for _ in range(cases):
                await engine.clock.advance(chance.uniform(1, 45))
                await self._read(engine, chance)
                self.cases += 1

    async def _read(self, engine: VenueEngine, chance: random.Random) -> None:
        """Whatever is kept had ended at the venue, and is what it ended as; whatever is answered as if it
        had ended, too."""
        answer = await engine.orchestrator.get_bars(
            key_of("BTC").series(ONE_MINUTE), end_ms=None, limit=chance.choice((1, 5, 60))
        )
        now_ms = engine.venue.now_ms()
        closed = answer.bars[: len(answer.bars) - answer.forming]
        stored = await engine.store.read(key_of("BTC").series(ONE_MINUTE), now_ms - DAY_MS, now_ms + DAY_MS)
        truth = engine.venue.markets["BTC/USDT"].minutes
        for bars in (closed, stored):
            ended = not len(bars) or int(bars.time[-1]) + MINUTE_MS <= now_ms
            true = truth.take(np.isin(truth.time, bars.time))
            self.too_early += not (ended and same_bars(bars, true))
        self.kept += len(stored)
