"""Backfills of a walk: to the end, cancelled, or killed and taken up again."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from tests.support.engine_walk.engine import PATIENCE_S, Engine
from tests.support.engine_walk.watch import Watch
from tests.support.engine_walk.world import World
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, ONE_MINUTE

WAITS_MAX: Final = 50


class Jobs:
    """Jobs that were submitted and not seen to end."""

    def __init__(self, world: World, watch: Watch, counts: Counter[str]) -> None:
        self._world = world
        self._key = world.main
        self._minutes = world.main.series(ONE_MINUTE)
        self._watch = watch
        self._counts = counts
        self.open: list[str] = []
        self.killed: set[str] = set()

    async def submit(self, engine: Engine) -> str:
        """A job over a random range of up to some days."""
        chance, now_ms = self._world.chance, self._world.clock.now_ms()
        start = chance.randrange(self._world.start_ms - DAY_MS, now_ms - HOUR_MS)
        end = min(now_ms, start + chance.randrange(MINUTE_MS, 6 * DAY_MS))
        job = await engine.backfills.submit(self._key, start, end, newest_first=chance.random() < 0.5)
        self.open.append(job.id)
        self._counts["jobs submitted"] += 1
        return job.id

    async def finish(self, engine: Engine) -> None:
        """Let every job come to its end: then nothing of its range is unknown but what the venue was silent
        about, or gave no right bar of."""
        while self.open:
            job_id = self.open[0]
            job = await engine.until(job_id, lambda _: False)
            assert job.state == "done", f"the job is {job.state}: {job.error}"
            assert job.progress == 1.0
            begun_ms = max(job.created_ms - 10 * MINUTE_MS, job.start)
            missing = IntervalSet.single(job.start, max(job.start, min(job.end, begun_ms)))
            missing = missing.clip(self._world.start_ms, job.end)
            # A write that was cut off may be there all the same.
            known = (await engine.bars.coverage(self._minutes, job.start, job.end)).known
            untold = self._watch.untold_of(self._key, job.created_ms)
            missing = missing.subtract(known).subtract(untold)
            left = self._world.minutes(self._key).inside(missing)
            assert not len(left), f"{job} is done, and {len(left)} bars are not there: {left.time[:3]}"
            self.open.remove(job_id)
            self._counts["jobs done"] += 1
            self._counts["killed jobs done"] += job_id in self.killed
            self._counts["bars of jobs"] += job.bars

    async def cancel(self, engine: Engine) -> None:
        """Cancel a job once it has stored something, or has ended before."""
        job_id, writes = await self.submit(engine), engine.line.writes
        await self.until_written(engine, writes + self._world.chance.randrange(1, 3), job_id)
        job = await engine.backfills.cancel(job_id)
        async with asyncio.timeout(PATIENCE_S):
            while job_id in engine.backfills.working:  # noqa: ASYNC110  nothing tells when it is over
                await asyncio.sleep(0)
        self.open.remove(job_id)
        self._watch.cut_off()
        self._counts["jobs cancelled"] += job.state == "cancelled"
        assert job.state in ("cancelled", "done")

    async def until_written(self, engine: Engine, writes: int, job_id: str | None) -> None:
        """Return after so many writes, or when the job has ended or waits for the venue."""
        left = WAITS_MAX
        async with asyncio.timeout(PATIENCE_S):
            while engine.line.writes < writes and left:
                await asyncio.sleep(0)
                if job_id is not None and not (await engine.backfills.get(job_id)).open:
                    return
                if engine.line.writes < writes and not self._watch.calls:
                    await self._world.clock.advance(0.2)
                    left -= 1
