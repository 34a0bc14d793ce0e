"""A random walk through the life of the data engine, in which every answer is compared with the truth.

Requests of all kinds, faults of the venue, holes, outages, time that passes, restarts and forgotten caches
come in a random order, the same one for a seed. The venue is an emulated Binance behind real CCXT code;
the store is whichever the caller opened.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tests.support.loaders import loader_of
from tests.venues.candle_venue import CandleVenue
from tests.venues.clock import HastyClock
from tests.venues.generated import generate_minutes
from tests.venues.impatient import ImpatientPlugin
from tests.venues.truth import Market
from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, ONE_MINUTE, TIMEFRAMES, Timeframe
from tradewright.services.cache_manager import CacheManager
from tradewright.services.data_orchestrator import LOOK_BACK_FACTOR, BarsAnswer, DataOrchestrator
from tradewright.services.market_service import MarketService
from tradewright.storage.memory_cache import MemoryCache
from tradewright.testing.store_material import Stores

START_MS: Final = 1_704_067_200_000  # 2024-01-01, a Monday
DAYS: Final = 40
FIRST_NOW_MS: Final = START_MS + 20 * DAY_MS + 7 * HOUR_MS + 11 * MINUTE_MS + 5_000
BTC: Final = InstrumentKey("crypto", "binance", "BTC/USDT")
SETTLING_MS: Final = ImpatientPlugin.settling_ms
QUIET_PAGE: Final = 1_000 + 250
"""A stretch that a page and its lead can't bridge, in minutes."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a reader asks."""

    timeframe: Timeframe
    start_ms: int | None
    end_ms: int | None
    limit: int


@dataclass
class Walk:
    """One walk over one store. ``counts`` tells what happened."""

    seed: int
    stores: Stores
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.outage = self._stretch(2_000, 3_000)
        alone = self._stretch(2_000, 3_000)
        short = [self._stretch(1, 400) for _ in range(12)]
        self.btc = self._market("BTC", 1, [self.outage, alone, *short])
        others = [self._market(base, number, [self.outage]) for number, base in enumerate(("ETH", "XRP"), 2)]
        self.clock = HastyClock(FIRST_NOW_MS)
        self.venue = CandleVenue([self.btc, *others], clock=self.clock)
        self.cache = MemoryCache(self.clock)
        self.disturbed = False

    def _stretch(self, shortest: int, longest: int) -> tuple[int, int]:
        start = START_MS + self.chance.randrange(1_440, 18 * 1_440) * MINUTE_MS
        return start, start + self.chance.randrange(shortest, longest) * MINUTE_MS

    def _market(self, base: str, number: int, holes: Sequence[tuple[int, int]]) -> Market:
        minutes = generate_minutes(
            self.seed * 10 + number, START_MS, DAYS * 1_440, quiet=0.05 * number, holes=holes
        )
        return Market(base, "USDT", minutes)

    async def run(self, steps: int) -> None:
        """Walk that many steps; ``AssertionError`` names the seed and the step at which an answer was
        wrong."""
        async with self.venue:
            self._begin()
            try:
                await self.markets.listing(BTC.market, BTC.provider)
                for step in range(steps):
                    try:
                        await self._step()
                    except AssertionError as wrong:
                        wrong.add_note(f"seed {self.seed}, step {step}")
                        raise
            finally:
                await self._end()

    # What happens

    def _begin(self) -> None:
        self.markets = MarketService(
            loader_of(ImpatientPlugin),
            self.stores.instruments,
            self.clock,
            provider_options={"binance": self.venue.provider_options()},
        )
        cache = CacheManager(self.cache, self.clock)
        self.orchestrator = DataOrchestrator(self.markets, self.stores.bars, self.clock, cache)

    async def _end(self) -> None:
        await self.orchestrator.close()
        await self.markets.close()

    async def _step(self) -> None:
        happening = self.chance.choices(
            (
                self._ask,
                self._ask_at_once,
                self._wait,
                self._disturb,
                self._heal,
                self._restart,
                self._forget,
            ),
            (70, 5, 10, 4, 6, 3, 2),
        )[0]
        self.counts[happening.__name__.strip("_")] += 1
        await happening()

    async def _wait(self) -> None:
        await self.clock.advance(self.chance.choice((1, 20, 61, 601, 3_600, 6 * 3_600)))

    async def _disturb(self) -> None:
        self.disturbed = True
        match self.chance.randrange(5):
            case 0:
                self.venue.faults.random(self.chance.randrange(2**31), 0.3, path="/api/v3/klines")
            case 1:
                self.venue.candle_faults.random(self.chance.randrange(2**31), 0.5)
            case 2:
                self.venue.maintenance(until_ms=self.clock.now_ms() + 3 * MINUTE_MS)
            case 3:
                self.venue.faults.refuse_connections()
            case 4:
                self.venue.faults.too_many(self.chance.choice((2, 30)))

    async def _heal(self) -> None:
        await self.venue.heal()
        await self.clock.advance(40)  # the provider is left alone for a while after a failure
        self.disturbed = False

    async def _restart(self) -> None:
        await self._end()
        self._begin()

    async def _forget(self) -> None:
        self.cache = MemoryCache(self.clock)
        await self._restart()

    async def _ask(self, readers: int = 1) -> None:
        coverage = await self.stores.bars.coverage(BTC.series(ONE_MINUTE), START_MS, self.clock.now_ms())
        self.venue.log.clear()
        await asyncio.gather(*(self._read(self._question()) for _ in range(readers)))
        self._check_nothing_was_asked_twice(coverage.known)

    async def _ask_at_once(self) -> None:
        await self._ask(readers=3)

    async def _read(self, question: Question) -> None:
        before_ms = self.clock.now_ms()
        answer = await self.orchestrator.get_bars(
            BTC.series(question.timeframe),
            start_ms=question.start_ms,
            end_ms=question.end_ms,
            limit=question.limit,
        )
        self.counts["bars"] += len(answer.bars)
        try:
            self._check(question, answer, before_ms)
            if not self.disturbed:
                await self._check_reasons(answer)
        except AssertionError as wrong:
            wrong.add_note(f"{question} at {before_ms}: {answer}")
            raise

    def _question(self) -> Question:
        timeframe = TIMEFRAMES[
            self.chance.choice(("1m", "1m", "1m", "3m", "5m", "30m", "1h", "4h", "1d", "1w"))
        ]
        now_ms, limit = self.clock.now_ms(), self.chance.choice((1, 5, 50, 300))
        somewhere = self.chance.randrange(START_MS - DAY_MS, now_ms + HOUR_MS)
        match self.chance.randrange(4):
            case 0:
                return Question(timeframe, None, None, limit)
            case 1:
                return Question(timeframe, None, somewhere, limit)
            case 2:
                return Question(timeframe, somewhere, None, limit)
        end = somewhere + self.chance.randrange(0, 3 * limit + 1) * timeframe.length_ms
        return Question(timeframe, somewhere, end, limit)

    # What must hold

    def _check_nothing_was_asked_twice(self, covered: IntervalSet) -> None:
        for request in self.venue.requests("klines"):
            asked = request.arguments
            if asked["symbol"] != "BTCUSDT" or asked["interval"] != "1m" or asked["limit"] == "1":
                continue
            start = int(asked["startTime"])
            pages = IntervalSet.single(start, start + int(asked["limit"]) * MINUTE_MS)
            again = pages.intersect(covered)
            assert not again, f"asked again for what is covered: {again.items}"
            self.counts["pages"] += 1

    def _check(self, question: Question, answer: BarsAnswer, before_ms: int) -> None:
        timeframe, bars = question.timeframe, answer.bars
        truth = resample(self.btc.minutes, timeframe)
        settled_ms = before_ms - SETTLING_MS - MINUTE_MS
        ends = np.array([timeframe.end(time) for time in bars.time.tolist()], dtype=np.int64)
        assert set(bars.time.tolist()) <= set(truth.time.tolist()), "a bar was invented"
        final = bars.take(ends <= settled_ms)
        _assert_equal(final, truth.take(np.isin(truth.time, final.time)))
        assert len(bars) <= question.limit, "more bars than asked for"
        self._check_gaps(timeframe, truth, answer)
        unknown = [gap for gap in answer.gaps if gap.reason == "not_fetched"]
        self.counts["answers"] += 1
        self.counts["answers with something missing"] += bool(unknown)
        if not unknown:
            self._check_whole(question, truth, bars, settled_ms)

    async def _check_reasons(self, answer: BarsAnswer) -> None:
        """A healthy venue leaves out nothing but where it had nothing to say."""
        problems = [problem for problem in answer.problems if problem.code != "provider_timeout"]
        assert not problems, f"a healthy venue, and yet {problems}"
        for gap in answer.gaps:
            if gap.reason == "not_fetched":
                known = await self.stores.bars.coverage(BTC.series(ONE_MINUTE), gap.start, gap.end)
                unknown = IntervalSet.single(gap.start, gap.end).subtract(known.known)
                silent = not any(len(self.btc.minutes.between(*each)) for each in unknown)
                assert silent or self._silent_for_a_page(gap.start, gap.end), f"{gap} without a reason"

    def _check_gaps(self, timeframe: Timeframe, truth: Bars, answer: BarsAnswer) -> None:
        for gap in answer.gaps:
            if gap.reason != "not_fetched":
                inside = truth.between(gap.start, gap.end)
                assert not len(inside), f"{gap} holds bars that there are: {inside.time.tolist()[:3]}"
            if gap.reason == "outage":
                low, high = self.outage
                assert timeframe.floor(low) <= gap.start < gap.end <= timeframe.ceil(high), f"{gap} was none"
            self.counts[gap.reason] += 1
        starts = [gap.start for gap in answer.gaps]
        assert starts == sorted(starts), "gaps out of order"
        for before, after in zip(answer.gaps, answer.gaps[1:], strict=False):
            assert before.end <= after.start, "gaps overlap"

    def _check_whole(self, question: Question, truth: Bars, bars: Bars, settled_ms: int) -> None:
        """Where nothing is said to be missing, nothing is."""
        timeframe, limit = question.timeframe, question.limit
        end = question.end_ms if question.end_ms is not None else settled_ms
        settled = truth.between(0, timeframe.floor(settled_ms))
        if question.start_ms is not None:
            expected = settled.between(question.start_ms, end)[:limit]
            found = bars.between(0, int(expected.time[-1]) + 1) if len(expected) else bars[:0]
            _assert_equal(found, expected)
            return
        if question.end_ms is None or timeframe.ceil(end) > timeframe.floor(settled_ms):
            return  # what is newest changes while it is read: the bars themselves were compared
        lookback = timeframe.shift(timeframe.ceil(end), -limit * LOOK_BACK_FACTOR)
        expected = settled.between(lookback, end)
        _assert_equal(bars, expected[max(0, len(expected) - limit) :])

    def _silent_for_a_page(self, start: int, end: int) -> bool:
        """Whether the stretch touches one so long that the venue's answer about it was empty."""
        reach = QUIET_PAGE * MINUTE_MS
        times = self.btc.minutes.time
        near = times[(times >= start - reach) & (times < end + reach)]
        edges = np.concatenate(([start - reach], near, [end + reach]))
        return bool((np.diff(edges) > 100 * MINUTE_MS).any())


def _difference(found: Bars, expected: Bars) -> str:
    if len(found) == len(expected):
        return "as many"
    mine, theirs = set(found.time.tolist()), set(expected.time.tolist())
    return f"{len(mine - theirs)} too many, {len(theirs - mine)} missing, first {min(mine ^ theirs)}"


def _assert_equal(found: Bars, expected: Bars) -> None:
    """Times and prices to the bit, volume within what summing in another order may cost."""
    assert found.time.tolist() == expected.time.tolist(), (
        f"other bars than there are: {_difference(found, expected)}"
    )
    for name in ("open", "high", "low", "close"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), f"another {name}"
    wrong = ~np.isclose(found.volume, expected.volume, rtol=1e-12, atol=0)
    assert not wrong.any(), f"another volume at {found.time[wrong].tolist()}"
