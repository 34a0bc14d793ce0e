"""One process: the services of the product over the stores, the cache and the venue of a walk."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final

from tests.support.engine_walk.caches import CacheHome
from tests.support.engine_walk.homes import House
from tests.support.engine_walk.watch import Watch
from tests.support.engine_walk.watched import Line, LinedJobs, WatchedBars, watched_plugin
from tests.support.loaders import loader_of
from tradewright.domain.backfills import BackfillJob
from tradewright.domain.errors import TimeoutPluginError
from tradewright.runtime.metrics import CacheMetrics
from tradewright.services.backfill.settings import BackfillSettings
from tradewright.services.backfill_manager import BackfillManager
from tradewright.services.cache_manager import CacheManager
from tradewright.services.data_orchestrator import DataOrchestrator
from tradewright.services.market_service import MarketService

SETTINGS: Final = BackfillSettings(lease_s=120.0, renew_s=30.0, report_s=2.5, poll_s=30.0, hold_s=0.0)
"""Nothing that a clock ends by itself which passes short waits over, and turns given up at once."""
PATIENCE_S: Final = 60.0
STEP_S: Final = 2.5
_IDLE_S: Final = 0.05
"""After so long without news the clock moves on: what is waited for may wait for that."""


class _Hits(CacheMetrics):
    """Counts what came from the cache."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self._counts = counts

    def looked_up(self, *, hits: int, misses: int) -> None:
        self._counts["chunks from the cache"] += hits


class Engine:
    """Begins when it is made."""

    def __init__(self, watch: Watch, house: House, cache: CacheHome, jobs_open: Collection[str]) -> None:
        self._jobs_open = jobs_open
        self._watch = watch
        world = self._world = watch.world
        self.line = Line()
        self.bars = WatchedBars(house.bars, self.line, watch)
        self.instruments = house.instruments
        self._cache_home = cache
        self._cache = cache.open(world.clock)
        self._markets = MarketService(
            loader_of(watched_plugin(watch, world.plugin)),
            house.instruments,
            world.clock,
            provider_options={world.main.provider: world.venue.provider_options()},
            operator_credentials=world.credentials,
            calendars=watch.calendars,
        )
        self.orchestrator = DataOrchestrator(
            self._markets, self.bars, world.clock, CacheManager(self._cache, world.clock, _Hits(watch.counts))
        )
        self.backfills = BackfillManager(
            self._markets,
            self.orchestrator.venue,
            self.bars,
            LinedJobs(house.jobs, self.line, watch.calls),
            world.clock,
            SETTINGS,
            rng=random.Random(world.seed),
        )
        self.orchestrator.repair = self.backfills.repair
        self.backfills.start()

    async def list_markets(self) -> None:
        """Ask the venue for its symbols, so that they are known while it is down."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with suppress(TimeoutPluginError):  # a slow machine
                    await self._markets.listing(
                        self._watch.world.main.market, self._watch.world.main.provider
                    )
                    return

    async def close(self) -> None:
        """End it in order."""
        await self.backfills.close()
        await self.orchestrator.close()
        await self._markets.close()
        await self._cache_home.leave(self._cache)

    async def kill(self) -> None:
        """End it without a word to the stores."""
        self.line.cut()
        await self.close()

    @property
    def busy(self) -> bool:
        """Whether anything is fetched that no reader waits for."""
        return bool(self.backfills.working or self.backfills.repairing)

    async def pass_time(self, delta_s: float) -> None:
        """Let time go by, in steps that no call under way takes for its own slowness."""
        clock = self._world.clock
        end_s = clock.monotonic() + delta_s
        while (left_s := end_s - clock.monotonic()) > 0:
            # A job that is open begins as soon as the lease of its last owner has ended.
            if not (self.busy or self._watch.calls or self._jobs_open):
                await clock.advance(left_s)
                return
            async with asyncio.timeout(PATIENCE_S):
                await self._watch.calls.ended()
            await clock.advance(min(left_s, STEP_S))

    async def until(self, job_id: str, reached: Callable[[BackfillJob], bool]) -> BackfillJob:
        """The job once that is so, or once it has ended."""
        with self.backfills.watch() as changes:
            job = await self.backfills.get(job_id)
            async with asyncio.timeout(PATIENCE_S):
                while job.open and not reached(job):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_IDLE_S):
                            changed = await anext(changes)
                            job = changed if changed.id == job_id else job
                            continue
                    await self.pass_time(STEP_S)
                    job = await self.backfills.get(job_id)
        return job
