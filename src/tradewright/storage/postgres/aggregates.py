"""TimescaleDB's continuous aggregates: what a write made stale is refreshed, and nothing else is lost.

A refresh can't be part of a transaction, so it may fail or be killed at any moment. What is to be
refreshed is therefore in the table of stale days, which only a refresh that came to its end shortens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from tradewright.domain.errors import ConfigError, StorageUnavailable
from tradewright.domain.intervals import Interval
from tradewright.domain.timeframes import DAY_MS, ONE_DAY
from tradewright.runtime.clock import Clock
from tradewright.storage.postgres.errors import DRIVER_ERRORS, as_unavailable, described

_log = logging.getLogger(__name__)

_POLL_S: Final = 10.0
_WINDOW_DAYS_MAX: Final = 30
_PASS_TIMEOUT_S: Final = 1_800.0
_LOCK: Final = 0x74776273

_DAYS: Final = (
    "SELECT DISTINCT day_ms FROM stale_days WHERE day_ms >= $1 AND day_ms < $2 ORDER BY day_ms LIMIT $3"
)
_DAYS_READ: Final = 1_000
_MARKS: Final = "SELECT series_id, day_ms, mark FROM stale_days WHERE day_ms >= $1 AND day_ms < $2"
_REFRESH: Final = (
    "CALL refresh_continuous_aggregate('hour_rollups', $1::bigint, $2::bigint)",
    "CALL refresh_continuous_aggregate('day_rollups', $1::bigint, $2::bigint)",
)
# A day that was changed during the refresh has another mark by now and stays stale.
_FORGET: Final = (
    "DELETE FROM stale_days "
    "USING unnest($1::integer[], $2::bigint[], $3::bigint[]) AS seen (series, day, mark) "
    "WHERE series_id = seen.series AND day_ms = seen.day AND stale_days.mark = seen.mark"
)
_POLICIES: Final = """
SELECT
    proc_name, hypertable_name, config ->> 'drop_after' AS drop_after,
    config ->> 'start_offset' AS start_offset
FROM timescaledb_information.jobs
WHERE hypertable_schema = current_schema()
    AND proc_name IN ('policy_retention', 'policy_refresh_continuous_aggregate')
"""
_SOURCES: Final = {"hour_rollups": "minutes", "day_rollups": "hour_rollups"}
_FAR_MS: Final = 2**62


@dataclass(frozen=True, slots=True)
class Policies:
    """What the server does by itself, in milliseconds before now: after how long it drops what a table
    holds, None where it does not say, and how far the refresh of an aggregate looks back."""

    drop_after_ms: dict[str, int | None]
    start_offset_ms: dict[str, int | None]

    @property
    def problems(self) -> list[str]:
        """A sentence for each aggregate whose refresh would look at what was dropped and take it for gone."""
        return [
            f"What the table {source} holds is dropped before the refresh of {aggregate} looks at it for the "
            "last time, which would delete history: change one of the two policies of TimescaleDB."
            for aggregate, source in _SOURCES.items()
            if source in self.drop_after_ms
            and aggregate in self.start_offset_ms
            and not _before(self.start_offset_ms[aggregate], self.drop_after_ms[source])
        ]

    def refreshable_from(self, now_ms: int) -> int:
        """The first day that may be refreshed: of earlier ones, minutes may be dropped already."""
        dropped = [now_ms if after is None else after for after in self.drop_after_ms.values()]
        return ONE_DAY.ceil(now_ms - min(dropped)) + DAY_MS if dropped else -_FAR_MS


def _before(start_offset_ms: int | None, drop_after_ms: int | None) -> bool:
    return start_offset_ms is not None and drop_after_ms is not None and start_offset_ms < drop_after_ms


async def policies(connection: Any) -> Policies:
    """The policies on our tables, whoever made them."""
    drops: dict[str, int | None] = {}
    offsets: dict[str, int | None] = {}
    for row in await connection.fetch(_POLICIES):
        retention = row["proc_name"] == "policy_retention"
        text = row["drop_after" if retention else "start_offset"]
        (drops if retention else offsets)[row["hypertable_name"]] = None if text is None else int(text)
    return Policies(drops, offsets)


async def refuse_policies_that_delete(connection: Any) -> None:
    """``ConfigError`` where retention and refresh together would delete bars from the aggregates."""
    if problems := (await policies(connection)).problems:
        raise ConfigError(problems)


class AggregateRefresher:
    """Refreshes the days that writes made stale, once they are over, one program at a time."""

    def __init__(self, connect: Callable[[], Awaitable[Any]], clock: Clock) -> None:
        self._connect = connect
        self._clock = clock

    async def run(self) -> None:
        """Look for stale days again and again, until cancelled."""
        while True:
            await self._clock.sleep(_POLL_S)
            try:
                await self.refresh()
            except StorageUnavailable as error:
                _log.warning("stale bars are not refreshed yet: %s", error.message)

    async def refresh(self, before_ms: int | None = None) -> int:
        """Refresh all stale days that end by ``before_ms``, by now where none is given; return how many.

        0 also where another program is at it. ``StorageUnavailable`` where the server is away or
        refuses; what was not refreshed stays stale, and readers get it from the minutes.
        """
        now_ms = self._clock.now_ms()
        until_ms = ONE_DAY.floor(now_ms if before_ms is None else before_ms)
        try:
            connection = await self._connect()
            try:
                async with asyncio.timeout(_PASS_TIMEOUT_S):
                    if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                        return 0
                    first_ms = (await policies(connection)).refreshable_from(now_ms)
                    return await _refresh_all(connection, first_ms, until_ms)
            finally:
                connection.terminate()
        except (*DRIVER_ERRORS, TimeoutError) as error:
            _log.warning("a refresh ended early: %s", described(error))
            raise as_unavailable(error) or StorageUnavailable("The database ended a refresh.") from error


async def _refresh_all(connection: Any, first_ms: int, until_ms: int) -> int:
    refreshed = 0
    while days := [row[0] for row in await connection.fetch(_DAYS, first_ms, until_ms, _DAYS_READ)]:
        for window in _windows(days):
            await _refresh_window(connection, window)
        refreshed += len(days)
        first_ms = days[-1] + DAY_MS
    return refreshed


async def _refresh_window(connection: Any, window: Interval) -> None:
    seen = await connection.fetch(_MARKS, *window)
    for statement in _REFRESH:
        await connection.execute(statement, *window)
    await connection.execute(_FORGET, *([row[column] for row in seen] for column in range(3)))


def _windows(days: list[int]) -> Iterator[Interval]:
    """Days, ascending, as intervals of neighbours that one refresh can take in."""
    start = end = days[0]
    for day in days:
        if day > end or day - start >= _WINDOW_DAYS_MAX * DAY_MS:
            yield Interval(start, end)
            start = day
        end = day + DAY_MS
    yield Interval(start, end)
