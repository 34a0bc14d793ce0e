"""A venue that refuses for a while: too many requests, a ban, maintenance, and one symbol that is gone."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from tests.support.venue_engine import VenueEngine, key_of, venue_engine
from tests.venues.generated import generate_minutes
from tests.venues.truth import Market
from tradewright.domain.errors import TradewrightError
from tradewright.domain.timeframes import DAY_MS, MINUTE_MS

START_MS: Final = 1_704_067_200_000  # 2024-01-01
SYMBOLS: Final = ("BTC", "ETH", "XRP")
UNDER_WAY_MS: Final = 200
"""So much later a request comes that was sent before the first refusal was read."""
UNNAMED: Final = (
    (200, '{"code":-1003,"msg":"Too much request weight used."}'),
    (429, ""),
    (418, ""),
    (429, '{"code":-1003,"msg":"Too many requests."}'),
)
"""Refusals, with their status, that do not name a time; the first one in the venue's own words alone."""
RESUME_S_MAX: Final = 60.0
MAINTENANCE_S: Final = 1_800.0


@dataclass
class ClosedDoors:
    """What was met in the windows of one seed."""

    seed: int
    under_way: list[int] = field(default_factory=list)
    """How many requests of each window were under way at once when the first of them was refused."""
    later: dict[int, int] = field(default_factory=lambda: {429: 0, 418: 0})
    """How many came after that, while the venue wanted none."""
    windows: dict[int, int] = field(default_factory=lambda: {429: 0, 418: 0})
    unnamed_s: list[float] = field(default_factory=list)
    """Between two requests each in windows of which the venue does not tell the end."""
    unnamed: int = 0
    per_minute: list[float] = field(default_factory=list)
    resumed_s: list[float] = field(default_factory=list)

    async def run(
        self, windows: int, maintenances: int, maintenance_s: float = MAINTENANCE_S, unnamed: int = 0
    ) -> None:
        """Refuse so often, while readers come."""
        chance = random.Random(self.seed)
        traded = [
            Market(base, "USDT", generate_minutes(self.seed + number, START_MS, 40 * 1_440))
            for number, base in enumerate(SYMBOLS)
        ]
        async with venue_engine(traded, START_MS + 30 * DAY_MS) as engine:
            for base in SYMBOLS:
                await engine.read(base, "1m", None, None, 5)
            for _ in range(windows):
                await self._window(engine, chance)
            for _ in range(maintenances):
                await self._maintenance(engine, chance, maintenance_s)
            for number in range(unnamed):
                await self._unnamed_window(engine, chance, *UNNAMED[number % len(UNNAMED)])

    async def _ask(self, engine: VenueEngine, chance: random.Random) -> None:
        """Three readers at once of what is not stored, and of now."""

        async def one() -> None:
            start = START_MS + chance.randrange(20 * 1_440) * MINUTE_MS
            try:
                await engine.read(chance.choice(SYMBOLS), "1m", start, start + 30 * MINUTE_MS)
                await engine.read(chance.choice(SYMBOLS), "1m", None, None, 5)
            except TradewrightError:
                return

        asking = asyncio.gather(one(), one(), one())
        # On a busy machine a request is under way for long, and the clock must not run past it.
        await asyncio.wait({asking}, timeout=0.5)
        while not asking.done():  # for a time that is the venue's
            await engine.clock.advance(0.5)
            await asyncio.wait({asking}, timeout=0.002)

    async def _ask_beside(self, engine: VenueEngine, chance: random.Random) -> None:
        """What else readers want of a venue: its symbols, and how a market stands now."""
        key = key_of(chance.choice(SYMBOLS))
        with suppress(TradewrightError):
            await engine.markets.listing(key.market, key.provider)
            await engine.markets.ticker(key)

    async def _window(self, engine: VenueEngine, chance: random.Random) -> None:
        status, length_s = chance.choice((429, 418)), chance.randrange(2, 120)
        rule = engine.venue.faults.too_many(length_s, status=status, as_date=chance.random() < 0.3)
        end_s = engine.clock.monotonic() + length_s - 0.5
        while engine.clock.monotonic() < end_s:
            await self._ask(engine, chance)
            await engine.clock.advance(min(length_s / 8, end_s - engine.clock.monotonic() + 0.01))
        first_ms = rule.came_ms[0]
        self.windows[status] += 1
        later = sum(at_ms > first_ms + UNDER_WAY_MS for at_ms in rule.came_ms)
        self.later[status] += later
        self.under_way.append(rule.used - later)
        await engine.clock.advance(3)
        await engine.venue.heal()
        await self._resume(engine)

    async def _unnamed_window(
        self, engine: VenueEngine, chance: random.Random, status: int, words: str
    ) -> None:
        length_s = chance.randrange(20, 120)
        rule = engine.venue.faults.too_many(length_s, status=status, body=words, tells=False)
        end_s = engine.clock.monotonic() + length_s - 0.5
        while engine.clock.monotonic() < end_s:
            await self._ask(engine, chance)
            await engine.clock.advance(chance.uniform(0.5, 3))
        later_ms = [rule.came_ms[0], *(at for at in rule.came_ms if at > rule.came_ms[0] + UNDER_WAY_MS)]
        self.unnamed += 1
        self.unnamed_s += [(b - a) / 1000 for a, b in pairwise(later_ms)]
        await engine.clock.advance(3)
        await engine.venue.heal()
        await self._resume(engine)

    async def _resume(self, engine: VenueEngine) -> None:
        """How long until now is told again."""
        began_s = engine.clock.monotonic()
        while (await engine.read("BTC", "1m", None, None, 5)).problems:
            assert engine.clock.monotonic() - began_s < 5 * RESUME_S_MAX, f"seed {self.seed}: it stays closed"
            await engine.clock.advance(1)
        self.resumed_s.append(engine.clock.monotonic() - began_s)

    async def _maintenance(self, engine: VenueEngine, chance: random.Random, length_s: float) -> None:
        rule = engine.venue.maintenance()
        began_s = engine.clock.monotonic()
        while engine.clock.monotonic() - began_s < length_s:
            await self._ask(engine, chance)
            await self._ask_beside(engine, chance)
            await engine.clock.advance(chance.uniform(1, 10))
        self.per_minute.append(rule.used / length_s * 60)
        await engine.venue.heal()
        await self._resume(engine)
