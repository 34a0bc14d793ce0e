"""The walk itself: one thing after another, by chance."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from pathlib import Path
from typing import Final

from tests.support.engine_walk.caches import CacheHome
from tests.support.engine_walk.changes import Changes
from tests.support.engine_walk.engine import Engine
from tests.support.engine_walk.equality import check_bars, check_same_times
from tests.support.engine_walk.homes import Home
from tests.support.engine_walk.jobs import Jobs
from tests.support.engine_walk.readers import Readers
from tests.support.engine_walk.watch import Watch
from tests.support.engine_walk.world import BinanceWorld, World
from tradewright.domain.errors import StorageUnavailable
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.timeframes import MINUTE_MS, TIMEFRAMES

AT_ONCE: Final = 4
WEIGHTS: Final = {
    "ask": 50,
    "ask_at_once": 8,
    "wait": 9,
    "disturb": 4,
    "heal": 6,
    "restart": 2,
    "trouble_cache": 4,
    "reopen": 2,
    "kill": 3,
    "backfill": 5,
    "bring_in": 3,
    "correct": 3,
    "audit": 1,
}


class Walk:
    """One walk over one home. ``counts`` tells what happened and what was compared."""

    def __init__(
        self, seed: int, home: Home, cache: CacheHome, folder: Path, world: type[World] = BinanceWorld
    ) -> None:
        self.seed = seed
        self.counts: Counter[str] = Counter()
        self._home = home
        self._cache = cache
        self.world = world(seed)
        self._chance = self.world.chance
        self._watch = Watch(self.world, self.counts)
        self._readers = Readers(self.world, self._watch, self.counts, self._chance)
        self._jobs = Jobs(self.world, self._watch, self.counts)
        self._changes = Changes(self.world, self._watch, self._readers, self.counts, folder)
        self._kills = itertools.cycle(("process", "store"))
        ways = self.world.disturbances
        self._faults = itertools.cycle(self._chance.sample(range(ways), ways))
        self._troubles = itertools.cycle(cache.troubles)
        self._cancels = itertools.cycle((True, False, False))
        self._happening, self._number = "begin", 0
        self._disturbed = self._life_disturbed = False

    async def run(self, steps: int) -> None:
        """Walk that many steps; ``AssertionError`` names the seed and the step at which something was
        wrong."""
        async with self.world.venue:
            await self._begin()
            await self._engine.list_markets()
            try:
                for happening in self._plan(steps):
                    self._happening, self._number = happening, self._number + 1
                    self.counts[happening] += 1
                    await getattr(self, f"_{happening}")()
                await self._arrive()
            except AssertionError as wrong:
                wrong.add_note(f"seed {self.seed}, step {self._number}, {self._happening}")
                wrong.add_note("\n".join(self._watch.trail))
                raise
            finally:
                await self._engine.close()
                await self._home.close()

    def _plan(self, steps: int) -> list[str]:
        """About that many happenings, each as often as it weighs and twice at least, in any order."""
        total = sum(WEIGHTS.values())
        often = {name: max(2, round(steps * weight / total)) for name, weight in WEIGHTS.items()}
        plan = [name for name, times in often.items() for _ in range(times)]
        self._chance.shuffle(plan)
        return plan

    async def _arrive(self) -> None:
        """In the end everything is well, and everything is there."""
        self._happening = "arrive"
        await self._heal()
        await self._jobs.finish(self._engine)
        await self._reopen()

    # Processes

    async def _begin(self) -> None:
        self._house = await self._home.open()
        self._watch.known = await self._audit()
        self._engine = Engine(self._watch, self._house, self._cache, self._jobs.open)
        self._life_disturbed = self._disturbed

    async def _end(self) -> None:
        await self._engine.close()
        self._watch.cut_off()
        self._watch.new_life(calm=not self._life_disturbed, readers=AT_ONCE)

    async def _restart(self) -> None:
        await self._end()
        self._engine = Engine(self._watch, self._house, self._cache, self._jobs.open)
        self._life_disturbed = self._disturbed

    async def _reopen(self) -> None:
        await self._end()
        await self._home.close()
        await self._begin()

    async def _kill(self) -> None:
        """End the process, or its store, in the middle of reads and a backfill, and begin anew."""
        engine = self._engine
        job_id = await self._jobs.submit(engine)
        self._jobs.killed.update(self._jobs.open)
        reads = [
            asyncio.create_task(self._readers.read_or_fail(engine, question), name="read that is cut off")
            for question in self._readers.rivals(2)
        ]
        target = engine.line.writes + self._chance.randrange(1, 8)
        self._watch.cut_off()
        if next(self._kills) == "process":
            engine.line.breaks_at_write = target
            await self._jobs.until_written(engine, target, None)
            await engine.kill()
            self.counts["processes killed"] += 1
        else:
            await self._jobs.until_written(engine, target, job_id)
            await self._home.kill(engine.line.cut)
            await engine.kill()
            self.counts["stores killed"] += 1
        for outcome in await asyncio.gather(*reads, return_exceptions=True):
            if isinstance(outcome, StorageUnavailable | asyncio.CancelledError):
                self.counts["reads cut off"] += 1
            elif outcome is not None:
                raise outcome
        self._watch.cut_off()
        self._watch.new_life(calm=False, readers=AT_ONCE)
        self._watch.take_step()
        await self._home.close()
        await self._begin()
        await self._engine.pass_time(160)  # the lease ends, and the job is taken up again

    # What may be wrong

    async def _disturb(self) -> None:
        self._disturbed = self._life_disturbed = True
        self.world.disturb(next(self._faults))

    async def _heal(self) -> None:
        await self.world.venue.heal()
        await self._watch.calls.ended()  # which may still fail
        await self._engine.pass_time(70)  # the provider is left alone for a while after a failure
        await self._watch.calls.ended()
        await self._engine.pass_time(10)
        await self._readers.knock(self._engine)
        self._disturbed = False
        await self._readers.settle(self._engine)

    async def _trouble_cache(self) -> None:
        what = next(self._troubles)
        await self._cache.trouble(what)
        self.counts[f"cache: {what}"] += 1

    # What goes on

    async def _wait(self) -> None:
        wait_s = self._chance.choice((1, 20, 61, 601, 3_600, 6 * 3_600))
        # A job that waits for a venue that is down makes a long time a long walk.
        await self._engine.pass_time(min(wait_s, 601) if self._engine.busy else wait_s)
        self._watch.take_step()

    async def _ask(self) -> None:
        await self._readers.ask(self._engine, [self._readers.question()], calm=not self._disturbed)

    async def _ask_at_once(self) -> None:
        readers = self._chance.randrange(2, AT_ONCE + 1)
        questions = self._readers.rivals(readers)
        await self._readers.ask(self._engine, questions, calm=not self._disturbed)

    async def _backfill(self) -> None:
        if next(self._cancels):
            await self._jobs.cancel(self._engine)
        elif len(self._jobs.open) < 5:
            await self._jobs.submit(self._engine)
        if not self._disturbed and self._chance.random() < 0.6:
            await self._jobs.finish(self._engine)
        self._watch.take_step()

    async def _bring_in(self) -> None:
        await self._changes.bring_in(self._engine, calm=not self._disturbed)

    async def _correct(self) -> None:
        await self._changes.correct(self._engine, calm=not self._disturbed)

    async def _audit(self) -> dict[SeriesKey, IntervalSet]:
        """All that the store holds is true, and it holds all that it says to know, and knows all that it
        said to have kept; what it knows."""
        kept, found = dict(self._watch.known), dict[SeriesKey, IntervalSet]()
        now_ms = self.world.clock.now_ms()
        for instrument in (self.world.main, self.world.second):
            for key in await self._house.bars.series(instrument):
                timeframe = TIMEFRAMES[key.timeframe]
                bars, coverage = await self._house.bars.read_with_coverage(key, 0, now_ms + MINUTE_MS)
                truths = self.world.truths(instrument, timeframe)
                check_bars(bars, truths)
                check_same_times(bars.inside(coverage.complete), truths[0].inside(coverage.complete))
                assert not len(truths[0].inside(coverage.outage)), "an outage with bars in it"
                found[key] = coverage.known
                self.counts["bars audited"] += len(bars)
        self._watch.check_kept(kept, found)
        return found
