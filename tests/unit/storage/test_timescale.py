"""TimescaleDB: what is read is right before, during and after a refresh, and no policy deletes history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import pytest

from tests.support.postgres_schemas import execute, fetch, opened_database, own_schema
from tradewright.domain.bars import Bars
from tradewright.domain.errors import ConfigError
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import ImportCounts, SeriesBars
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, ONE_DAY, ONE_HOUR
from tradewright.runtime.clock import SystemClock
from tradewright.storage.postgres import PostgresBarStore, PostgresDatabase, PostgresInstrumentStore
from tradewright.storage.postgres.aggregates import AggregateRefresher
from tradewright.testing.bar_store_rollup_checks import ROLLUP_CHECKS, expect_resampled
from tradewright.testing.store_material import ALL_TIME, KEY, Check, batch, row_at
from tradewright.testing.stores import Stores

pytestmark = pytest.mark.timescale

FAR_MS: Final = 2**52
FIRST_MS: Final = 1_600_041_600_000  # 2020-09-14 00:00 UTC


@pytest.fixture
async def database(timescale_url: str) -> AsyncIterator[PostgresDatabase]:
    """Return an open database in a schema of its own."""
    async with own_schema(timescale_url) as schema, opened_database(timescale_url, schema) as opened:
        yield opened


def refresher_of(database: PostgresDatabase) -> AggregateRefresher:
    """Return what refreshes its aggregates."""
    refresher = database.refresher()
    assert refresher is not None
    return refresher


def days_of_minutes(first: int, count: int, version: int = 0) -> SeriesBars:
    """Return whole days with a bar each ten minutes."""
    start, end = FIRST_MS + first * DAY_MS, FIRST_MS + (first + count) * DAY_MS
    rows = [row_at(time, version) for time in range(start, end, 10 * MINUTE_MS)]
    return SeriesBars(KEY, Bars.from_rows(rows), IntervalSet.single(start, end))


async def expect_right(database: PostgresDatabase) -> None:
    """Hours and days are what the stored minutes make."""
    store = PostgresBarStore(database)
    minutes = await store.read(KEY, *ALL_TIME)
    for timeframe in (ONE_HOUR, ONE_DAY):
        await expect_resampled(store, KEY.instrument, minutes, timeframe, *ALL_TIME)


class RefreshedStore(PostgresBarStore):
    """Refreshes after each write, so that readers meet aggregates and never minutes."""

    def __init__(self, database: PostgresDatabase) -> None:
        super().__init__(database)
        self._refresher = refresher_of(database)

    async def write(self, data: SeriesBars, *, outage: IntervalSet = NO_INTERVALS) -> None:
        """Write and refresh."""
        await super().write(data, outage=outage)
        await self._refresher.refresh(FAR_MS)

    async def import_bars(self, batches: Sequence[SeriesBars], **options: Any) -> ImportCounts:
        """Import and refresh."""
        counts = await super().import_bars(batches, **options)
        await self._refresher.refresh(FAR_MS)
        return counts


@pytest.mark.parametrize("check", ROLLUP_CHECKS, ids=lambda check: check.__name__)
async def test_the_promises_hold_of_what_was_refreshed(
    database: PostgresDatabase, timescale_url: str, check: Check
) -> None:
    await check(Stores(RefreshedStore(database), PostgresInstrumentStore(database)))
    assert await fetch(timescale_url, f"SELECT FROM {database.schema}.stale_days") == []


async def test_only_days_that_are_over_are_refreshed(database: PostgresDatabase, timescale_url: str) -> None:
    store, refresher = PostgresBarStore(database), refresher_of(database)
    today = ONE_DAY.floor(SystemClock().now_ms())
    rows = [row_at(today + shift, 1) for shift in (-DAY_MS, -MINUTE_MS, 0)]
    await store.write(SeriesBars(KEY, Bars.from_rows(rows), NO_INTERVALS))
    assert await refresher.refresh() >= 1
    left = await fetch(timescale_url, f"SELECT day_ms FROM {database.schema}.stale_days")
    assert [row[0] for row in left] in ([today], [])
    await expect_right(database)


async def test_a_gap_filled_long_after_is_in_the_aggregate(
    database: PostgresDatabase, timescale_url: str
) -> None:
    store, refresher = PostgresBarStore(database), refresher_of(database)
    await store.write(days_of_minutes(0, 10))
    await store.write(days_of_minutes(12, 10))
    assert await refresher.refresh() == 20
    await store.write(days_of_minutes(10, 2))
    await expect_right(database)
    assert await refresher.refresh() == 2
    await expect_right(database)
    ((hours,),) = await fetch(timescale_url, f"SELECT count(*) FROM {database.schema}.hour_rollups")
    assert hours == 22 * 24


async def test_a_write_during_a_refresh_stays_stale(database: PostgresDatabase) -> None:
    store, refresher = PostgresBarStore(database), refresher_of(database)
    await store.write(days_of_minutes(0, 60))

    async def write() -> None:
        for version in range(1, 16):
            await store.write(days_of_minutes(version * 4 % 60, 1, version))
            await expect_right(database)

    async def refresh() -> None:
        for _ in range(8):
            await refresher.refresh()

    await asyncio.gather(write(), refresh(), refresh())
    await expect_right(database)
    await refresher.refresh()
    await expect_right(database)


async def test_a_refresh_that_is_killed_loses_nothing(database: PostgresDatabase, timescale_url: str) -> None:
    store, refresher = PostgresBarStore(database), refresher_of(database)
    await store.write(days_of_minutes(0, 90))
    for version in range(1, 6):
        await store.write(days_of_minutes(0, 90, version))
        refreshing = asyncio.create_task(refresher.refresh(), name="refresh")
        await asyncio.wait({refreshing}, timeout=0.02 * version)
        await fetch(
            timescale_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL refresh%'",
        )
        await asyncio.gather(refreshing, return_exceptions=True)
        await expect_right(database)
    await refresher.refresh()
    await expect_right(database)


async def test_corrections_reach_into_compressed_chunks(
    database: PostgresDatabase, timescale_url: str
) -> None:
    store, refresher = PostgresBarStore(database), refresher_of(database)
    await store.write(days_of_minutes(0, 70))
    await refresher.refresh()
    await fetch(timescale_url, f"SELECT compress_chunk(c) FROM show_chunks('{database.schema}.minutes') c")
    await store.write(days_of_minutes(5, 1, 1))
    await store.write(SeriesBars(KEY, Bars.empty(), IntervalSet.single(FIRST_MS, FIRST_MS + HOUR_MS)))
    await store.write(batch([0], key=KEY))
    await store.write(days_of_minutes(65, 10, 2))
    bars = await store.read(KEY, FIRST_MS + 5 * DAY_MS, FIRST_MS + 6 * DAY_MS)
    assert bars.equals(days_of_minutes(5, 1, 1).bars)
    assert len(await store.read(KEY, FIRST_MS, FIRST_MS + HOUR_MS)) == 0
    await expect_right(database)
    await refresher.refresh()
    await expect_right(database)


async def test_policies_that_would_delete_history_are_refused(
    database: PostgresDatabase, timescale_url: str
) -> None:
    schema = database.schema
    await database.close()

    async def with_retention(days: int) -> None:
        await execute(
            timescale_url,
            f"SELECT remove_retention_policy('{schema}.minutes', true)",
            f"SELECT add_retention_policy('{schema}.minutes', {days * DAY_MS}::bigint, "
            "initial_start => now() + interval '1 day')",
        )

    await with_retention(14)  # the refresh of the hours looks back a fortnight
    with pytest.raises(ConfigError, match="delete history") as refusal:
        await PostgresDatabase(timescale_url, schema=schema).open()
    assert "hour_rollups" in refusal.value.problems[0]
    await with_retention(15)
    async with opened_database(timescale_url, schema):
        pass
    await execute(
        timescale_url,
        f"SELECT remove_continuous_aggregate_policy('{schema}.hour_rollups')",
        f"SELECT add_continuous_aggregate_policy('{schema}.hour_rollups', start_offset => NULL, "
        f"end_offset => {HOUR_MS}::bigint, schedule_interval => interval '1 day', "
        "initial_start => now() + interval '1 day')",
    )
    with pytest.raises(ConfigError, match="delete history"):
        await PostgresDatabase(timescale_url, schema=schema).open()


async def test_retention_over_four_hundred_days_loses_no_bucket(
    database: PostgresDatabase, timescale_url: str
) -> None:
    store, refresher, schema = PostgresBarStore(database), refresher_of(database), database.schema
    today = ONE_DAY.floor(SystemClock().now_ms())
    start = today - 400 * DAY_MS
    rows = [row_at(time, 0) for time in range(start, today, 30 * MINUTE_MS)]
    await store.write(SeriesBars(KEY, Bars.from_rows(rows), IntervalSet.single(start, today)))
    await refresher.refresh()
    await execute(
        timescale_url,
        f"SELECT add_retention_policy('{schema}.minutes', {60 * DAY_MS}::bigint, "
        "initial_start => now() + interval '1 day')",
    )
    jobs = await fetch(
        timescale_url,
        f"SELECT job_id FROM timescaledb_information.jobs WHERE hypertable_schema = '{schema}' "
        "AND proc_name <> 'policy_compression' ORDER BY proc_name DESC",
    )
    for _ in range(2):
        for (job,) in jobs:
            await execute(timescale_url, f"CALL run_job({job})")
        await refresher.refresh()
    assert len(await store.read(KEY, *ALL_TIME)) < len(rows) / 4, "minutes were dropped"
    whole = resample(Bars.from_rows(rows), ONE_HOUR)
    found = await store.read_resampled(KEY.instrument, ONE_HOUR, *ALL_TIME)
    assert found.time.tolist() == whole.time.tolist()
    assert len(await store.read_resampled(KEY.instrument, ONE_DAY, *ALL_TIME)) == 400
