"""Times in which a venue really has nothing, and readers who come again and again all day."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from tests.support.venue_engine import VenueEngine, venue_engine
from tests.venues.generated import generate_minutes
from tests.venues.truth import Market
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, TIMEFRAMES
from tradewright.services.data_orchestrator import BarsAnswer

START_MS: Final = 1_604_188_800_000  # 2020-11-01
FIRST_NOW_MS: Final = START_MS + 40 * DAY_MS + 5_000
DAYS: Final = 43
READERS: Final = 4
HOURS_MAX: Final = (1, 3, 12, 30, 80)
"""How long gaps are at most: some that a page reaches over, and some longer than one."""


@dataclass
class SilentVenue:
    """One gap, of one symbol or of all, and how often the venue was asked because of it on each day: for the
    symbol itself, for others that it is compared with, and for when the symbol was listed."""

    seed: int
    own: Counter[int] = field(default_factory=Counter)
    others: Counter[int] = field(default_factory=Counter)
    listing: int = 0
    reads: int = 0
    labels: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        hours = self.chance.choice(HOURS_MAX)
        minutes = self.chance.randrange(20 * 1_440, 34 * 1_440)
        self.start_ms = START_MS + minutes * MINUTE_MS
        self.end_ms = self.start_ms + self.chance.randrange(hours * 30, hours * 60 + 1) * MINUTE_MS
        self.everybody = self.chance.random() < 0.5

    async def run(self, days: int = 2) -> None:
        """Let readers come for so long; ``AssertionError`` where an answer is wrong."""
        hole = (self.start_ms, self.end_ms)
        others = [hole] if self.everybody else []
        traded = [
            Market(base, "USDT", generate_minutes(self.seed + number, START_MS, DAYS * 1_440, holes=holes))
            for number, (base, holes) in enumerate((("BTC", [hole]), ("ETH", others), ("XRP", others)))
        ]
        async with venue_engine(traded, FIRST_NOW_MS) as engine:
            await engine.read("BTC", "1m", self.start_ms - 500 * MINUTE_MS, self.start_ms)
            await engine.read("BTC", "1m", self.end_ms, self.end_ms + 500 * MINUTE_MS)
            engine.forget_calls()
            for day in range(days):
                await self._day(engine, day)

    async def _day(self, engine: VenueEngine, day: int) -> None:
        end_s = engine.clock.monotonic() + DAY_MS / 1000
        while engine.clock.monotonic() < end_s:
            for _ in range(READERS):
                self.reads += 1
                self._judge(await self._read(engine))
            self._count(engine, day)
            await engine.clock.advance(self.chance.choice((5, 61, 700, 3_600, 7_200)))

    async def _read(self, engine: VenueEngine) -> BarsAnswer:
        """What one reader asks: the gap alone, a part of it, or something around it."""
        match self.chance.randrange(3):
            case 0:
                start, end = self.start_ms, self.end_ms
            case 1:
                start = self.chance.randrange(self.start_ms, self.end_ms, MINUTE_MS)
                end = self.end_ms
            case _:
                start, end = self.start_ms - 3 * HOUR_MS, self.end_ms + 3 * HOUR_MS
        return await engine.read("BTC", self.chance.choice(("1m", "5m", "1h")), start, end)

    def _judge(self, answer: BarsAnswer) -> None:
        """No bar inside the gap; the reason is counted."""
        for row in answer.bars.rows():
            ended = row[0] + TIMEFRAMES[answer.key.timeframe].length_ms
            assert not (self.start_ms <= row[0] and ended <= self.end_ms), (
                f"seed {self.seed}: an invented bar"
            )
        self.labels.update(gap.reason for gap in answer.gaps)

    def _count(self, engine: VenueEngine, day: int) -> None:
        """All around the gap is stored, so that each call for candles is for its sake."""
        for call in engine.calls():
            if call["symbol"] != "BTCUSDT":
                self.others[day] += 1
            elif call["startTime"] == "0" or call["limit"] == "1":
                self.listing += 1
            else:
                self.own[day] += 1
        engine.forget_calls()
