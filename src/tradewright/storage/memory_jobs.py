"""Backfill jobs that live in the process."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from tradewright.domain.backfills import BackfillJob, BackfillState, JobLease, JobPosition, JobReport


@dataclass(slots=True)
class _Row:
    job: BackfillJob
    owner: str = ""
    token: int = 0
    lease_ends_ms: int = 0

    def free(self, now_ms: int) -> bool:
        return self.job.state == "queued" or (self.job.state == "running" and self.lease_ends_ms <= now_ms)


class MemoryBackfillJobStore:
    """A ``BackfillJobStore`` in memory; every call is atomic, because none gives up the event loop."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._servers: dict[str, int] = {}

    async def add(self, job: BackfillJob, *, open_max: int, kept_max: int) -> bool:
        if sum(row.job.open for row in self._rows.values()) >= open_max:
            return False
        self._rows[job.id] = _Row(job)
        finished = sorted((row.job for row in self._rows.values() if not row.job.open), key=_position)
        for old in finished[: max(0, len(finished) - kept_max)]:
            del self._rows[old.id]
        return True

    async def get(self, job_id: str) -> BackfillJob | None:
        row = self._rows.get(job_id)
        return None if row is None else row.job

    async def newest(self, limit: int, *, before: JobPosition | None = None) -> tuple[BackfillJob, ...]:
        jobs = (row.job for row in self._rows.values())
        found = [job for job in jobs if before is None or job.position < before]
        return tuple(sorted(found, key=_position, reverse=True)[:limit])

    async def claim(
        self, owner: str, *, now_ms: int, lease_ms: int, job_id: str | None = None
    ) -> tuple[BackfillJob, JobLease] | None:
        others = {
            row.job.provider
            for row in self._rows.values()
            if row.lease_ends_ms > now_ms and row.owner != owner
        }
        free = [
            row
            for row in self._rows.values()
            if row.free(now_ms) and job_id in (None, row.job.id) and row.job.provider not in others
        ]
        if not free:
            return None
        row = min(free, key=lambda row: row.job.position)
        row.owner, row.token, row.lease_ends_ms = owner, row.token + 1, now_ms + lease_ms
        row.job = msgspec.structs.replace(row.job, state="running", updated_ms=now_ms)
        return row.job, JobLease(row.job.id, owner, row.token)

    async def report(self, lease: JobLease, report: JobReport, *, now_ms: int, lease_ms: int) -> bool:
        row = self._held(lease)
        if row is None:
            return False
        row.lease_ends_ms = now_ms + lease_ms
        row.job = _reported(row.job, report, "running", now_ms)
        return True

    async def settle(
        self, lease: JobLease, report: JobReport, state: BackfillState, *, now_ms: int
    ) -> BackfillJob | None:
        row = self._held(lease)
        if row is None:
            return None
        row.owner, row.lease_ends_ms = "", 0
        row.job = _reported(row.job, report, state, now_ms)
        return row.job

    async def cancel(self, job_id: str, *, now_ms: int) -> BackfillJob | None:
        row = self._rows.get(job_id)
        if row is None:
            return None
        if row.job.open:
            row.owner, row.token, row.lease_ends_ms = "", row.token + 1, 0
            row.job = msgspec.structs.replace(row.job, state="cancelled", error=None, updated_ms=now_ms)
        return row.job

    async def attend(self, server: str, *, now_ms: int, lease_ms: int) -> None:
        for gone in [id_ for id_, ends_ms in self._servers.items() if ends_ms <= now_ms]:
            del self._servers[gone]
        self._servers[server] = now_ms + lease_ms

    async def leave(self, server: str) -> None:
        self._servers.pop(server, None)

    async def attended(self, *, now_ms: int) -> bool:
        return any(ends_ms > now_ms for ends_ms in self._servers.values())

    def _held(self, lease: JobLease) -> _Row | None:
        """The row, where the lease is still the one under which it is worked at."""
        row = self._rows.get(lease.job_id)
        held = (
            row is not None
            and row.job.state == "running"
            and (row.owner, row.token) == (lease.owner, lease.token)
        )
        return row if held else None


def _reported(job: BackfillJob, report: JobReport, state: BackfillState, now_ms: int) -> BackfillJob:
    return msgspec.structs.replace(
        job,
        state=state,
        progress=report.progress,
        bars=report.bars,
        missing_ms=report.missing_ms,
        error=report.error,
        updated_ms=now_ms,
    )


def _position(job: BackfillJob) -> JobPosition:
    return job.position
