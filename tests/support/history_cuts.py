"""A venue that can't be reached for a while, again and again, and readers of what happened meanwhile."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from tests.support.venue_engine import VenueEngine, key_of, venue_engine
from tests.venues.generated import generate_minutes
from tests.venues.truth import Market
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, ONE_MINUTE

START_MS: Final = 1_704_067_200_000  # 2024-01-01, a Monday
LONGEST_S: Final = 1_800.0
CLOSED_S_MAX: Final = 60.0
PATIENCE_S: Final = 300.0


@dataclass
class HistoryCuts:
    """Gaps of one seed, and how long after the venue was back each was closed, in seconds of the clock."""

    seed: int
    closed_s: list[float] = field(default_factory=list)
    minutes: int = 0

    async def run(self, cuts: int) -> None:
        """Cut so often; ``AssertionError`` where a gap stays open or a bar is another one."""
        chance = random.Random(self.seed)
        days = 3 + round(cuts * (LONGEST_S + PATIENCE_S) * 1000 / DAY_MS)
        market = Market("BTC", "USDT", generate_minutes(self.seed, START_MS, days * 1_440, quiet=0.1))
        async with venue_engine([market], START_MS + DAY_MS) as engine:
            await engine.read("BTC", "1m", None, None, 500)
            for _ in range(cuts):
                await engine.clock.advance(chance.uniform(1, 120))
                await self._read_some(engine, chance)
                await self._cut(engine, chance)

    async def _read_some(self, engine: VenueEngine, chance: random.Random) -> None:
        await engine.read("BTC", chance.choice(("1m", "5m", "1h")), None, None, chance.choice((1, 50, 300)))

    async def _cut(self, engine: VenueEngine, chance: random.Random) -> None:
        start_ms = engine.clock.now_ms()
        how = chance.choice(("gone", "503", "slow to refuse"))
        if how == "503":
            engine.venue.maintenance()
        else:
            engine.venue.faults.refuse_connections()
        end_s = engine.clock.monotonic() + chance.uniform(60, LONGEST_S)
        while engine.clock.monotonic() < end_s:
            await engine.clock.advance(chance.uniform(30, 300))
            await self._read_some(engine, chance)
        await engine.venue.heal()
        gap = start_ms - HOUR_MS, engine.clock.now_ms() // MINUTE_MS * MINUTE_MS - MINUTE_MS
        self.minutes += max(0, gap[1] - start_ms) // MINUTE_MS
        began_s = engine.clock.monotonic()
        while not await self._whole(engine, *gap):
            open_s = engine.clock.monotonic() - began_s
            assert open_s < PATIENCE_S, f"seed {self.seed}: the gap {gap} ({how}) stays open"
            await engine.clock.advance(1)
        self.closed_s.append(engine.clock.monotonic() - began_s)

    async def _whole(self, engine: VenueEngine, start_ms: int, end_ms: int) -> bool:
        """Whether minutes and what is made of them are all there, and known for good."""
        for timeframe in ("1m", "5m"):
            answer = await engine.read("BTC", timeframe, start_ms, end_ms)
            if answer.problems or any(gap.reason == "not_fetched" for gap in answer.gaps):
                return False
        settled_ms = end_ms - MINUTE_MS
        coverage = await engine.store.coverage(key_of("BTC").series(ONE_MINUTE), start_ms, settled_ms)
        truth = engine.venue.markets["BTC/USDT"].minutes.between(start_ms, settled_ms)
        stored = await engine.store.read(key_of("BTC").series(ONE_MINUTE), start_ms, settled_ms)
        last = int(truth.time[-1]) + MINUTE_MS
        return coverage.complete.length_ms >= last - start_ms - MINUTE_MS and stored.equals(truth)
