"""Backups of the embedded databases, and how one is put back.

A backup is a ZIP file: a manifest, and each database as SQLite copied it at one moment. Secrets are never in
it. A restore is prepared beside the databases, checked and brought up to date there; then a mark is set, and
from then on it is finished by whoever comes next, should this process be killed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from tradewright import __version__
from tradewright.app_extensions.auth_db_setup import AUTH_FILE, AuthDatabase
from tradewright.app_extensions.data_dir import DataDirLock
from tradewright.app_extensions.stores import BARS_FILE
from tradewright.app_extensions.user_configs_db_setup import USER_CONFIGS_FILE, UserConfigsDatabase
from tradewright.config import BaseConfig
from tradewright.domain.errors import Conflict, InvalidInput, NotFound, StorageUnavailable
from tradewright.domain.people import NewAuditEvent
from tradewright.runtime.clock import SystemClock
from tradewright.storage.people import AUTH, USER_CONFIGS, SQLiteFile
from tradewright.storage.postgres.address import Address
from tradewright.storage.sqlite import SQLiteDatabase

_MANIFEST: Final = "manifest.json"
_MANIFEST_BYTES_MAX: Final = 64 * 1024
_FORMAT: Final = 1
_PREPARED: Final = ".restore"
_READY: Final = "READY"
_SIDE_FILES: Final = ("", "-wal", "-shm")
_CHUNK: Final = 2**20
_SPARE_BYTES: Final = 64 * 2**20


class FileInBackup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One database in a backup."""

    name: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup says of itself."""

    program: str
    format: int
    version: str
    made_ms: int
    files: tuple[FileInBackup, ...]


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did; ``aside`` is where the replaced files are, None where there were none."""

    restored: tuple[str, ...]
    untouched: tuple[str, ...]
    aside: Path | None


def _embedded(config: BaseConfig) -> dict[str, str | None]:
    """The file of each database, and the URL of the server that it is on instead."""
    return {
        BARS_FILE: config.database_url,
        AUTH_FILE: config.auth_database_url,
        USER_CONFIGS_FILE: config.user_configs_database_url,
    }


def elsewhere(config: BaseConfig) -> Iterator[str]:
    """A line for each database that is on a server, and so in no backup of ours."""
    schemas = {BARS_FILE: "tradewright", AUTH_FILE: AUTH.schema, USER_CONFIGS_FILE: USER_CONFIGS.schema}
    for name, url in _embedded(config).items():
        if url is not None:
            yield (
                f"{name.removesuffix('.sqlite3')} is on PostgreSQL ({Address.of(url).place}) and not in this "
                f"backup: use `pg_dump --format=custom --schema={schemas[name]}` there."
            )


def back_up(config: BaseConfig, target: Path) -> Manifest:
    """Write a backup to ``target``, which only its owner can read; it appears whole or not at all.

    ``Conflict`` where there is such a file already, ``NotFound`` where there is nothing to back up,
    ``StorageUnavailable`` where a database can't be read or the file not be written.
    """
    if os.path.lexists(target):
        raise Conflict(f"{target} is there already: choose another name.")
    names = [
        name for name, url in _embedded(config).items() if url is None and (config.data_dir / name).exists()
    ]
    if not names:
        raise NotFound(f"There is no database in {config.data_dir}.")
    try:
        with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=".tradewright-backup-") as made:
            folder = Path(made)
            files = tuple(_copied(config.data_dir / name, folder / name) for name in names)
            manifest = Manifest("tradewright", _FORMAT, __version__, SystemClock().now_ms(), files)
            draft = folder / "draft"
            _zip(draft, folder, manifest)
            os.link(draft, target)  # unlike a rename, this never replaces what another process just made
            _sync(target.absolute().parent)
    except FileExistsError:
        raise Conflict(f"{target} is there already: choose another name.") from None
    except OSError as error:
        raise StorageUnavailable(f"{target} can't be written ({error.strerror}).") from error
    return manifest


def _copied(source: Path, copy: Path) -> FileInBackup:
    try:
        with (
            closing(sqlite3.connect(f"{source.as_uri()}?mode=rw", uri=True, timeout=30)) as database,
            closing(sqlite3.connect(copy)) as other,
        ):
            database.backup(other)  # in one go: a snapshot, whoever writes meanwhile
    except sqlite3.Error as error:
        raise StorageUnavailable(f"{source} can't be copied ({error}).") from error
    return FileInBackup(source.name, copy.stat().st_size, _digest(copy))


def _zip(draft: Path, folder: Path, manifest: Manifest) -> None:
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w+b") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            archive.writestr(_MANIFEST, msgspec.json.encode(manifest))
            for each in manifest.files:
                archive.write(folder / each.name, each.name)
        file.flush()
        os.fsync(file.fileno())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def restore(config: BaseConfig, source: Path) -> Restored:
    """Put the databases of a backup in the place of those that the data directory has.

    ``DataDirInUse`` while a server runs on it, ``Conflict`` while another program uses one of the files,
    ``InvalidInput`` where ``source`` is no backup or was changed, ``ConfigError`` where a database in it is
    newer than this program. Then nothing has changed. Every session in it is ended: among them may be some
    that were ended since.
    """
    with DataDirLock(config.data_dir):
        finish_restore(config.data_dir)
        prepared = config.data_dir / _PREPARED
        shutil.rmtree(prepared, ignore_errors=True)
        prepared.mkdir(mode=0o700)
        try:
            manifest = _extract(config, source, prepared)
            names = tuple(each.name for each in manifest.files)
            await _bring_up(prepared, names, manifest)
            for name in names:
                _let_go_of(config.data_dir / name)
            aside = f"replaced-{datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC):%Y%m%dT%H%M%SZ}"
            _mark(prepared, aside)
        finally:
            if not (prepared / _READY).exists():  # refused: nothing of it stays
                shutil.rmtree(prepared, ignore_errors=True)
        finish_restore(config.data_dir)
    kept = config.data_dir / aside
    present = (name for name in _embedded(config) if (config.data_dir / name).exists())
    untouched = tuple(name for name in present if name not in names)
    return Restored(names, untouched, kept if kept.exists() else None)


def finish_restore(data_dir: Path) -> None:
    """Go on with a restore that was killed after its mark was set; what was only prepared is left alone.

    For whoever holds the lock of the data directory, before a database is opened.
    """
    prepared = data_dir / _PREPARED
    try:
        aside = data_dir / (prepared / _READY).read_text("ascii")
    except FileNotFoundError:
        return
    for name in (BARS_FILE, AUTH_FILE, USER_CONFIGS_FILE):
        if not (prepared / name).exists():
            continue  # not in the backup, or in its place already
        for suffix in _SIDE_FILES:
            old = data_dir / (name + suffix)
            if old.exists():
                aside.mkdir(mode=0o700, exist_ok=True)
                old.rename(aside / old.name)
        _sync(data_dir)
        (prepared / name).rename(data_dir / name)
    _sync(data_dir)
    shutil.rmtree(prepared)


def _extract(config: BaseConfig, source: Path, folder: Path) -> Manifest:
    bad = InvalidInput(f"{source} is no backup of this program, or it is damaged.")
    try:
        with zipfile.ZipFile(source) as archive:
            manifest = _manifest(archive, bad)
            _check_room(folder, sum(each.bytes for each in manifest.files))
            for each in manifest.files:
                if _embedded(config)[each.name] is not None:
                    raise Conflict(
                        f"{each.name} is in the backup, but by the settings that database is on PostgreSQL: "
                        "restore with the settings of then."
                    )
                _extract_one(archive, each, folder / each.name, bad)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
        raise bad from error
    return manifest


def _manifest(archive: zipfile.ZipFile, bad: InvalidInput) -> Manifest:
    names = [item.filename for item in archive.infolist()]
    if {item.compress_type for item in archive.infolist()} - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise bad
    if archive.getinfo(_MANIFEST).file_size > _MANIFEST_BYTES_MAX:
        raise bad
    try:
        manifest = msgspec.json.decode(archive.read(_MANIFEST), type=Manifest)
    except msgspec.DecodeError as error:
        raise bad from error
    ours = [each.name for each in manifest.files]
    known = {BARS_FILE, AUTH_FILE, USER_CONFIGS_FILE}
    if manifest.program != "tradewright" or not ours or not set(ours) <= known:
        raise bad
    if manifest.format != _FORMAT:
        raise InvalidInput(
            f"The backup was made by version {manifest.version}: install that one to restore it."
        )
    if sorted(names) != sorted([_MANIFEST, *ours]):
        raise bad
    return manifest


def _check_room(folder: Path, needed: int) -> None:
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < needed + _SPARE_BYTES:
        raise StorageUnavailable(f"The disk of {folder.parent} has no room for {needed:,} bytes more.")


def _extract_one(archive: zipfile.ZipFile, wanted: FileInBackup, path: Path, bad: InvalidInput) -> None:
    digest, left = hashlib.sha256(), wanted.bytes
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file, archive.open(wanted.name) as packed:
        # No more than the manifest says, however much there is: room was looked for that much only.
        while left >= 0 and (chunk := packed.read(_CHUNK)):
            left -= len(chunk)
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if left != 0 or digest.hexdigest() != wanted.sha256:
        raise bad


async def _bring_up(folder: Path, names: tuple[str, ...], manifest: Manifest) -> None:
    """Look whether each is what it says it is, and bring it to the schema of this program."""
    for name in names:
        _check_soundness(folder / name)
    if BARS_FILE in names:
        bars = SQLiteDatabase(folder / BARS_FILE)
        try:
            await bars.open()
        finally:
            await bars.close()
    if USER_CONFIGS_FILE in names:
        user_configs = UserConfigsDatabase(SQLiteFile(folder / USER_CONFIGS_FILE))
        try:
            await user_configs.database.open()
        finally:
            await user_configs.database.close()
    if AUTH_FILE in names:
        auth = AuthDatabase(SQLiteFile(folder / AUTH_FILE))
        try:
            await auth.database.open()
            await auth.end_every_session()
            details = {"made_ms": manifest.made_ms, "version": manifest.version}
            now_ms = SystemClock().now_ms()
            await auth.audit.append(NewAuditEvent(time_ms=now_ms, kind="backup.restored", details=details))
        finally:
            await auth.database.close()
    for name in names:
        _let_go_of(folder / name)


def _check_soundness(path: Path) -> None:
    bad = InvalidInput(f"{path.name} in the backup is damaged.")
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as database:
            if database.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                raise bad
    except sqlite3.Error as error:
        raise bad from error


def _let_go_of(path: Path) -> None:
    """Make sure that nobody else has the file open, and put all of it into one file.

    Leaving the WAL needs the file for oneself. What is damaged has no readers, and is moved as it is.
    """
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=2)) as database:
            database.execute("PRAGMA journal_mode = DELETE").fetchall()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise Conflict(f"Another program uses {path}: end it first.") from error
    except sqlite3.DatabaseError:
        return


def _mark(prepared: Path, aside: str) -> None:
    """From here on the restore is finished, not undone."""
    _sync(prepared)
    draft = prepared / "draft"
    with draft.open("w", encoding="ascii") as file:
        file.write(aside)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(prepared / _READY)
    _sync(prepared)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
