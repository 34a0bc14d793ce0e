"""One job at work in this process: it holds the lease, fetches what is missing, and reports."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from tradewright.domain.backfills import BackfillJob, BackfillState, JobLease, JobReport
from tradewright.domain.errors import PluginError, StorageUnavailable, TradewrightError
from tradewright.domain.intervals import NO_INTERVALS, Interval
from tradewright.services.backfill.series import ChunkResult, SeriesReader
from tradewright.services.backfill.venues import VenueClosed
from tradewright.services.backfill.work import Workshop, for_good, passing
from tradewright.services.data_sources.door import DoorClosed

_log = logging.getLogger(__name__)

_LOOK_S: Final = 0.1
"""How often it is looked whether somebody waits for the series, while pages are under way."""
_FAULT: Final = "The server met a fault of its own here; its log says more."


class JobRun:
    """Works at one leased job until it is done, failed, cancelled, or another's.

    Progress follows the store: a chunk is committed before it counts. While the lease is not held for
    certain, no call is made.
    """

    def __init__(
        self,
        shop: Workshop,
        job: BackfillJob,
        lease: JobLease,
        changed: Callable[[BackfillJob], None],
    ) -> None:
        self._shop = shop
        self._venue = shop.venues.of(job.market, job.provider)
        self.job = job
        self._lease = lease
        self._changed = changed
        self._report = JobReport(
            progress=job.progress, bars=job.bars, missing_ms=job.missing_ms, error=job.error
        )
        self._reported = self._report
        self._held_until_s = shop.clock.monotonic() + shop.settings.lease_s
        self._renewed_s = shop.clock.monotonic()
        self._renewed = asyncio.Event()
        self._lost = False
        self._stretches = NO_INTERVALS
        self._settled = NO_INTERVALS
        """What needs no call any more, though the store does not know it: the venue had nothing there."""
        self._no_page_wanted = False
        self._refusals = 0
        self._delays = shop.settings.retry.delays(shop.rng)
        self._work: asyncio.Task[str | None] | None = None

    async def run(self) -> None:
        """Work, renewing the lease; whatever ends it, the job is left in the state that it is in."""
        self._work = asyncio.create_task(self._fetch_all(), name=f"backfill job {self.job.id}")
        self._venue.jobs += 1
        left: BackfillState = "queued"
        try:
            while not self._work.done() and not self._lost:
                await self._wait_for_work()
                await self._renew()
            if not self._lost:
                left = self._outcome(self._work)
        finally:
            self._venue.jobs -= 1
            self._work.cancel()
            await asyncio.wait({self._work})
            if not self._lost:
                await self._settle(left)

    def abandon(self) -> None:
        """The job is not ours any more: end without another word to the store."""
        self._lost = True
        if self._work is not None:
            self._work.cancel()

    def _outcome(self, work: asyncio.Task[str | None]) -> BackfillState:
        fault = work.exception()
        problem = work.result() if fault is None else _FAULT
        if fault is not None:
            _log.error("backfill job %s failed", self.job.id, exc_info=fault)
        if problem is None:
            self._report = msgspec.structs.replace(self._report, progress=1.0, error=None)
            return "done"
        self._report = msgspec.structs.replace(self._report, error=problem)
        return "failed"

    # The lease

    async def _wait_for_work(self) -> None:
        assert self._work is not None
        timer = asyncio.create_task(
            self._shop.clock.sleep(self._shop.settings.report_s), name="backfill report timer"
        )
        try:
            await asyncio.wait({self._work, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()

    async def _renew(self) -> None:
        shop = self._shop
        now_s = shop.clock.monotonic()
        due = now_s - self._renewed_s >= shop.settings.renew_s
        if self._lost or not (due or self._report != self._reported):
            return
        report = self._report
        try:
            held = await shop.jobs.report(
                self._lease, report, now_ms=shop.clock.now_ms(), lease_ms=round(shop.settings.lease_s * 1000)
            )
        except StorageUnavailable as error:
            _log.warning("backfill job %s could not report: %s", self.job.id, error.message)
            return
        if not held:
            _log.info("backfill job %s is another's now, or cancelled", self.job.id)
            self._lost = True
            return
        self._renewed_s, self._held_until_s = now_s, now_s + shop.settings.lease_s
        self._renewed.set()
        if report != self._reported:
            self._reported = report
            self._tell("running")

    def _tell(self, state: BackfillState) -> None:
        report = self._report
        self.job = msgspec.structs.replace(
            self.job,
            state=state,
            progress=report.progress,
            bars=report.bars,
            missing_ms=report.missing_ms,
            error=report.error,
            updated_ms=self._shop.clock.now_ms(),
        )
        self._changed(self.job)

    async def _settle(self, state: BackfillState) -> None:
        if state == "queued":
            self._report = msgspec.structs.replace(self._report, error=None)
        try:
            job = await self._shop.jobs.settle(
                self._lease, self._report, state, now_ms=self._shop.clock.now_ms()
            )
        except StorageUnavailable as error:
            # Its lease ends by itself, and who takes it up then finds nothing left to do.
            _log.warning("backfill job %s could not be settled: %s", self.job.id, error.message)
            return
        if job is not None:
            self.job = job
            self._changed(job)

    def _holds(self) -> bool:
        return not self._lost and self._shop.clock.monotonic() < self._held_until_s

    # The work

    async def _fetch_all(self) -> str | None:
        """Fetch until nothing is missing: None, or a sentence that says why it can't be."""
        while True:
            await self._venue.opened()
            while not self._holds():
                self._renewed.clear()
                await self._renewed.wait()
            try:
                if await self._fetch_some():
                    return None
            except (VenueClosed, DoorClosed, TimeoutError):
                continue
            except StorageUnavailable as error:
                self._say(error.message)
                await self._shop.clock.sleep(self._shop.settings.store_retry_s)
            except TradewrightError as error:
                problem = await self._after(error)
                if problem is not None:
                    return problem

    async def _after(self, error: TradewrightError) -> str | None:
        """What to do about a call that failed: None to try again, or why that is of no use."""
        settings = self._shop.settings
        if for_good(error) or not isinstance(error, PluginError):
            return error.message
        self._say(error.message)
        if passing(error):
            self._venue.failed(error)
            if self._venue.down_s > settings.unreachable_s_max:
                return f"{error.message} It has been so for {self._venue.down_s / 3600:.0f} hours."
            return None
        self._refusals += 1
        if self._refusals >= settings.refusals_max:
            return error.message
        await self._shop.clock.sleep(next(self._delays))
        return None

    def _say(self, problem: str | None) -> None:
        self._report = msgspec.structs.replace(self._report, error=problem)

    async def _fetch_some(self) -> bool:
        """Fetch while the turn, the lease and the venue allow it; whether nothing is missing any more."""
        shop, job = self._shop, self.job
        async with shop.markets.plugin(job.market, job.provider) as plugin:
            # A venue that was down is knocked at with one page, not with questions about it.
            # Where no page is wanted, its time is all that there is to ask for.
            knocking = self._venue.down_s > 0 and not self._no_page_wanted
            reader = await shop.reader(plugin, job.instrument, ask_time=not knocking)
            if not knocking:
                await reader.begin_at_listing(job.start)
            failed = shop.source.recent_failure(job.market, job.provider)
            if failed is not None:  # not even its time is to be had: the job waits, and says for what
                raise failed
            deadline_s = asyncio.get_running_loop().time() + shop.settings.turn_s
            # Jobs of one series line up before they take the turn, so that who waits for it is a reader.
            async with (
                shop.line.take(reader.key, deadline_s),
                shop.source.turns.take(reader.key, deadline_s),
            ):
                missing = await reader.missing(job.start, job.end)
                self._stretches = reader.worthwhile(missing.subtract(self._settled))
                self._no_page_wanted = not self._stretches
                self._measure(reader)
                return await self._fetch_chunks(reader, knocking=knocking)

    async def _fetch_chunks(self, reader: SeriesReader, *, knocking: bool) -> bool:
        settings = self._shop.settings
        planner = reader.planner(settings.chunk_pages, newest_first=self.job.newest_first)
        running: dict[asyncio.Task[ChunkResult], Interval] = {}
        bars_before = self._report.bars
        stopping = False
        failure: PluginError | DoorClosed | None = None
        hold_until_s = self._shop.clock.monotonic() + settings.hold_s
        try:
            while True:
                wanted = self._shop.source.turns.wanted(reader.key)
                may_yield = self._shop.clock.monotonic() >= hold_until_s
                if not stopping and ((wanted and may_yield) or not self._holds()):
                    stopping = True
                    reader.stop()
                lanes = 1 if self._refusals else self._venue.lanes
                while not stopping and len(running) < lanes:
                    chunk = planner.next_chunk(self._stretches, running.values())
                    if chunk is None:
                        break
                    task = asyncio.create_task(
                        self._fetch_chunk(reader, chunk), name=f"backfill chunk of {self.job.id}"
                    )
                    running[task] = planner.reach(chunk)
                if not running:
                    if failure is not None:
                        raise failure
                    return not (self._stretches or knocking)
                finished, _ = await asyncio.wait(
                    running, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED
                )
                for task in finished:
                    del running[task]
                    error = task.exception()
                    if isinstance(error, PluginError | DoorClosed):
                        # What the others are being given is not thrown away, so not asked for twice.
                        failure, stopping = failure or error, True
                        reader.stop()
                        continue
                    result = task.result()
                    planner.learn(result.chunk, result.bars)
                    self._take(reader, result, bars_before)
                    stopping = stopping or knocking
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            self._report = msgspec.structs.replace(self._report, bars=bars_before + reader.stored)

    async def _fetch_chunk(self, reader: SeriesReader, chunk: Interval) -> ChunkResult:
        async with self._venue.lane() as calls, self._shop.api:
            result = await reader.read(chunk, calls)
        self._venue.answered()
        return result

    def _take(self, reader: SeriesReader, result: ChunkResult, bars_before: int) -> None:
        self._refusals = 0
        self._settled = self._settled.union(result.silent)
        self._stretches = reader.worthwhile(self._stretches.subtract(result.done))
        self._report = msgspec.structs.replace(self._report, bars=bars_before + reader.stored, error=None)
        self._measure(reader)
        if result.silent:
            self._shop.note_silence(reader.key, result.silent)

    def _measure(self, reader: SeriesReader) -> None:
        """Set the progress by what is left."""
        left_ms = reader.open_ms(self._stretches)
        total_ms = max(self._report.missing_ms or 0, left_ms)
        progress = 1.0 if not total_ms else 1 - left_ms / total_ms
        self._report = msgspec.structs.replace(self._report, missing_ms=total_ms, progress=progress)
