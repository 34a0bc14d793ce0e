"""Every store of backfill jobs against the suite that is shipped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.support.postgres_schemas import opened_database, own_schema
from tradewright.domain.backfills import BackfillJob, JobLease, JobReport
from tradewright.domain.ports import BackfillJobStore
from tradewright.storage.memory_jobs import MemoryBackfillJobStore
from tradewright.storage.postgres import PostgresBackfillJobStore
from tradewright.storage.sqlite import SQLiteBackfillJobStore, SQLiteDatabase
from tradewright.testing.backfill_job_checks import (
    JOB_STORE_CHECKS,
    LEASE,
    NOW,
    JobCheck,
    OpenJobStore,
    check_backfill_job_store,
    check_jobs_survive_restart,
    job,
)


@asynccontextmanager
async def in_memory(_name: str) -> AsyncIterator[BackfillJobStore]:
    yield MemoryBackfillJobStore()


def in_files(directory: Path) -> OpenJobStore:
    @asynccontextmanager
    async def opened(name: str) -> AsyncIterator[BackfillJobStore]:
        database = SQLiteDatabase(directory / f"{name}.sqlite3")
        await database.open()
        try:
            yield SQLiteBackfillJobStore(database)
        finally:
            await database.close()

    return opened


@asynccontextmanager
async def in_schemas(url: str) -> AsyncIterator[OpenJobStore]:
    """How to open PostgreSQL stores, one schema for each name."""
    async with AsyncExitStack() as stack:
        schemas: dict[str, str] = {}

        @asynccontextmanager
        async def opened(name: str) -> AsyncIterator[BackfillJobStore]:
            if name not in schemas:
                schemas[name] = await stack.enter_async_context(own_schema(url))
            async with opened_database(url, schemas[name]) as database:
                yield PostgresBackfillJobStore(database)

        yield opened


@pytest.fixture(
    params=["memory", "sqlite", "postgresql", pytest.param("timescaledb", marks=pytest.mark.timescale)]
)
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenJobStore]:
    """How to open stores of one implementation."""
    match request.param:
        case "memory":
            yield in_memory
        case "sqlite":
            yield in_files(tmp_path)
        case kind:
            url = request.getfixturevalue("postgres_url" if kind == "postgresql" else "timescale_url")
            async with in_schemas(url) as opened:
                yield opened


@pytest.mark.parametrize("check", JOB_STORE_CHECKS, ids=lambda check: check.__name__)
async def test_promises(open_store: OpenJobStore, check: JobCheck) -> None:
    async with open_store(check.__name__) as store:
        await check(store)


async def test_durability(tmp_path: Path, postgres_url: str) -> None:
    await check_jobs_survive_restart(in_files(tmp_path))
    async with in_schemas(postgres_url) as opened:
        await check_jobs_survive_restart(opened)


async def test_the_suite_finds_a_store_that_forgets() -> None:
    with pytest.raises(AssertionError, match="after a restart"):
        await check_jobs_survive_restart(in_memory)


class _BelievesOldOwners(MemoryBackfillJobStore):
    """A store with one fault: it looks at the owner and not at the token."""

    async def report(self, lease: JobLease, report: JobReport, *, now_ms: int, lease_ms: int) -> bool:
        row = self._rows[lease.job_id]
        current = JobLease(lease.job_id, row.owner, row.token)
        return await super().report(current, report, now_ms=now_ms, lease_ms=lease_ms)


class _ForgetsNothing(MemoryBackfillJobStore):
    """A store with one fault: it takes as many open jobs as come."""

    async def add(self, job: BackfillJob, *, open_max: int, kept_max: int) -> bool:
        return await super().add(job, open_max=10**6, kept_max=kept_max)


@pytest.mark.parametrize("faulty", [_BelievesOldOwners, _ForgetsNothing])
async def test_the_suite_finds_a_fault(faulty: type[MemoryBackfillJobStore]) -> None:
    @asynccontextmanager
    async def opened(_name: str) -> AsyncIterator[BackfillJobStore]:
        yield faulty()

    with pytest.raises(AssertionError):
        await check_backfill_job_store(opened, durable=False)


async def test_two_processes_on_one_file_never_own_one_job_together(tmp_path: Path) -> None:
    first, second = (SQLiteDatabase(tmp_path / "jobs.sqlite3") for _ in range(2))
    await first.open()
    await second.open()
    try:
        stores = [SQLiteBackfillJobStore(first), SQLiteBackfillJobStore(second)]
        for number in range(20):
            assert await stores[0].add(job(number), open_max=99, kept_max=99)
        found = await asyncio.gather(
            *(stores[n % 2].claim(f"owner {n}", now_ms=NOW, lease_ms=LEASE) for n in range(40))
        )
        ids = [claim[0].id for claim in found if claim is not None]
        assert len(ids) == len(set(ids)) == 20
    finally:
        await first.close()
        await second.close()
