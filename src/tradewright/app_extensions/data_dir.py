"""The data directory: made at first start, private, used by one server at a time."""

from __future__ import annotations

import fcntl
import os
import secrets
import tomllib
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final

from tradewright.config import MIN_SECRET_LENGTH, BaseConfig, secret_ring
from tradewright.domain.errors import ConfigError

SECRETS_FILE: Final = "secrets.toml"


@dataclass(frozen=True, slots=True)
class Secrets:
    """The keys that the server signs and encrypts with, and where they came from."""

    jwt_secret: str = field(repr=False)
    encryption_key: str = field(repr=False)
    made_at: Path | None = None
    """The file that was written just now; None where nothing had to be made."""


class DataDirInUse(Exception):
    """Another server runs on this data directory."""


def prepare_data_dir(path: Path) -> None:
    """Make the directory, readable by its owner alone."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise ConfigError(
            [f"TRADEWRIGHT_DATA_DIR {path} can't be used ({error.strerror}): choose another."]
        ) from error


def load_secrets(config: BaseConfig) -> Secrets:
    """The secrets from the settings, else from ``secrets.toml`` in the data directory, made when missing.

    ``ConfigError`` where that file can't be made or holds something else.
    """
    if config.jwt_secret and config.encryption_key:
        return Secrets(config.jwt_secret, config.encryption_key)
    path = config.data_dir / SECRETS_FILE
    made = not os.path.lexists(path)
    if made:
        try:
            write_secrets(path, secrets.token_urlsafe(48), secrets.token_urlsafe(48), replace=False)
        except OSError as error:
            raise ConfigError([_unusable(path, error)]) from error
    jwt_secret, encryption_key = read_secrets(path)
    return Secrets(
        config.jwt_secret or jwt_secret, config.encryption_key or encryption_key, path if made else None
    )


def write_secrets(path: Path, jwt_secret: str, encryption_key: str, *, replace: bool) -> None:
    """Write the file as a whole or not at all, readable by its owner alone; ``OSError`` where it can't be.
    Without ``replace`` one that is there already stays."""
    text = (
        "# Made by the server. Keep a copy: without encryption_key stored keys can't be read.\n"
        "# Behind a key, after a comma, stand those before it, until nothing needs them any more.\n"
        f'jwt_secret = "{jwt_secret}"\n'
        f'encryption_key = "{encryption_key}"\n'
    )
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(draft, path)
        else:
            os.link(draft, path)  # unlike a rename, this never replaces what another process just made
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)  # a key that sealed something must outlive a loss of power
    finally:
        os.close(directory)


def read_secrets(path: Path) -> tuple[str, str]:
    """The two secrets of the file, each a ring; ``ConfigError`` where it can't be read or holds others."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        found = values.get("jwt_secret"), values.get("encryption_key")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError([f"{path} can't be read as TOML: restore it from your backup."]) from error
    jwt_secret, encryption_key = found
    if not all(isinstance(value, str) and _long_enough(value) for value in found):
        raise ConfigError(
            [f"{path} must hold jwt_secret and encryption_key of {MIN_SECRET_LENGTH} characters or more."]
        )
    return str(jwt_secret), str(encryption_key)


def _long_enough(secret: str) -> bool:
    return all(len(key) >= MIN_SECRET_LENGTH for key in secret_ring(secret))


def _unusable(path: Path, error: OSError) -> str:
    return f"{path} can't be used ({error.strerror}): remove what is in its way, or choose another directory."


class DataDirLock:
    """Held by the one server that runs on a data directory; the kernel frees it however the server ends.

    Commands such as ``import`` don't take it: they work beside the server.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "server.lock"
        self._descriptor: int | None = None

    def __enter__(self) -> DataDirLock:
        """``DataDirInUse`` where another server holds it, ``ConfigError`` where there is no such file."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError([_unusable(self._path, error)]) from error
        with ExitStack() as on_failure:
            on_failure.callback(os.close, descriptor)
            self._take(descriptor)
            on_failure.pop_all()
        self._descriptor = descriptor
        return self

    def _take(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()}\n".encode("ascii"))
        except BlockingIOError:
            owner = os.read(descriptor, 200).decode("ascii", "replace").strip()
            raise DataDirInUse(
                f"Another tradewright server ({owner or 'just starting'}) uses the data directory "
                f"{self._path.parent}: stop it, or set TRADEWRIGHT_DATA_DIR to another one."
            ) from None
        except OSError as error:
            raise ConfigError([_unusable(self._path, error)]) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
