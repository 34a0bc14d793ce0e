"""Backfill jobs in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from tradewright.domain.backfills import BackfillJob, BackfillState, JobLease, JobPosition, JobReport
from tradewright.storage.postgres.database import PostgresDatabase
from tradewright.storage.postgres.session import Session

_NAMES: Final = BackfillJob.__struct_fields__
"""In whose order all statements name the columns."""

# One addition or claim at a time, so that the bound holds and a provider has one owner; the lock ends with
# the transaction.
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('tradewright backfill jobs'))"
_COUNT_OPEN: Final = "SELECT count(*) FROM backfill_jobs WHERE state IN ('queued', 'running')"
_ADD: Final = (
    "INSERT INTO backfill_jobs (id, market, provider, symbol, start_ms, end_ms, newest_first, state, "
    "progress, bars, missing_ms, error, created_ms, updated_ms) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
)
_FORGET: Final = (
    "DELETE FROM backfill_jobs WHERE id IN (SELECT id FROM backfill_jobs "
    "WHERE state NOT IN ('queued', 'running') ORDER BY created_ms DESC, id DESC OFFSET $1)"
)
_GET: Final = (
    "SELECT id, market, provider, symbol, start_ms, end_ms, newest_first, state, progress, bars, missing_ms, "
    "error, created_ms, updated_ms FROM backfill_jobs WHERE id = $1"
)
_NEWEST: Final = (
    "SELECT id, market, provider, symbol, start_ms, end_ms, newest_first, state, progress, bars, missing_ms, "
    "error, created_ms, updated_ms FROM backfill_jobs "
    "WHERE $1::bigint IS NULL OR (created_ms, id) < ($1::bigint, $2::text) "
    "ORDER BY created_ms DESC, id DESC LIMIT $3"
)
_ANY_FREE: Final = (
    "SELECT 1 FROM backfill_jobs AS free WHERE state IN ('queued', 'running') "
    "AND (state = 'queued' OR lease_ends_ms <= $1) AND ($2::text IS NULL OR id = $2::text) "
    "AND NOT EXISTS (SELECT 1 FROM backfill_jobs AS held "
    "WHERE held.state IN ('queued', 'running') AND held.lease_ends_ms > $1 "
    "AND held.provider = free.provider AND held.owner <> $3) LIMIT 1"
)
_TAKE: Final = (
    "UPDATE backfill_jobs SET state = 'running', owner = $3, token = token + 1, lease_ends_ms = $4, "
    "updated_ms = $1 WHERE id = (SELECT id FROM backfill_jobs AS free WHERE state IN ('queued', 'running') "
    "AND (state = 'queued' OR lease_ends_ms <= $1) AND ($2::text IS NULL OR id = $2::text) "
    "AND NOT EXISTS (SELECT 1 FROM backfill_jobs AS held "
    "WHERE held.state IN ('queued', 'running') AND held.lease_ends_ms > $1 "
    "AND held.provider = free.provider AND held.owner <> $3) "
    "ORDER BY created_ms, id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id, token"
)
_REPORT: Final = (
    "UPDATE backfill_jobs SET state = $1, lease_ends_ms = $2, progress = $3, bars = $4, missing_ms = $5, "
    "error = $6, updated_ms = $7 WHERE id = $8 AND state = 'running' AND owner = $9 AND token = $10 "
    "RETURNING id"
)
_CANCEL: Final = (
    "UPDATE backfill_jobs SET state = 'cancelled', owner = '', token = token + 1, lease_ends_ms = 0, "
    "error = NULL, updated_ms = $1 WHERE id = $2 AND state IN ('queued', 'running')"
)
_ATTEND: Final = (
    "INSERT INTO backfill_servers (id, lease_ends_ms) VALUES ($1, $2) "
    "ON CONFLICT (id) DO UPDATE SET lease_ends_ms = excluded.lease_ends_ms"
)
_FORGET_SERVERS: Final = "DELETE FROM backfill_servers WHERE lease_ends_ms <= $1"
_LEAVE: Final = "DELETE FROM backfill_servers WHERE id = $1"
_ATTENDED: Final = "SELECT EXISTS (SELECT 1 FROM backfill_servers WHERE lease_ends_ms > $1)"


class PostgresBackfillJobStore:
    """A ``BackfillJobStore`` in a PostgreSQL database, for any number of servers."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    async def add(self, job: BackfillJob, *, open_max: int, kept_max: int) -> bool:
        async def work(session: Session) -> bool:
            await session.run(_LOCK)
            if (await session.row(_COUNT_OPEN))[0] >= open_max:
                return False
            await session.run(_ADD, *msgspec.structs.astuple(job))
            await session.run(_FORGET, kept_max)
            return True

        return await self._database.write(work, repeatable=False)

    async def get(self, job_id: str) -> BackfillJob | None:
        return await self._database.read(lambda session: _get(session, job_id))

    async def newest(self, limit: int, *, before: JobPosition | None = None) -> tuple[BackfillJob, ...]:
        async def work(session: Session) -> tuple[BackfillJob, ...]:
            return tuple(map(_job, await session.rows(_NEWEST, *(before or (None, None)), limit)))

        return await self._database.read(work)

    async def claim(
        self, owner: str, *, now_ms: int, lease_ms: int, job_id: str | None = None
    ) -> tuple[BackfillJob, JobLease] | None:
        async def any_free(session: Session) -> bool:
            return await session.row_or_none(_ANY_FREE, now_ms, job_id, owner) is not None

        async def work(session: Session) -> tuple[BackfillJob, JobLease] | None:
            await session.run(_LOCK)
            taken = await session.row_or_none(_TAKE, now_ms, job_id, owner, now_ms + lease_ms)
            if taken is None:
                return None
            job = await _get(session, taken[0])
            return None if job is None else (job, JobLease(taken[0], owner, taken[1]))

        # Looked at first: who asks all the time must not write for nothing.
        if not await self._database.read(any_free):
            return None
        # Not repeated where its outcome is uncertain: a second claim would take a second job.
        return await self._database.write(work, repeatable=False)

    async def report(self, lease: JobLease, report: JobReport, *, now_ms: int, lease_ms: int) -> bool:
        return await self._database.write(
            lambda session: _report(session, lease, report, "running", now_ms + lease_ms, now_ms),
            repeatable=True,
        )

    async def settle(
        self, lease: JobLease, report: JobReport, state: BackfillState, *, now_ms: int
    ) -> BackfillJob | None:
        async def work(session: Session) -> BackfillJob | None:
            held = await _report(session, lease, report, state, 0, now_ms)
            return await _get(session, lease.job_id) if held else None

        return await self._database.write(work, repeatable=False)

    async def cancel(self, job_id: str, *, now_ms: int) -> BackfillJob | None:
        async def work(session: Session) -> BackfillJob | None:
            await session.run(_CANCEL, now_ms, job_id)
            return await _get(session, job_id)

        return await self._database.write(work, repeatable=True)

    async def attend(self, server: str, *, now_ms: int, lease_ms: int) -> None:
        async def work(session: Session) -> None:
            await session.run(_FORGET_SERVERS, now_ms)
            await session.run(_ATTEND, server, now_ms + lease_ms)

        await self._database.write(work, repeatable=True)

    async def leave(self, server: str) -> None:
        await self._database.write(lambda session: session.run(_LEAVE, server), repeatable=True)

    async def attended(self, *, now_ms: int) -> bool:
        return bool((await self._database.read(lambda session: session.row(_ATTENDED, now_ms)))[0])


async def _get(session: Session, job_id: str) -> BackfillJob | None:
    row = await session.row_or_none(_GET, job_id)
    return None if row is None else _job(row)


def _job(row: Iterable[object]) -> BackfillJob:
    return msgspec.convert(dict(zip(_NAMES, row, strict=True)), BackfillJob)


async def _report(
    session: Session,
    lease: JobLease,
    report: JobReport,
    state: BackfillState,
    lease_ends_ms: int,
    now_ms: int,
) -> bool:
    """Keep the report, where the lease still holds; whether it does."""
    said = (state, lease_ends_ms, report.progress, report.bars, report.missing_ms, report.error, now_ms)
    held = await session.row_or_none(_REPORT, *said, lease.job_id, lease.owner, lease.token)
    return held is not None
