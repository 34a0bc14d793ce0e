"""Renews the operator's secrets: a new key in front of the ring, everything sealed anew, the old one gone.

Where the secrets are in the file of the data directory, this writes it; where they come from the environment,
the operator has put the new key in front, and only what is sealed is brought under it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tradewright.app_extensions.data_dir import SECRETS_FILE, read_secrets, write_secrets
from tradewright.app_extensions.operator_secrets import OperatorSecrets
from tradewright.app_extensions.people import people_of
from tradewright.config import MIN_SECRET_LENGTH, BaseConfig, secret_ring
from tradewright.domain.errors import ConfigError, InvalidInput
from tradewright.runtime.clock import Clock, SystemClock
from tradewright.services.encryption_service import EncryptionService
from tradewright.services.key_rotation import RotationReport, SealedStores, reseal_all

OLD_KEY_NEEDED_MS: Final = 60_000
"""So long after a new key came, a server may still be storing what it sealed under the one before."""
TOKENS_LIVE_MS: Final = 30 * 60_000


@dataclass(frozen=True, slots=True)
class Rotation:
    """What was done: ``began`` where a new key was put in front, ``finished`` where older ones were removed;
    ``report`` of what is sealed, None where it is not about that."""

    began: bool
    finished: bool
    report: RotationReport | None = None


async def rotate_key(
    config: BaseConfig, *, new: str | None = None, finish: bool = False, clock: Clock | None = None
) -> Rotation:
    """Renew the encryption key, or go on with it, or ``finish``: remove the keys that nothing needs any more.

    May be ended at any point and called again; the server may run. ``new`` is the key to take instead of one
    that is made. ``ConfigError`` and ``InvalidInput`` say what is in the way.
    """
    clock = clock or SystemClock()
    in_file = config.encryption_key is None
    if new is not None and not in_file:
        raise InvalidInput(
            "The encryption key comes from the environment: put the new one in front there, as new,old."
        )
    if finish and not in_file:
        raise InvalidInput(
            "The encryption key comes from the environment: when everything is sealed anew, leave the old "
            "one out there."
        )
    with _alone(config.data_dir):
        operator = OperatorSecrets(config)
        operator.open()
        if finish:
            return await _finish(config, operator, clock)
        began = in_file and len(operator.encryption.ring()) == 1
        if began:
            _put_in_front(config.data_dir / SECRETS_FILE, 1, new)
        elif new is not None:
            raise InvalidInput("There is an older encryption key: finish its renewal first.")
        return Rotation(began, False, await _reseal(config, operator, clock))


async def _finish(config: BaseConfig, operator: OperatorSecrets, clock: Clock) -> Rotation:
    path = config.data_dir / SECRETS_FILE
    _check_age(path, clock, OLD_KEY_NEEDED_MS)
    report = await _reseal(config, operator, clock)
    if not report.complete:
        raise InvalidInput(
            "Some records can't be opened with any key of the ring, so no key is removed: "
            + "; ".join(report.unreadable[:5])
        )
    _drop_older(path, 1)
    return Rotation(began=False, finished=True, report=report)


def rotate_signing_secret(
    config: BaseConfig, *, new: str | None = None, finish: bool = False, clock: Clock | None = None
) -> Rotation:
    """The same for the secret that signs tokens, of which nothing is stored: nobody is logged out."""
    if config.jwt_secret is not None:
        raise InvalidInput(
            "The signing secret comes from the environment: put the new one in front there, as new,old."
        )
    path = config.data_dir / SECRETS_FILE
    with _alone(config.data_dir):
        operator = OperatorSecrets(config)
        operator.open()
        if finish:
            _check_age(path, clock or SystemClock(), TOKENS_LIVE_MS)
            _drop_older(path, 0)
            return Rotation(began=False, finished=True)
        if len(operator.jwt.ring()) > 1:
            raise InvalidInput("There is an older signing secret: finish its renewal first.")
        _put_in_front(path, 0, new)
        return Rotation(began=True, finished=False)


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Be the only one who renews a key: of two who write the file, one would lose the other's key, and with
    it what was sealed under it."""
    descriptor = os.open(data_dir / "secrets.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise InvalidInput("Another command is renewing a key: wait for it.") from None
    finally:
        os.close(descriptor)


async def _reseal(config: BaseConfig, operator: OperatorSecrets, clock: Clock) -> RotationReport:
    people = people_of(config, clock)
    encryption = EncryptionService(operator.encryption)
    try:
        await people.open()
        kept = people.stores
        await encryption.check_canary(kept.canary)
        return await reseal_all(SealedStores(kept.users, kept.credentials, kept.canary), encryption)
    finally:
        await people.close()


def _put_in_front(path: Path, place: int, new: str | None) -> None:
    key = secrets.token_urlsafe(48) if new is None else new.strip()
    # What would make the file unreadable must not get in.
    if len(key) < MIN_SECRET_LENGTH or not key.isascii() or not key.isprintable() or set(key) & set(',"\\'):
        raise InvalidInput(
            f"The new key must have {MIN_SECRET_LENGTH} letters, digits and signs or more, without commas, "
            "quotes and backslashes."
        )
    texts = list(read_secrets(path))
    if key in (each for text in texts for each in secret_ring(text)):
        raise InvalidInput("This key is in use already: take another one.")
    texts[place] = f"{key},{texts[place]}"
    _write(path, texts)


def _drop_older(path: Path, place: int) -> None:
    texts = list(read_secrets(path))
    texts[place] = secret_ring(texts[place])[0]
    _write(path, texts)


def _write(path: Path, texts: list[str]) -> None:
    try:
        write_secrets(path, texts[0], texts[1], replace=True)
    except OSError as error:
        raise ConfigError([f"{path} can't be written ({error.strerror}): it stays as it was."]) from error


def _check_age(path: Path, clock: Clock, needed_ms: int) -> None:
    """``InvalidInput`` where the file was changed just now, so that the older key may still be needed."""
    age_ms = clock.now_ms() - path.stat().st_mtime_ns // 1_000_000
    if age_ms < needed_ms:
        raise InvalidInput(
            f"The key was renewed {max(age_ms, 0) // 1000} seconds ago: wait until {needed_ms // 1000} "
            "seconds have passed, so that nothing needs the older one any more."
        )
