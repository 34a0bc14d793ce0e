"""Migrations: all or nothing when killed, one runner at a time, and refusals in one sentence."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import sqlite3
import sys
from pathlib import Path

import pytest

from tradewright.domain.bars import Bars
from tradewright.domain.errors import ConfigError, StorageUnavailable
from tradewright.domain.timeframes import TIMEFRAMES
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase
from tradewright.storage.sqlite.migrations import APPLICATION_ID, Step, migrate, shipped_steps
from tradewright.testing.bar_store_rollup_checks import expect_resampled
from tradewright.testing.store_material import ALL_TIME, KEY, bars_at, batch, row_at

CRASHING_START = Path(__file__).with_name("crashing_start.py")


def schema(path: Path) -> tuple[int, tuple[str, ...]]:
    """Return the version and every definition of the database."""
    connection = sqlite3.connect(path)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        rows = connection.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
        ).fetchall()
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()
    return version, tuple(sql for (sql,) in rows)


async def whole_schema(path: Path) -> tuple[int, tuple[str, ...]]:
    """Return the schema that an undisturbed start makes."""
    database = SQLiteDatabase(path)
    await database.open()
    await database.close()
    return schema(path)


async def test_killed_at_every_moment_nothing_is_half_done(tmp_path: Path) -> None:
    whole = await whole_schema(tmp_path / "whole.sqlite3")
    steps = shipped_steps()
    prefixes = [_schema_after(tmp_path / f"prefix{count}", steps[:count]) for count in range(len(steps) + 1)]
    assert prefixes[-1] == whole
    moments = sum(len(step.statements) + 3 for step in steps)
    seen = set()
    for fatal in range(1, moments + 2):
        path = tmp_path / f"killed{fatal}.sqlite3"
        ended = await asyncio.create_subprocess_exec(sys.executable, CRASHING_START, path, str(fatal))
        code = await asyncio.wait_for(ended.wait(), 30)
        assert code == (-signal.SIGKILL if fatal <= moments else 0)
        left = schema(path)
        assert left in prefixes, f"a half-made schema after moment {fatal}"
        seen.add(left[0])
        assert await whole_schema(path) == whole, "the next start finishes"
    assert seen == set(range(len(steps) + 1))


def _schema_after(path: Path, steps: tuple[Step, ...]) -> tuple[int, tuple[str, ...]]:
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, steps, _begin)
    connection.close()
    return schema(path)


def _begin(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")


def minutes_before_rollups(path: Path) -> Bars:
    """Store minutes of many hours, before 1970 and after it, by the schema that had no rollups."""
    chance = random.Random(3)
    times = [60_000 * index for index in range(-3_000, 3_000) if chance.random() < 0.7]
    bars = Bars.from_rows([row_at(time, chance.randrange(5)) for time in times])
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, shipped_steps()[:2], _begin)
    for number, timeframe in ((1, "1m"), (2, "5m")):
        connection.execute(
            "INSERT INTO series VALUES (?, ?, ?, ?, ?)",
            (number, KEY.market, KEY.provider, KEY.symbol, timeframe),
        )
    connection.executemany("INSERT INTO bars VALUES (1, ?, ?, ?, ?, ?, ?)", bars.rows())
    connection.execute("INSERT INTO bars VALUES (2, 300000000, 9, 9, 9, 9, 9)")
    connection.close()
    return bars


async def test_minutes_of_an_older_file_are_rolled_up_wherever_the_step_was_killed(tmp_path: Path) -> None:
    older = tmp_path / "older.sqlite3"
    stored = minutes_before_rollups(older)
    moments = sum(len(step.statements) + 3 for step in shipped_steps()[2:])
    # From the first statement that fills a rollup on; the test above dies at the others as well.
    for fatal in (*range(5, 8), *range(moments - 1, moments + 2)):
        path = tmp_path / f"killed{fatal}.sqlite3"
        shutil.copy(older, path)
        ended = await asyncio.create_subprocess_exec(sys.executable, CRASHING_START, path, str(fatal))
        code = await asyncio.wait_for(ended.wait(), 30)
        assert code == (-signal.SIGKILL if fatal <= moments else 0)
        database = SQLiteDatabase(path)
        await database.open()
        store = SQLiteBarStore(database)
        assert (await store.read(KEY, *ALL_TIME)).equals(stored)
        for timeframe in list(TIMEFRAMES.values())[1:]:
            await expect_resampled(store, KEY.instrument, stored, timeframe, *ALL_TIME)
        assert await store.revision(KEY) == 0
        await store.write(batch([0, 1], (0, 2)))
        both = stored.merged_with(bars_at([0, 1]))
        await expect_resampled(store, KEY.instrument, both, TIMEFRAMES["1d"], *ALL_TIME)
        await database.close()


async def test_of_many_starts_at_once_each_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "shared.sqlite3"
    starts = [SQLiteDatabase(path) for _ in range(8)]
    await asyncio.gather(*(database.open() for database in starts))
    for number, database in enumerate(starts):
        await SQLiteBarStore(database).write(batch([number], (number, number + 1)))
    assert len(await SQLiteBarStore(starts[0]).read(KEY, *ALL_TIME)) == 8
    for database in starts:
        await database.close()
    assert schema(path) == await whole_schema(tmp_path / "whole.sqlite3")


async def test_a_start_waits_for_another_runner_and_gives_up_in_time(tmp_path: Path) -> None:
    path = tmp_path / "locked.sqlite3"
    runner = sqlite3.connect(path, isolation_level=None)
    runner.execute("PRAGMA journal_mode = WAL")
    runner.execute("BEGIN IMMEDIATE")
    waiting = SQLiteDatabase(path)
    with pytest.raises(StorageUnavailable):
        await waiting.open(timeout_s=0.3)
    opening = asyncio.create_task(waiting.open(timeout_s=30))
    done, _ = await asyncio.wait({opening}, timeout=0.3)
    assert not done
    runner.execute("ROLLBACK")
    await opening
    await waiting.close()
    runner.close()


async def test_stored_bars_survive_a_later_step(tmp_path: Path) -> None:
    path = tmp_path / "older.sqlite3"
    database = SQLiteDatabase(path)
    await database.open()
    await SQLiteBarStore(database).write(batch([1, 2], (0, 3)))
    await database.close()
    steps = shipped_steps()
    later = Step(len(steps) + 1, "later", ("ALTER TABLE series ADD COLUMN note TEXT",))
    newer = SQLiteDatabase(path, steps=[*steps, later])
    await newer.open()
    assert len(await SQLiteBarStore(newer).read(KEY, *ALL_TIME)) == 2
    await newer.close()
    shutil.copy(path, tmp_path / "copy.sqlite3")
    with pytest.raises(ConfigError) as refusal:
        await SQLiteDatabase(tmp_path / "copy.sqlite3").open()
    (problem,) = refusal.value.problems
    assert "newer version" in problem
    assert "\n" not in problem
    assert schema(path)[0] == len(steps) + 1, "and nothing was changed"


async def test_a_start_may_take_longer_the_larger_the_file_is(tmp_path: Path) -> None:
    path = tmp_path / "large.sqlite3"
    await whole_schema(path)
    database = SQLiteDatabase(path)
    empty_s = database.open_timeout_s
    with path.open("r+b") as file:
        file.truncate(10 * 2**30)  # no byte of it takes room on the disk
    assert database.open_timeout_s > empty_s + 1_000
    assert SQLiteDatabase(tmp_path / "missing.sqlite3").open_timeout_s >= 60


async def test_a_failing_step_is_undone_and_those_before_it_stay(tmp_path: Path) -> None:
    path = tmp_path / "failing.sqlite3"
    steps = shipped_steps()
    bad = Step(
        len(steps) + 1, "bad", ("CREATE TABLE half (a) STRICT", "CREATE TABLE half (a INTEGER) STRICT")
    )
    with pytest.raises(sqlite3.OperationalError):
        await SQLiteDatabase(path, steps=[*steps, bad]).open()
    assert schema(path) == await whole_schema(tmp_path / "whole.sqlite3")


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE notes (text)"],
        ["PRAGMA application_id = 7"],
        ["CREATE TABLE notes (text)", "PRAGMA user_version = 1"],
        ["PRAGMA user_version = 1", "PRAGMA application_id = 7"],
    ],
)
async def test_the_file_of_another_program_is_left_alone(tmp_path: Path, statements: list[str]) -> None:
    path = tmp_path / "other.sqlite3"
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()
    before = schema(path)
    with pytest.raises(ConfigError, match="another program"):
        await SQLiteDatabase(path).open()
    assert schema(path) == before


async def test_the_file_is_marked_as_ours(tmp_path: Path) -> None:
    path = tmp_path / "ours.sqlite3"
    await whole_schema(path)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
