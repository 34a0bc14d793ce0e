"""The embedded database in trouble: deadlines, cancellations, locks, a full disk, damage, other processes."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tradewright.domain.errors import StorageUnavailable
from tradewright.domain.ports import Coverage, ImportCounts, SeriesBars, StoredBarDiffers
from tradewright.domain.timeframes import ONE_DAY, ONE_HOUR
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase, SQLiteInstrumentStore
from tradewright.storage.sqlite.series import READ_COVERAGE
from tradewright.testing.bar_store_rollup_checks import expect_resampled
from tradewright.testing.store_material import ALL_TIME, KEY, bars_at, batch, minutes

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
CRASHING_IMPORT = Path(__file__).with_name("crashing_import.py")
WRITING_FOREVER = Path(__file__).with_name("writing_forever.py")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SQLiteDatabase]:
    """Open an empty database with one reader."""
    opened = SQLiteDatabase(tmp_path / "market.sqlite3", readers=1, pending_max=8)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def store(database: SQLiteDatabase) -> SQLiteBarStore:
    """Return the bar store in it."""
    return SQLiteBarStore(database)


async def expect_store_works(store: SQLiteBarStore) -> None:
    """Write, and read what was written, without waiting for anything that was given up before."""
    async with asyncio.timeout(10):
        await store.write(batch([30, 31], (30, 33), version=2))
        bars, known = await store.read_with_coverage(KEY, *ALL_TIME)
    assert bars.equals(bars_at([30, 31], 2))
    assert known == Coverage(minutes((30, 33)))


async def test_a_read_past_its_deadline_is_interrupted(
    database: SQLiteDatabase, store: SQLiteBarStore
) -> None:
    with pytest.raises(StorageUnavailable, match="in time"):
        await database.read(lambda connection: connection.execute(ENDLESS).fetchall(), timeout_s=0.2)
    await expect_store_works(store)  # by the only reader thread, so it is free again


async def test_a_write_past_its_deadline_is_undone(database: SQLiteDatabase, store: SQLiteBarStore) -> None:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO series (market, provider, symbol, timeframe) VALUES ('m', 'p', 's', '1m')"
        )
        connection.execute(ENDLESS).fetchall()

    with pytest.raises(StorageUnavailable, match="in time"):
        await database.write(work, timeout_s=0.2)
    await expect_store_works(store)
    symbols = await database.read(
        lambda connection: connection.execute("SELECT symbol FROM series").fetchall()
    )
    assert symbols == [(KEY.symbol,)]


@pytest.mark.parametrize("chunks", [1, 3])
async def test_a_cancelled_write_leaves_nothing_behind(
    database: SQLiteDatabase, store: SQLiteBarStore, chunks: int
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work(connection: sqlite3.Connection) -> None:
        for number in range(chunks):
            connection.execute(
                "INSERT INTO series (market, provider, symbol, timeframe) VALUES ('m', 'p', ?, '1m')",
                (str(number),),
            )
        begun.set()
        assert go_on.wait(10)

    writing = asyncio.create_task(database.write(work))
    assert await asyncio.to_thread(begun.wait, 10)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    go_on.set()
    await expect_store_works(store)
    count = await database.read(
        lambda connection: connection.execute("SELECT count(*) FROM series").fetchone()
    )
    assert count == (1,)


async def test_a_cancelled_import_stores_nothing(store: SQLiteBarStore) -> None:
    loop = asyncio.get_running_loop()
    importing: asyncio.Task[ImportCounts]

    def progress(_count: int) -> None:
        loop.call_soon_threadsafe(importing.cancel)
        time.sleep(0.05)  # leaves the loop the time to pass the cancellation on, in the midst of the import

    data = batch(list(range(100_000)), (0, 100_000))
    importing = asyncio.create_task(store.import_bars([data], replace=False, progress=progress))
    with pytest.raises(asyncio.CancelledError):
        await importing
    await expect_store_works(store)


async def test_more_calls_than_can_wait_are_refused(database: SQLiteDatabase) -> None:
    release = threading.Event()
    blocked = [asyncio.create_task(database.read(lambda _connection: release.wait(10))) for _ in range(8)]
    await asyncio.sleep(0)
    with pytest.raises(StorageUnavailable, match="keep up"):
        await database.read(lambda connection: connection.execute("SELECT 1").fetchone())
    release.set()
    assert await asyncio.gather(*blocked) == [True] * 8
    assert await database.read(lambda connection: connection.execute("SELECT 1").fetchone()) == (1,)


async def test_a_write_waits_for_another_connection_and_no_longer_than_it_may(
    database: SQLiteDatabase, store: SQLiteBarStore
) -> None:
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable):
        await database.write(lambda connection: connection.execute("SELECT 1").fetchone(), timeout_s=0.3)
    assert len(await store.read(KEY, *ALL_TIME)) == 0, "readers are not in each other's way"
    writing = asyncio.create_task(store.write(batch([1], (1, 2))))
    done, _ = await asyncio.wait({writing}, timeout=0.3)
    assert not done
    other.execute("COMMIT")
    other.close()
    await writing
    assert len(await store.read(KEY, *ALL_TIME)) == 1


async def test_what_another_process_writes_is_seen_at_the_next_call(
    database: SQLiteDatabase, store: SQLiteBarStore
) -> None:
    other = SQLiteDatabase(database.path)
    await other.open()
    for number in range(5):
        await SQLiteBarStore(other).write(batch([number], (number, number + 1)))
        bars, known = await store.read_with_coverage(KEY, *ALL_TIME)
        assert len(bars) == number + 1
        assert known.complete == minutes((0, number + 1))
    await other.close()


async def test_a_full_disk_is_said_and_leaves_the_store_whole(
    database: SQLiteDatabase, store: SQLiteBarStore
) -> None:
    await store.write(batch([0], (0, 1)))

    async def limit_pages(count: int) -> None:
        await database.write(
            lambda connection: connection.execute(f"PRAGMA max_page_count = {count}").fetchall()
        )

    await limit_pages(1)  # which is cut up to what the file has already
    with pytest.raises(StorageUnavailable, match="full"):
        await store.import_bars([batch(list(range(20_000)), (0, 20_000))], replace=True)
    with pytest.raises(StorageUnavailable, match="full"):
        await store.write(batch(list(range(20_000)), (0, 20_000)))
    bars, known = await store.read_with_coverage(KEY, *ALL_TIME)
    assert bars.equals(bars_at([0]))
    assert known == Coverage(minutes((0, 1)))
    await limit_pages(1_000_000)
    await store.import_bars([batch(list(range(20_000)), (0, 20_000))], replace=True)
    assert len(await store.read(KEY, *ALL_TIME)) == 20_000


@contextmanager
def files_end_at(size_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond the size, as a disk that has no room more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_on_a_disk_that_fills_up_nothing_accepted_is_lost_and_writing_goes_on(
    database: SQLiteDatabase, store: SQLiteBarStore
) -> None:
    page, accepted = 500, 0

    async def write_pages(count: int) -> None:
        nonlocal accepted
        for _ in range(count):
            indices = list(range(accepted, accepted + page))
            await store.write(batch(indices, (accepted, accepted + page)))
            accepted += page

    async def expect_all_that_was_accepted() -> None:
        bars, known = await store.read_with_coverage(KEY, *ALL_TIME)
        assert bars.equals(bars_at(list(range(accepted))))
        assert known == Coverage(minutes((0, accepted)))
        for timeframe in (ONE_HOUR, ONE_DAY):
            await expect_resampled(store, KEY.instrument, bars, timeframe, *ALL_TIME)
        (sound,) = await database.read(
            lambda connection: connection.execute("PRAGMA integrity_check").fetchone()
        )
        assert sound == "ok"

    with files_end_at(1_000_000):
        with pytest.raises(StorageUnavailable, match="disk"):
            await write_pages(1_000)
        assert accepted > 0
        for _ in range(3):
            with pytest.raises(StorageUnavailable, match="disk"):
                await store.write(batch(list(range(50_000)), (0, 50_000), version=1))
        await expect_all_that_was_accepted()
    await write_pages(3)
    await expect_all_that_was_accepted()


async def test_a_check_tells_when_nothing_can_be_written(
    database: SQLiteDatabase, store: SQLiteBarStore
) -> None:
    await store.check()
    with files_end_at(4_096), pytest.raises(StorageUnavailable, match="disk"):
        await store.check()
    await store.check()
    await expect_store_works(store)
    await database.close()
    with pytest.raises(StorageUnavailable, match="closed"):
        await store.check()


async def test_a_check_tells_when_the_disk_has_no_room(tmp_path: Path) -> None:
    database = SQLiteDatabase(tmp_path / "market.sqlite3", free_bytes_min=2**62)
    await database.open()
    with pytest.raises(StorageUnavailable, match="disk that holds the database is full"):
        await SQLiteBarStore(database).check()
    await database.close()


async def test_a_check_does_not_wait_for_an_import(database: SQLiteDatabase, store: SQLiteBarStore) -> None:
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await database.check(timeout_s=2)
        other.execute("ROLLBACK")
    await store.check()


async def test_a_check_changes_nothing_but_is_written(database: SQLiteDatabase) -> None:
    def version(connection: sqlite3.Connection) -> tuple[int, int]:
        (number,) = connection.execute("PRAGMA user_version").fetchone()
        (schema,) = connection.execute("PRAGMA schema_version").fetchone()
        return number, schema

    before = await database.read(version)
    log = database.path.with_name(f"{database.path.name}-wal")
    size = log.stat().st_size
    await database.check()
    assert log.stat().st_size > size
    assert await database.read(version) == before


async def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "damaged.sqlite3"
    database = SQLiteDatabase(path)
    await database.open()
    await SQLiteBarStore(database).write(batch(list(range(20_000)), (0, 20_000)))
    await database.close()
    content = bytearray(path.read_bytes())
    # Behind the pages that hold the schema: those are looked at when the file is opened.
    for offset in range(32 * 4_096, len(content) - 600, 4_096):
        content[offset : offset + 600] = os.urandom(600)
    path.write_bytes(content)
    reopened = SQLiteDatabase(path)
    await reopened.open()
    with pytest.raises(StorageUnavailable, match="damaged"):
        await SQLiteBarStore(reopened).read(KEY, *ALL_TIME)
    await reopened.close()


@pytest.mark.parametrize("content", [b"this is a text and no database" * 200])
async def test_a_file_that_is_no_database_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.sqlite3"
    path.write_bytes(content)
    database = SQLiteDatabase(path)
    with pytest.raises(StorageUnavailable, match="not a database"):
        await database.open()
    await database.close()
    assert await asyncio.to_thread(path.read_bytes) == content


async def test_a_missing_directory_is_said(tmp_path: Path) -> None:
    database = SQLiteDatabase(tmp_path / "missing" / "market.sqlite3")
    with pytest.raises(StorageUnavailable, match="can't be opened"):
        await database.open()
    await database.close()


async def test_odd_paths_are_only_paths(tmp_path: Path) -> None:
    directory = tmp_path / "a b?mode=memory#c%41"
    directory.mkdir()
    database = SQLiteDatabase(directory / "märket.sqlite3")
    await database.open()
    await expect_store_works(SQLiteBarStore(database))
    await database.close()
    assert os.listdir(directory) == ["märket.sqlite3"]


async def test_closed_means_closed(tmp_path: Path) -> None:
    database = SQLiteDatabase(tmp_path / "market.sqlite3")
    await database.open()
    store = SQLiteBarStore(database)
    writing = asyncio.create_task(store.write(batch(list(range(50_000)), (0, 50_000))))
    await asyncio.sleep(0)
    await database.close()
    await writing
    with pytest.raises(StorageUnavailable, match="closed"):
        await store.read(KEY, *ALL_TIME)
    with pytest.raises(StorageUnavailable, match="closed"):
        await store.write(batch([1]))
    assert os.listdir(tmp_path) == ["market.sqlite3"], "the last connection tidies up"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sqlite-")]


async def test_only_an_import_waits_for_the_disk(database: SQLiteDatabase, store: SQLiteBarStore) -> None:
    async def level() -> int:
        (found,) = await database._writer.run(
            lambda connection, _ticket: connection.execute("PRAGMA synchronous").fetchone(), 10
        )
        return int(found)

    await store.import_bars([batch([1], (1, 2))], replace=False)
    assert await level() == 2
    await store.write(batch([2], (2, 3)))
    assert await level() == 1


async def test_readers_can_write_nothing(database: SQLiteDatabase) -> None:
    with pytest.raises(StorageUnavailable, match="may not be written"):
        await database.read(lambda connection: connection.execute("DELETE FROM bars"))


@pytest.mark.parametrize(
    "values",
    [
        (float("nan"), 2.0, 1.0, 1.5, 0.0),
        (1.5, float("inf"), 1.0, 1.5, 0.0),
        (1.5, 2.0, 0.0, 1.5, 0.0),
        (1.5, 2.0, 1.6, 1.5, 0.0),
        (1.5, 1.4, 1.0, 1.3, 0.0),
        (1.5, 2.0, 1.0, 1.5, -1.0),
        (1.5, 2.0, 1.0, 1.5, float("inf")),
        (1.5, 2.0, 1.0, 1.5, float("nan")),
        ("a", 2.0, 1.0, 1.5, 1.0),
    ],
)
async def test_the_schema_itself_refuses_what_is_impossible(
    database: SQLiteDatabase, store: SQLiteBarStore, values: tuple[float, ...]
) -> None:
    await store.write(batch([0], (0, 1)))
    with pytest.raises(sqlite3.IntegrityError):
        await database.write(
            lambda connection: connection.execute("INSERT INTO bars VALUES (1, 60000, ?, ?, ?, ?, ?)", values)
        )
    with pytest.raises(sqlite3.IntegrityError):
        await database.write(
            lambda connection: connection.execute("INSERT INTO bars VALUES (99, 60000, 1, 1, 1, 1, 1)")
        )


async def test_killed_while_writing_the_coverage_never_vouches_for_what_is_not_there(tmp_path: Path) -> None:
    chance = random.Random(7)
    path = tmp_path / "killed.sqlite3"
    covered_ms = 0
    for _ in range(5):
        writer = await asyncio.create_subprocess_exec(
            sys.executable, WRITING_FOREVER, path, stdout=asyncio.subprocess.PIPE
        )
        assert writer.stdout is not None
        assert await asyncio.wait_for(writer.stdout.readline(), 30) == b"ready\n"
        await asyncio.sleep(chance.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        assert await asyncio.wait_for(writer.wait(), 30) == -signal.SIGKILL
        database = SQLiteDatabase(path)
        await database.open()
        bars, known = await SQLiteBarStore(database).read_with_coverage(KEY, *ALL_TIME)
        await database.close()
        assert bars.equals(bars_at(list(range(len(bars)))))
        assert known == Coverage(minutes((0, len(bars))))
        assert known.complete.length_ms >= covered_ms, "what was committed stays"
        covered_ms = known.complete.length_ms
    assert covered_ms > 0


async def test_killed_in_the_midst_of_an_import_nothing_of_it_is_there(tmp_path: Path) -> None:
    path = tmp_path / "killed.sqlite3"
    for chunk in (1, 3, 5):
        importer = await asyncio.create_subprocess_exec(sys.executable, CRASHING_IMPORT, path, str(chunk))
        assert await asyncio.wait_for(importer.wait(), 30) == -signal.SIGKILL
        database = SQLiteDatabase(path)
        await database.open()
        store = SQLiteBarStore(database)
        assert len(await store.read(KEY, *ALL_TIME)) == 0
        assert await store.coverage(KEY, *ALL_TIME) == Coverage()
        assert await store.series(KEY.instrument) == ()
        assert await SQLiteInstrumentStore(database).registered_providers(KEY.market) == ()
        await database.close()


async def test_killed_after_an_import_its_bars_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "killed.sqlite3"
    importer = await asyncio.create_subprocess_exec(sys.executable, CRASHING_IMPORT, path, "0")
    assert await asyncio.wait_for(importer.wait(), 30) == -signal.SIGKILL
    database = SQLiteDatabase(path)
    await database.open()
    assert len(await SQLiteBarStore(database).read(KEY, *ALL_TIME)) == 100_000
    instruments = SQLiteInstrumentStore(database)
    assert await instruments.registered_providers(KEY.market) == (KEY.provider,)
    assert await instruments.instrument(KEY.instrument) is not None
    await database.close()


async def test_an_import_and_a_server_write_at_the_same_time(
    database: SQLiteDatabase, store: SQLiteBarStore
) -> None:
    other_process = SQLiteDatabase(database.path)
    await other_process.open()
    imported = batch(list(range(100_000)), (0, 100_000))

    async def serve() -> None:
        for number in range(100_000, 100_040):
            await store.write(batch([number], (number, number + 1)))

    async with asyncio.timeout(60):
        await asyncio.gather(SQLiteBarStore(other_process).import_bars([imported], replace=False), serve())
    await other_process.close()
    bars, known = await store.read_with_coverage(KEY, *ALL_TIME)
    assert len(bars) == 100_040
    assert known == Coverage(minutes((0, 100_040)))


async def test_a_refused_import_names_the_first_contradiction(store: SQLiteBarStore) -> None:
    await store.write(batch(list(range(60_000)), (0, 60_000)))
    other = batch([*range(45_000), *range(45_001, 60_000)], (0, 60_000))
    with pytest.raises(StoredBarDiffers) as refusal:
        await store.import_bars([other], replace=False)
    assert refusal.value.time_ms == bars_at([45_000]).time[0]


async def test_one_bar_more_searches_a_ragged_coverage_and_does_not_scan_it(
    database: SQLiteDatabase, store: SQLiteBarStore
) -> None:
    pieces = minutes(*((index, index + 1) for index in range(0, 40_000, 2)))
    await store.write(SeriesBars(KEY, bars_at([]), pieces))
    await store.write(batch([40_001], (40_001, 40_002)))
    assert await store.coverage(KEY, *ALL_TIME) == Coverage(pieces.union(minutes((40_001, 40_002))))
    plan = await database.read(
        lambda connection: connection.execute(
            f"EXPLAIN QUERY PLAN {READ_COVERAGE}", (1, 0, 60_000)
        ).fetchall()
    )
    assert plan
    assert not [detail for *_, detail in plan if "SCAN" in detail or "TEMP" in detail]
