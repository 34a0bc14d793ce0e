"""``tradewright db``: migrate, backup, and the drill of a restore."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import sqlite3
import stat
import sys
import threading
import zipfile
import zlib
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from tests.support import restore_kills
from tests.support.postgres_schemas import execute
from tests.support.processes import serving
from tradewright.app_extensions.backups import back_up, finish_restore, restore
from tradewright.app_extensions.data_dir import DataDirInUse, DataDirLock
from tradewright.app_extensions.migrate_all import migrate_all
from tradewright.app_extensions.people import PeopleDatabases, people_of
from tradewright.cli import cli
from tradewright.config import TestingConfig
from tradewright.domain.errors import ConfigError, Conflict, InvalidInput, NotFound
from tradewright.runtime.clock import SystemClock
from tradewright.storage.people import AUTH, USER_CONFIGS
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase
from tradewright.testing.people_material import credential, record, session, token
from tradewright.testing.people_stores import check_chain
from tradewright.testing.store_material import ALL_TIME, KEY, batch

NAMES = ("bars.sqlite3", "auth.sqlite3", "user_configs.sqlite3")


def people_in(directory: Path) -> PeopleDatabases:
    """The people's databases of a data directory."""
    return people_of(TestingConfig(data_dir=directory), SystemClock())


async def filled(directory: Path, name: str) -> Path:
    """A data directory with bars, and with somebody of this name who is logged in and has a key."""
    await asyncio.to_thread(directory.mkdir, exist_ok=True)
    bars = SQLiteDatabase(directory / NAMES[0])
    await bars.open()
    await SQLiteBarStore(bars).write(batch([len(name)]))
    await bars.close()
    people = people_in(directory)
    await people.open()
    await people.stores.users.add(record(name, "admin"))
    await people.stores.sessions.add(session(f"id-{name}", name), token(f"session-{name}", name), kept_max=9)
    await people.stores.credentials.add(credential(f"id-{name}", name), kept_max=9)
    await people.close()
    return directory


def command(directory: Path, *arguments: str) -> Result:
    """What ``tradewright db`` says to this, on a data directory; for a thread of its own."""
    return CliRunner().invoke(cli, ["db", *arguments], env={"TRADEWRIGHT_DATA_DIR": str(directory)})


async def state(directory: Path) -> tuple[int, list[str], list[str]]:
    """How many bars there are, who there is, and whose keys."""
    bars = SQLiteDatabase(directory / NAMES[0])
    await bars.open()
    count = len(await SQLiteBarStore(bars).read(KEY, *ALL_TIME))
    await bars.close()
    people = people_in(directory)
    await people.open()
    users = [user.username for user in await people.stores.users.users()]
    keys = [each.label for each in await people.stores.credentials.all()]
    check_chain([event async for event in people.stores.audit.all()])
    await people.close()
    return count, users, keys


async def test_the_drill(tmp_path: Path) -> None:
    """Back up beside a server, lose everything but the secrets, restore, and go on."""
    directory, file = await filled(tmp_path / "data", "anna"), tmp_path / "backup.zip"
    with serving(directory) as server:
        before = server.get("/readyz")
        made = await asyncio.to_thread(command, directory, "backup", str(file))
        assert made.exit_code == 0, made.output
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        refused = await asyncio.to_thread(command, directory, "restore", str(file))
        assert refused.exit_code == 1
        assert "Another tradewright server" in refused.output
    told = {each["name"]: each["ok"] for each in before["dependencies"]}
    assert (told["bars"], told["auth_db"], told["user_configs_db"]) == (True, True, True)
    with zipfile.ZipFile(file) as archive:
        assert sorted(archive.namelist()) == sorted(["manifest.json", *NAMES])
        content = b"".join(archive.read(name) for name in archive.namelist())
    secrets = re.findall(r'"([^"]{32,})"', (directory / "secrets.toml").read_text())
    assert len(secrets) >= 2
    assert not [secret for secret in secrets if secret.encode() in content], "no secret is in a backup"
    for name in NAMES:
        (directory / name).write_bytes(b"lost " * 9_999)
    done = await asyncio.to_thread(command, directory, "restore", str(file))
    assert done.exit_code == 0, done.output
    assert "bars.sqlite3: restored" in done.output
    assert await state(directory) == (1, ["anna"], ["anna"])
    (aside,) = directory.glob("replaced-*")
    assert str(aside) in done.output
    assert (aside / "auth.sqlite3").read_bytes().startswith(b"lost"), "what was replaced is kept"
    people = people_in(directory)
    await people.open()
    assert await people.stores.sessions.of_user("id-anna") == (), "everybody has to log in again"
    assert [event.kind for event in await people.stores.audit.newest()] == ["backup.restored"]
    await people.close()
    for name in NAMES:
        assert stat.S_IMODE((directory / name).stat().st_mode) & 0o077 == 0


async def test_a_backup_is_of_one_moment_while_others_write(tmp_path: Path) -> None:
    directory = await filled(tmp_path / "data", "anna")
    path, done = directory / "auth.sqlite3", threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        connection = sqlite3.connect(path, isolation_level=None, timeout=10)
        while not done.is_set():
            connection.execute("BEGIN IMMEDIATE")
            for table in ("first", "second"):
                connection.execute(f"INSERT INTO {table} VALUES (randomblob(3000))")
            connection.execute("COMMIT")
            written += 1
        connection.close()

    def wait_for(count: int) -> None:
        while written < count and not done.wait(0.001):
            pass

    connection = sqlite3.connect(path)
    for table in ("first", "second"):
        connection.execute(f"CREATE TABLE {table} (data BLOB)")
    connection.close()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        counts = []
        for number in range(3):
            file, seen = tmp_path / f"{number}.zip", written
            await asyncio.to_thread(wait_for, seen + 5)
            await asyncio.to_thread(back_up, TestingConfig(data_dir=directory), file)
            with zipfile.ZipFile(file) as archive:
                copy = Path(archive.extract("auth.sqlite3", tmp_path / str(number)))
            connection = sqlite3.connect(copy)
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            pair = [connection.execute(f"SELECT count(*) FROM {t}").fetchone() for t in ("first", "second")]
            connection.close()
            assert pair[0] == pair[1], "no transaction is half in it"
            counts.append(pair[0][0])
    finally:
        done.set()
        writer.join()
    assert counts[0] < counts[1] < counts[2], "and others wrote all the time"


async def test_killed_at_every_step_all_of_it_is_old_or_all_of_it_is_new(tmp_path: Path) -> None:
    file = tmp_path / "backup.zip"
    back_up(TestingConfig(data_dir=await filled(tmp_path / "source", "new person")), file)
    template = await filled(tmp_path / "template", "old")
    old, new = await state(template), await state(tmp_path / "source")
    cases = {number: tmp_path / f"data{number}" for number in (1, 2, 4, 7, 8)}
    for directory in cases.values():
        shutil.copytree(template, directory)
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        restore_kills.__file__,
        str(file),
        *(f"{directory}@{number}" for number, directory in cases.items()),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await asyncio.wait_for(program.communicate(), 90)
    assert [int(line) for line in said.split()] == [-signal.SIGKILL] * 4 + [0]
    for number, directory in cases.items():
        with DataDirLock(directory):
            finish_restore(directory)
            finish_restore(directory)
        # The first move sets the mark; before it nothing has happened, after it the restore is finished.
        assert await state(directory) == (old if number == 1 else new), number
        if number > 1:
            (aside,) = directory.glob("replaced-*")
            assert await state(aside) == old, "and what was there is whole beside it"
        assert not list(directory.glob(".restore/READY"))
    assert (await restore(TestingConfig(data_dir=cases[1]), file)).restored == NAMES, (
        "what was left is no matter"
    )
    assert await state(cases[1]) == new
    assert not (cases[1] / ".restore").exists()


async def test_what_is_no_sound_backup_changes_nothing(tmp_path: Path) -> None:
    directory = await filled(tmp_path / "data", "anna")
    config = TestingConfig(data_dir=directory)
    good = tmp_path / "good.zip"
    back_up(config, good)
    before = {path.name: path.read_bytes() for path in directory.iterdir() if path.suffix == ".sqlite3"}
    with zipfile.ZipFile(good) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    manifest = msgspec.json.decode(content["manifest.json"])

    def packed(name: str, **files: bytes) -> Path:
        path = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for each, data in {
                **content,
                **{key.replace("__", "."): data for key, data in files.items()},
            }.items():
                made.writestr(each, data)
        return path

    def manifested(**others: object) -> bytes:
        return msgspec.json.encode({**manifest, **others})

    whole = good.read_bytes()
    cut = tmp_path / "cut.zip"
    cut.write_bytes(whole[: len(whole) // 2])
    flipped = []
    for place in range(40, len(whole), len(whole) // 6):
        flipped.append(tmp_path / f"flipped{place}.zip")
        flipped[-1].write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
    changed = bytearray(content["auth.sqlite3"])
    changed[3_000] ^= 1
    files = [dict(each) for each in manifest["files"]]
    stranger = [*files, {"name": "../evil", "bytes": 1, "sha256": "0"}]
    for bad in (
        cut,
        *(each for each in flipped if not _is_same(each, content)),
        packed("changed", auth__sqlite3=bytes(changed)),
        packed("longer", auth__sqlite3=content["auth.sqlite3"] + b"x" * 5_000_000),
        packed("other", manifest__json=b"{}"),
        packed("text", manifest__json=b"no json"),
        packed("format", manifest__json=manifested(format=2)),
        packed("program", manifest__json=manifested(program="another")),
        packed("nothing", manifest__json=manifested(files=[])),
        packed("stranger", manifest__json=manifested(files=stranger), **{"../evil": b"x"}),
        packed("surplus", secrets__toml=b"x"),
    ):
        with pytest.raises(InvalidInput):
            await restore(config, bad)
    after = {path.name: path.read_bytes() for path in directory.iterdir() if path.suffix == ".sqlite3"}
    assert after == before
    assert not list(directory.glob("replaced-*"))
    assert not (directory / ".restore").exists()
    assert not (tmp_path / "evil").exists()
    assert await state(directory) == (1, ["anna"], ["anna"])


def _is_same(path: Path, content: dict[str, bytes]) -> bool:
    """Whether the flipped byte means nothing, such as one of a time."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()} == content
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, EOFError, OSError):
        return False


async def test_a_restore_is_refused_where_it_would_harm(tmp_path: Path, postgres_url: str) -> None:
    directory = await filled(tmp_path / "data", "anna")
    config, file = TestingConfig(data_dir=directory), tmp_path / "backup.zip"
    back_up(config, file)
    with pytest.raises(Conflict, match="is there already"):
        back_up(config, file)
    with pytest.raises(NotFound, match="There is no database"):
        back_up(TestingConfig(data_dir=tmp_path / "empty"), tmp_path / "other.zip")
    with DataDirLock(directory), pytest.raises(DataDirInUse):
        await restore(config, file)
    user = sqlite3.connect(directory / "auth.sqlite3")
    user.execute("SELECT count(*) FROM users").fetchone()
    with pytest.raises(Conflict, match="Another program uses"):
        await restore(config, file)
    user.close()
    with pytest.raises(Conflict, match="on PostgreSQL"):
        await restore(TestingConfig(data_dir=directory, auth_database_url=postgres_url), file)
    connection = sqlite3.connect(directory / "auth.sqlite3")
    connection.execute("UPDATE auth_version SET version_num = '0999'")
    connection.commit()
    connection.close()
    newer = tmp_path / "newer.zip"
    back_up(config, newer)
    with pytest.raises(ConfigError, match="newer version"):
        await restore(config, newer)
    assert not list(directory.glob("replaced-*"))
    assert (await restore(config, file)).restored == NAMES
    assert await state(directory) == (1, ["anna"], ["anna"])


async def test_migrate_says_what_it_did(tmp_path: Path, postgres_url: str) -> None:
    made = await asyncio.to_thread(command, tmp_path, "migrate")
    assert made.exit_code == 0, made.output
    assert [line.split(" (")[0] for line in made.output.splitlines()] == [
        "bars: made, schema 0005",
        f"auth_db: made, schema {AUTH.revisions[-1]}",
        f"user_configs_db: made, schema {USER_CONFIGS.revisions[-1]}",
    ]
    assert str(tmp_path / "auth.sqlite3") in made.output
    config = TestingConfig(data_dir=tmp_path, user_configs_database_url=postgres_url)
    try:
        lines = [line async for line in migrate_all(config)]
        assert lines[0].startswith("bars: up to date, schema 0005 (SQLite ")
        assert lines[1].startswith("auth_db: up to date, schema")
        assert lines[2].startswith("user_configs_db: made, schema")
        assert "PostgreSQL at 127.0.0.1:" in lines[2]
    finally:
        await execute(postgres_url, f"DROP SCHEMA IF EXISTS {USER_CONFIGS.schema} CASCADE")
