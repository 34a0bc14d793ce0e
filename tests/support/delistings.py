"""Symbols that a venue takes from its list and puts there again, beside others that stay."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from tests.support.venue_engine import VenueEngine, key_of, same_bars, venue_engine
from tests.venues.generated import generate_minutes
from tests.venues.impatient import ImpatientPlugin
from tests.venues.truth import Market
from tradewright.domain.bars import Bars
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, ONE_MINUTE, TIMEFRAMES
from tradewright.services.data_orchestrator import BarsAnswer

START_MS: Final = 1_704_067_200_000  # 2024-01-01
BASES: Final = ("BTC", "ETH", "SOL", "XRP", "LTC")
DAYS: Final = 20
BACK_S_MAX: Final = 5_700.0
"""How long after it is listed again a symbol may lack something: until the list is an hour old, and then
until somebody asks."""
SETTLED_MS: Final = ImpatientPlugin.settling_ms + MINUTE_MS


@dataclass
class Delistings:
    """``whole`` answers were of symbols that were listed, and had everything; ``told`` of ones that were
    gone, had all that is stored, and said so. ``back_s`` is how long after it was listed again each of them
    was whole again."""

    seed: int
    whole: int = 0
    told: int = 0
    gone: int = 0
    back_s: list[float] = field(default_factory=list)

    async def run(self, steps: int) -> None:
        """Let time pass and read all symbols at once; ``AssertionError`` where a listed one lacks anything,
        or where any answer has another bar than there is, or less than is stored."""
        chance = random.Random(self.seed)
        markets = {
            base: Market(
                base, "USDT", generate_minutes(self.seed * 10 + number, START_MS, DAYS * 1_440, quiet=0.1)
            )
            for number, base in enumerate(BASES)
        }
        back_since_s: dict[str, float] = {}
        async with venue_engine(list(markets.values()), START_MS + DAY_MS) as engine:
            for _ in range(steps):
                await engine.clock.advance(chance.choice((7, 61, 61, 600, 2_000)))
                if chance.random() < 0.2:
                    self._change(engine, chance.choice(BASES), markets, back_since_s)
                timeframe = chance.choice(("1m", "5m", "1h"))
                end_ms = engine.clock.now_ms()
                start_ms = TIMEFRAMES[timeframe].floor(end_ms - chance.randrange(2, 9) * HOUR_MS)
                answers = await asyncio.gather(
                    *(_read(engine, base, timeframe, start_ms, end_ms) for base in BASES)
                )
                for base, answer in zip(BASES, answers, strict=True):
                    reading = Reading(base, start_ms, end_ms, answer)
                    await self._judge(engine, reading, markets[base], back_since_s)

    def _change(
        self, engine: VenueEngine, base: str, markets: dict[str, Market], back_since_s: dict[str, float]
    ) -> None:
        symbol = f"{base}/USDT"
        if engine.venue.markets.pop(symbol, None) is not None:
            self.gone += 1
            back_since_s.pop(base, None)
        else:
            engine.venue.markets[symbol] = markets[base]
            back_since_s[base] = engine.clock.monotonic()

    async def _judge(
        self, engine: VenueEngine, reading: Reading, market: Market, back_since_s: dict[str, float]
    ) -> None:
        base, answer = reading.base, reading.answer
        truth = reading.ended(resample(market.minutes, TIMEFRAMES[answer.key.timeframe]))
        found = reading.ended(answer.bars)
        missing = IntervalSet.of((gap.start, gap.end) for gap in answer.gaps if gap.reason == "not_fetched")
        missing = missing.clip(reading.start_ms, reading.end_ms - SETTLED_MS)
        assert same_bars(found, truth.take(np.isin(truth.time, found.time))), f"{base}: an invented bar"
        if not missing and not answer.problems:
            assert len(found) == len(truth), f"{base} is not whole"
            self.whole += 1
            if base in back_since_s:
                self.back_s.append(engine.clock.monotonic() - back_since_s.pop(base))
            return
        stays = f"{base}/USDT" in engine.venue.markets and base not in back_since_s
        assert not stays, f"{base} suffers: {answer.problems} {missing}"
        assert {problem.code for problem in answer.problems} == {"unknown_symbol"}
        minutes = await engine.store.coverage(
            key_of(base).series(ONE_MINUTE), reading.start_ms, reading.end_ms - SETTLED_MS
        )
        if answer.key.timeframe == "1m":
            assert not missing.intersect(minutes.known), f"{base}: what is stored is not told"
        self.told += 1


class Reading(NamedTuple):
    """What was asked, and the answer."""

    base: str
    start_ms: int
    end_ms: int
    answer: BarsAnswer

    def ended(self, bars: Bars) -> Bars:
        """Those of the bars that were asked for and can't change any more."""
        length_ms = TIMEFRAMES[self.answer.key.timeframe].length_ms
        return bars.between(self.start_ms, self.end_ms - SETTLED_MS - length_ms + 1)


async def _read(engine: VenueEngine, base: str, timeframe: str, start_ms: int, end_ms: int) -> BarsAnswer:
    series = key_of(base).series(TIMEFRAMES[timeframe])
    return await engine.orchestrator.get_bars(series, start_ms=start_ms, end_ms=end_ms, limit=1_000)
