"""The operator's secrets: read again when they change, renewed without losing any."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.support.accounts import HOME, PASSWORD, key
from tradewright.app_extensions.auth_db_setup import auth_db_of
from tradewright.app_extensions.data_dir import SECRETS_FILE, read_secrets, write_secrets
from tradewright.app_extensions.key_rotation import (
    OLD_KEY_NEEDED_MS,
    TOKENS_LIVE_MS,
    rotate_key,
    rotate_signing_secret,
)
from tradewright.app_extensions.operator_secrets import OperatorSecrets
from tradewright.app_extensions.people import PeopleDatabases, people_of
from tradewright.app_extensions.user_configs_db_setup import user_configs_db_of
from tradewright.config import TestingConfig
from tradewright.domain.errors import ConfigError, InvalidInput
from tradewright.domain.people import StoredCredential
from tradewright.runtime.clock import SystemClock
from tradewright.services.encryption_service import EncryptionService, SealingContext
from tradewright.testing.clock import DrivenClock

CONTEXT = SealingContext("credential", "u", "c", "binance")


@pytest.fixture
def config(tmp_path: Path) -> TestingConfig:
    return TestingConfig(data_dir=tmp_path)


def later(ms: int) -> DrivenClock:
    """A clock so much later than the machine's."""
    return DrivenClock(SystemClock().now_ms() + ms + 1_000)


async def store(config: TestingConfig, sealing: EncryptionService) -> None:
    """Keep a sealed credential, as a server would."""
    people = people_of(config, SystemClock())
    await people.open()
    await sealing.check_canary(people.stores.canary)
    await people.stores.credentials.add(
        StoredCredential(
            id="c", user_id="u", market="crypto", provider="binance", label="x", testnet=False,
            sealed=sealing.seal(CONTEXT, {"secret": "s"}), key_hint="1234", created_ms=1, changed_ms=1,
        ),
        kept_max=9,
    )  # fmt: skip
    await people.close()


async def opened(config: TestingConfig, sealing: EncryptionService) -> dict[str, str]:
    people = people_of(config, SystemClock())
    try:
        await people.open()
        await sealing.check_canary(people.stores.canary)
        found = await people.stores.credentials.get("u", "c")
    finally:
        await people.close()
    assert found is not None
    return sealing.open(CONTEXT, found.sealed)


def test_a_changed_file_is_read_at_once_and_a_broken_one_is_not(config: TestingConfig) -> None:
    operator = OperatorSecrets(config)
    operator.open()
    path = config.data_dir / SECRETS_FILE
    first = operator.encryption.ring()
    assert operator.encryption.ring() is first
    write_secrets(path, key("jwt"), f"{key('new')},{first[0]}", replace=True)
    assert operator.encryption.ring() == (key("new"), first[0])
    assert operator.jwt.ring() == (key("jwt"),)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("encryption_key = 'half of")
    assert operator.encryption.ring() == (key("new"), first[0])
    path.unlink()
    assert operator.encryption.ring() == (key("new"), first[0])
    write_secrets(path, key("jwt"), key("newer"), replace=True)
    assert operator.encryption.ring() == (key("newer"),)


def test_the_environment_wins_and_is_not_read_again(config: TestingConfig) -> None:
    config.encryption_key = f"{key('env')}, {key('older')}"
    operator = OperatorSecrets(config)
    assert operator.encryption.ring() == (key("env"), key("older"))
    assert len(operator.jwt.ring()) == 1
    config.jwt_secret = key("jwt")
    both = OperatorSecrets(
        TestingConfig(data_dir=Path("/nowhere"), jwt_secret="j" * 40, encryption_key="e" * 40)
    )
    both.open()
    assert not both.in_file


async def test_a_key_is_renewed_while_a_server_runs(config: TestingConfig) -> None:
    server = OperatorSecrets(config)
    sealing = EncryptionService(server.encryption)
    await store(config, sealing)
    old = server.encryption.ring()
    done = await rotate_key(config)
    assert done.began
    assert done.report is not None
    assert (done.report.resealed, done.report.complete) == (2, True)
    assert server.encryption.ring()[1:] == old, "the running server has both"
    assert await opened(config, sealing) == {"secret": "s"}
    again = await rotate_key(config)
    assert not again.began
    assert again.report is not None
    assert (again.report.resealed, again.report.current) == (0, 2)
    with pytest.raises(InvalidInput, match="seconds ago"):
        await rotate_key(config, finish=True)
    assert len(server.encryption.ring()) == 2
    await rotate_key(config, finish=True, clock=later(OLD_KEY_NEEDED_MS))
    assert len(server.encryption.ring()) == 1
    assert server.encryption.ring() != old
    assert await opened(config, sealing) == {"secret": "s"}
    with pytest.raises(ConfigError, match="not the key"):
        await opened(config, EncryptionService(_Fixed(old)))


class _Fixed:
    def __init__(self, ring: tuple[str, ...]) -> None:
        self._ring = ring

    def ring(self) -> tuple[str, ...]:
        return self._ring


async def test_no_key_goes_while_a_record_needs_it(config: TestingConfig) -> None:
    server = OperatorSecrets(config)
    await store(config, EncryptionService(server.encryption))
    stranger = EncryptionService(_Fixed((key("stranger"),)))
    people = PeopleDatabases(auth_db_of(config, SystemClock()), user_configs_db_of(config, SystemClock()))
    await people.open()
    found = await people.stores.credentials.get("u", "c")
    assert found is not None
    await people.stores.credentials.reseal("c", found.sealed, stranger.seal(CONTEXT, {"secret": "s"}))
    await people.close()
    assert (await rotate_key(config)).report is not None
    with pytest.raises(InvalidInput, match="credential c of user u"):
        await rotate_key(config, finish=True, clock=later(OLD_KEY_NEEDED_MS))
    assert len(server.encryption.ring()) == 2


@pytest.mark.parametrize(
    "new",
    [
        "",
        "short",
        "x" * 31,
        f"{'x' * 40},{'y' * 40}",
        f'{"x" * 40}"',
        "x" * 40 + "\n" + "y",
        "ü" * 40,
        "\\" * 40,
    ],
)
async def test_a_key_that_would_break_the_file_is_refused(config: TestingConfig, new: str) -> None:
    operator = OperatorSecrets(config)
    operator.open()
    before = read_secrets(config.data_dir / SECRETS_FILE)
    with pytest.raises(InvalidInput):
        await rotate_key(config, new=new)
    assert read_secrets(config.data_dir / SECRETS_FILE) == before


async def test_a_given_key_is_taken_once(config: TestingConfig) -> None:
    await rotate_key(config, new=key("given"))
    assert OperatorSecrets(config).encryption.ring()[0] == key("given")
    for new in (key("given"), key("another")):
        with pytest.raises(InvalidInput):
            await rotate_key(config, new=new)


async def test_from_the_environment_only_what_is_sealed_is_renewed(config: TestingConfig) -> None:
    config.encryption_key = key("old")
    await store(config, EncryptionService(OperatorSecrets(config).encryption))
    config.encryption_key = f"{key('new')},{key('old')}"
    done = await rotate_key(config)
    assert not done.began
    assert done.report is not None
    assert done.report.resealed == 2
    with pytest.raises(InvalidInput, match="environment"):
        await rotate_key(config, new=key("x"))
    with pytest.raises(InvalidInput, match="environment"):
        await rotate_key(config, finish=True)
    config.encryption_key = key("new")
    assert await opened(config, EncryptionService(OperatorSecrets(config).encryption)) == {"secret": "s"}


async def test_two_do_not_renew_at_once(config: TestingConfig) -> None:
    import fcntl

    lock = os.open(config.data_dir / "secrets.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(InvalidInput, match="Another command"):
        await rotate_key(config)
    with pytest.raises(InvalidInput, match="Another command"):
        rotate_signing_secret(config)
    os.close(lock)
    assert rotate_signing_secret(config).began


async def test_the_signing_secret_is_renewed_without_a_logout(config: TestingConfig) -> None:
    from tests.support.accounts import People

    people = People(jwt=OperatorSecrets(config).jwt)
    await people.add()
    granted = (await people.login()).granted
    assert rotate_signing_secret(config).began
    await people.auth.authenticate(granted.access_token)
    with pytest.raises(InvalidInput, match="finish"):
        rotate_signing_secret(config)
    with pytest.raises(InvalidInput, match="seconds ago"):
        rotate_signing_secret(config, finish=True)
    renewed = await people.auth.refresh(granted.refresh_token, HOME)
    rotate_signing_secret(config, finish=True, clock=later(TOKENS_LIVE_MS))
    await people.auth.authenticate(renewed.access_token)
    await people.login(password=PASSWORD)
