"""Backfill jobs in SQLite."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from tradewright.domain.backfills import BackfillJob, BackfillState, JobLease, JobPosition, JobReport
from tradewright.storage.sqlite.database import SQLiteDatabase

_NAMES: Final = BackfillJob.__struct_fields__
_FREE: Final = (
    "SELECT id FROM backfill_jobs AS free "
    "WHERE state IN ('queued', 'running') AND (state = 'queued' OR lease_ends_ms <= ?1) "
    "AND (?2 IS NULL OR id = ?2) AND NOT EXISTS (SELECT 1 FROM backfill_jobs AS held "
    "WHERE held.state IN ('queued', 'running') AND held.lease_ends_ms > ?1 "
    "AND held.provider = free.provider AND held.owner <> ?3) ORDER BY created_ms, id LIMIT 1"
)
# In the order of BackfillJob's fields, as the reading below is.
_ADD: Final = (
    'INSERT INTO backfill_jobs (id, market, provider, symbol, start, "end", newest_first, state, progress, '
    "bars, missing_ms, error, created_ms, updated_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_COUNT_OPEN: Final = "SELECT count(*) FROM backfill_jobs WHERE state IN ('queued', 'running')"
_FORGET: Final = (
    "DELETE FROM backfill_jobs WHERE id IN (SELECT id FROM backfill_jobs "
    "WHERE state NOT IN ('queued', 'running') ORDER BY created_ms DESC, id DESC LIMIT -1 OFFSET ?)"
)
_GET: Final = (
    'SELECT id, market, provider, symbol, start, "end", newest_first, state, progress, bars, missing_ms, '
    "error, created_ms, updated_ms FROM backfill_jobs WHERE id = ?"
)
_NEWEST: Final = (
    'SELECT id, market, provider, symbol, start, "end", newest_first, state, progress, bars, missing_ms, '
    "error, created_ms, updated_ms FROM backfill_jobs WHERE ?1 IS NULL OR (created_ms, id) < (?1, ?2) "
    "ORDER BY created_ms DESC, id DESC LIMIT ?3"
)
_TAKE: Final = (
    "UPDATE backfill_jobs SET state = 'running', owner = ?, token = token + 1, lease_ends_ms = ?, "
    "updated_ms = ? WHERE id = ? RETURNING token"
)
_REPORT: Final = (
    "UPDATE backfill_jobs SET state = ?, lease_ends_ms = ?, progress = ?, bars = ?, missing_ms = ?, "
    "error = ?, updated_ms = ? WHERE id = ? AND state = 'running' AND owner = ? AND token = ?"
)
_CANCEL: Final = (
    "UPDATE backfill_jobs SET state = 'cancelled', owner = '', token = token + 1, lease_ends_ms = 0, "
    "error = NULL, updated_ms = ? WHERE id = ? AND state IN ('queued', 'running')"
)
_ATTEND: Final = (
    "INSERT INTO backfill_servers (id, lease_ends_ms) VALUES (?, ?) "
    "ON CONFLICT (id) DO UPDATE SET lease_ends_ms = excluded.lease_ends_ms"
)
_FORGET_SERVERS: Final = "DELETE FROM backfill_servers WHERE lease_ends_ms <= ?"
_LEAVE: Final = "DELETE FROM backfill_servers WHERE id = ?"
_ATTENDED: Final = "SELECT EXISTS (SELECT 1 FROM backfill_servers WHERE lease_ends_ms > ?)"


class SQLiteBackfillJobStore:
    """A ``BackfillJobStore`` in an embedded database, the one that holds the bars."""

    def __init__(self, database: SQLiteDatabase) -> None:
        self._database = database

    async def add(self, job: BackfillJob, *, open_max: int, kept_max: int) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            (open_now,) = connection.execute(_COUNT_OPEN).fetchone()
            if open_now >= open_max:
                return False
            connection.execute(_ADD, msgspec.structs.astuple(job))
            connection.execute(_FORGET, (kept_max,))
            return True

        return await self._database.write(work)

    async def get(self, job_id: str) -> BackfillJob | None:
        return await self._database.read(lambda connection: _get(connection, job_id))

    async def newest(self, limit: int, *, before: JobPosition | None = None) -> tuple[BackfillJob, ...]:
        def work(connection: sqlite3.Connection) -> tuple[BackfillJob, ...]:
            return tuple(map(_job, connection.execute(_NEWEST, (*(before or (None, None)), limit))))

        return await self._database.read(work)

    async def claim(
        self, owner: str, *, now_ms: int, lease_ms: int, job_id: str | None = None
    ) -> tuple[BackfillJob, JobLease] | None:
        def free(connection: sqlite3.Connection) -> str | None:
            found = connection.execute(_FREE, (now_ms, job_id, owner)).fetchone()
            return None if found is None else str(found[0])

        def work(connection: sqlite3.Connection) -> tuple[BackfillJob, JobLease] | None:
            found = free(connection)
            if found is None:
                return None
            (token,) = connection.execute(_TAKE, (owner, now_ms + lease_ms, now_ms, found)).fetchone()
            job = _get(connection, found)
            return None if job is None else (job, JobLease(found, owner, token))

        # Looked at first: who asks all the time must not take the writer's place for nothing.
        if await self._database.read(free) is None:
            return None
        return await self._database.write(work)

    async def report(self, lease: JobLease, report: JobReport, *, now_ms: int, lease_ms: int) -> bool:
        return await self._database.write(
            lambda connection: _report(connection, lease, report, "running", now_ms + lease_ms, now_ms)
        )

    async def settle(
        self, lease: JobLease, report: JobReport, state: BackfillState, *, now_ms: int
    ) -> BackfillJob | None:
        def work(connection: sqlite3.Connection) -> BackfillJob | None:
            held = _report(connection, lease, report, state, 0, now_ms)
            return _get(connection, lease.job_id) if held else None

        return await self._database.write(work)

    async def cancel(self, job_id: str, *, now_ms: int) -> BackfillJob | None:
        def work(connection: sqlite3.Connection) -> BackfillJob | None:
            connection.execute(_CANCEL, (now_ms, job_id))
            return _get(connection, job_id)

        return await self._database.write(work)

    async def attend(self, server: str, *, now_ms: int, lease_ms: int) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute(_FORGET_SERVERS, (now_ms,))
            connection.execute(_ATTEND, (server, now_ms + lease_ms))

        await self._database.write(work)

    async def leave(self, server: str) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute(_LEAVE, (server,))

        await self._database.write(work)

    async def attended(self, *, now_ms: int) -> bool:
        return await self._database.read(
            lambda connection: bool(connection.execute(_ATTENDED, (now_ms,)).fetchone()[0])
        )


def _get(connection: sqlite3.Connection, job_id: str) -> BackfillJob | None:
    row = connection.execute(_GET, (job_id,)).fetchone()
    return None if row is None else _job(row)


def _job(row: tuple[object, ...]) -> BackfillJob:
    # SQLite has no booleans: newest_first comes as 0 or 1, which strict=False takes.
    return msgspec.convert(dict(zip(_NAMES, row, strict=True)), BackfillJob, strict=False)


def _report(
    connection: sqlite3.Connection,
    lease: JobLease,
    report: JobReport,
    state: BackfillState,
    lease_ends_ms: int,
    now_ms: int,
) -> bool:
    """Keep the report, where the lease still holds; whether it does."""
    said = (state, lease_ends_ms, report.progress, report.bars, report.missing_ms, report.error, now_ms)
    held = connection.execute(_REPORT, (*said, lease.job_id, lease.owner, lease.token))
    return held.rowcount == 1
