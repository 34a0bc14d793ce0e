"""``BackfillManager``: history on request, as jobs that outlive the process, and repairs unasked."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from tradewright.domain.backfills import BackfillJob, JobLease, JobPosition
from tradewright.domain.capabilities import Capability
from tradewright.domain.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    PluginFeatureNotSupportedError,
    StorageUnavailable,
)
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import BackfillJobStore, BarStore
from tradewright.domain.timeframes import MINUTE_MS
from tradewright.runtime.clock import Clock
from tradewright.runtime.ids import new_id
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.backfill.job_run import JobRun
from tradewright.services.backfill.repairs import Repairs
from tradewright.services.backfill.settings import BackfillSettings
from tradewright.services.backfill.venues import Venues
from tradewright.services.backfill.watching import JobWatch, Watchers
from tradewright.services.backfill.work import Workshop
from tradewright.services.data_sources.plugin import PluginSource
from tradewright.services.data_sources.turns import Turns
from tradewright.services.feeds.timing import Wakeup
from tradewright.services.imported_data import PLUGIN_KEY
from tradewright.services.market_service import MarketService

__all__ = ["BackfillManager", "BackfillSettings", "TooManyBackfills"]

_log = logging.getLogger(__name__)

CLOCK_TOLERANCE_MS: Final = MINUTE_MS
WATCHED_MAX: Final = 100
"""So many of the newest jobs are looked at for changes that other processes made."""


class TooManyBackfills(Conflict):
    """As many jobs are open as may be: one must end or be cancelled first."""

    code = "too_many_backfills"


class BackfillManager:
    """Takes jobs, works at those that nobody works at, and lets go of them when it is closed.

    Any number of managers, in any number of processes, share one ``BackfillJobStore``: each job has one
    owner at a time, and so has each provider, since every process counts its calls by itself. Nothing
    that is covered is fetched again, so that a job that is killed anywhere and taken up again ends with
    what it would have ended with.
    """

    def __init__(
        self,
        markets: MarketService,
        source: PluginSource,
        bars: BarStore,
        jobs: BackfillJobStore,
        clock: Clock,
        settings: BackfillSettings = BackfillSettings(),  # noqa: B008  frozen
        *,
        rng: random.Random | None = None,
    ) -> None:
        self._markets = markets
        self._jobs = jobs
        self._clock = clock
        self._settings = settings
        self._owner = new_id()
        self._api_semaphore = asyncio.Semaphore(settings.chunks_at_once)
        shop = self._shop = Workshop(
            markets,
            source,
            bars,
            jobs,
            clock,
            settings,
            rng,
            Venues(source, clock, settings, rng),
            self._api_semaphore,
            Turns(),
            note_silence=lambda key, holes: self._repairs.note_silence(key, holes),
        )
        self._repairs = Repairs(shop)
        self._watchers = Watchers(2 * WATCHED_MAX, on_first=self._begin_to_follow)
        self._running: dict[str, JobRun] = {}
        self._attending = False
        self._wakeup = Wakeup(clock)
        self._following: asyncio.Task[None] | None = None
        self._tasks = TaskSupervisor("backfill")

    def start(self) -> None:
        """Begin, as a server, to work at jobs that are queued or whose owner is gone, and to look once more
        at what was silent."""
        self._attending = True
        self._tasks.keep("attend", self._attend, self._clock)
        self._tasks.keep("second looks", self._repairs.watch_silences, self._clock)
        self._tasks.keep("take jobs", self._take_jobs, self._clock)

    def stand_in(self, job_id: str) -> None:
        """Begin to work at that job alone, and only while no server takes jobs: to one that comes it is
        left within seconds, and taken back from one that is gone. For commands."""
        self._tasks.start("stand in", self._stand_in(job_id))

    async def close(self) -> None:
        """Let go of every job at once, so that another process can take it up."""
        await self._repairs.close()
        await self._tasks.close()
        if self._attending:
            with suppress(StorageUnavailable):  # its lease ends by itself
                await self._jobs.leave(self._owner)

    # Jobs

    async def submit(
        self, key: InstrumentKey, start_ms: int, end_ms: int, *, newest_first: bool = False
    ) -> BackfillJob:
        """A new job, queued. Raises ``UnknownMarket``, ``UnknownProvider``, ``UnknownSymbol`` and the
        venue's own error where it can't be asked for its symbols, ``InvalidInput``,
        ``PluginFeatureNotSupportedError`` and ``TooManyBackfills``."""
        now_ms = self._clock.now_ms()
        _check_range(start_ms, end_ms, now_ms, self._settings.span_ms_max)
        info = await self._markets.provider(key.market, key.provider)
        if info.plugin == PLUGIN_KEY or Capability.OHLCV not in info.capabilities:
            raise PluginFeatureNotSupportedError(f"{info.name} has no history to fetch.")
        await self._markets.instrument(key)
        job = BackfillJob(
            id=new_id(),
            market=key.market,
            provider=key.provider,
            symbol=key.symbol,
            start=start_ms,
            end=end_ms,
            newest_first=newest_first,
            created_ms=now_ms,
            updated_ms=now_ms,
        )
        settings = self._settings
        if not await self._jobs.add(
            job, open_max=settings.open_jobs_max, kept_max=settings.finished_jobs_max
        ):
            raise TooManyBackfills(
                f"{settings.open_jobs_max} backfills are open already: let one end, or cancel one."
            )
        self._watchers.tell(job)
        self._wakeup.set()
        return job

    async def get(self, job_id: str) -> BackfillJob:
        """A job; ``NotFound`` where there is none."""
        return _found(await self._jobs.get(job_id))

    async def newest(self, limit: int, before: JobPosition | None = None) -> Sequence[BackfillJob]:
        """The newest jobs, newest first; those behind ``before``."""
        return await self._jobs.newest(limit, before=before)

    async def cancel(self, job_id: str) -> BackfillJob:
        """Cancel a job, whichever process works at it; one that has ended stays as it is. ``NotFound``
        where there is none."""
        job = _found(await self._jobs.cancel(job_id, now_ms=self._clock.now_ms()))
        run = self._running.get(job_id)
        if run is not None and not job.open:
            run.abandon()
        self._watchers.tell(job)
        return job

    async def attended(self) -> bool:
        """Whether a server, in whatever process, takes jobs from this store."""
        return await self._jobs.attended(now_ms=self._clock.now_ms())

    def repair(self, key: SeriesKey, holes: IntervalSet) -> None:
        """Fetch these holes of a series when there is time for it, within the budget of the provider.
        For readers that could not wait: it never waits, never raises, and promises nothing."""
        self._repairs.add(key, holes)

    @property
    def working(self) -> tuple[str, ...]:
        """The ids of the jobs at which this manager works."""
        return tuple(self._running)

    @property
    def repairing(self) -> dict[SeriesKey, IntervalSet]:
        """The holes that wait to be repaired."""
        return self._repairs.waiting

    def watch(self) -> JobWatch:
        """Every change of a job from entering the context on, those by other processes a little later;
        of a job whose changes come faster than they are taken, the latest. To be read in the order:
        enter, then ``newest``, then the changes."""
        return JobWatch(self._watchers)

    # Working

    async def _attend(self) -> None:
        """Say in the store that a server is here, so that commands leave their jobs to it."""
        while True:
            with suppress(StorageUnavailable):  # who looks for jobs says so
                await self._jobs.attend(
                    self._owner,
                    now_ms=self._clock.now_ms(),
                    lease_ms=round(self._settings.lease_s * 1000),
                )
            await self._clock.sleep(self._settings.renew_s)

    async def _take_jobs(self) -> None:
        while True:
            taken = None
            if len(self._running) < self._settings.jobs_at_once:
                taken = await self._claim()
            if taken is None:
                await self._wakeup.wait(self._settings.poll_s)
            else:
                self._begin(*taken)

    async def _stand_in(self, job_id: str) -> None:
        work: asyncio.Task[None] | None = None
        while True:
            try:
                if await self.attended():
                    self._repairs.forget()
                    if work is not None:
                        work.cancel()
                        work = None
                elif not self._running:
                    taken = await self._claim(job_id)
                    work = None if taken is None else self._begin(*taken)
            except StorageUnavailable as error:
                _log.warning("servers could not be looked for: %s", error.message)
            await self._wakeup.wait(self._settings.poll_s)

    def _begin(self, job: BackfillJob, lease: JobLease) -> asyncio.Task[None]:
        self._watchers.tell(job)
        stalled = self._running.get(job.id)
        if stalled is not None:  # our own lease ended, say while the machine was asleep
            stalled.abandon()
        run = self._running[job.id] = JobRun(self._shop, job, lease, self._watchers.tell)
        return self._tasks.start(f"job {job.id}", self._work_at(run))

    async def _claim(self, only: str | None = None) -> tuple[BackfillJob, JobLease] | None:
        try:
            return await self._jobs.claim(
                self._owner,
                now_ms=self._clock.now_ms(),
                lease_ms=round(self._settings.lease_s * 1000),
                job_id=only,
            )
        except StorageUnavailable as error:
            _log.warning("jobs could not be looked for: %s", error.message)
            return None

    async def _work_at(self, run: JobRun) -> None:
        try:
            await run.run()
        finally:
            if self._running.get(run.job.id) is run:
                del self._running[run.job.id]
            self._wakeup.set()

    def _begin_to_follow(self) -> None:
        if self._following is None or self._following.done():
            self._following = self._tasks.start("follow other processes", self._follow())

    async def _follow(self) -> None:
        """Tell what other processes did, while anybody watches."""
        while len(self._watchers):
            try:
                for job in reversed(await self._jobs.newest(WATCHED_MAX)):
                    self._watchers.tell(job)
            except StorageUnavailable as error:
                _log.warning("jobs could not be looked at: %s", error.message)
            await self._clock.sleep(self._settings.report_s)


def _found(job: BackfillJob | None) -> BackfillJob:
    if job is None:
        raise NotFound("There is no such backfill.")
    return job


def _check_range(start_ms: int, end_ms: int, now_ms: int, span_ms_max: int) -> None:
    if start_ms < 0:
        raise InvalidInput("The start lies before 1970.", {"start": "at least 0"})
    if start_ms >= end_ms:
        raise InvalidInput("The start must lie before the end.", {"start": "before end"})
    if end_ms > now_ms + CLOCK_TOLERANCE_MS:
        raise InvalidInput("The end lies in the future.", {"end": "not after now"})
    if end_ms - start_ms > span_ms_max:
        days = span_ms_max // (24 * 60 * MINUTE_MS)
        raise InvalidInput("The range is too long.", {"start": f"at most {days} days before end"})
