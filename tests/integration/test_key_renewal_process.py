"""Renewing the encryption key beside a server, killed again and again."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

from tests.integration.test_account_process import command, post, somebody
from tests.support.processes import environment, serving
from tradewright.app_extensions.data_dir import SECRETS_FILE, read_secrets
from tradewright.app_extensions.operator_secrets import OperatorSecrets
from tradewright.app_extensions.people import people_of
from tradewright.config import TestingConfig, secret_ring
from tradewright.domain.people import StoredCredential
from tradewright.runtime.clock import SystemClock
from tradewright.services.encryption_service import EncryptionService, SealingContext

ROWS = 100
KILLS = 2


def context(number: int) -> SealingContext:
    return SealingContext("credential", "u", f"{number:05}", "binance")


async def fill(config: TestingConfig) -> None:
    people = people_of(config, SystemClock())
    await people.open()
    sealing = EncryptionService(OperatorSecrets(config).encryption)
    for number in range(ROWS):
        await people.stores.credentials.add(
            StoredCredential(
                id=f"{number:05}", user_id="u", market="crypto", provider="binance", label="x", testnet=False,
                sealed=sealing.seal(context(number), {"secret": f"s{number}"}), key_hint="",
                created_ms=number, changed_ms=number,
            ),
            kept_max=ROWS,
        )  # fmt: skip
    await people.close()


async def under_keys(config: TestingConfig) -> list[bool]:
    """Open every record; for each whether it is under the present key."""
    people = people_of(config, SystemClock())
    await people.open()
    sealing = EncryptionService(OperatorSecrets(config).encryption)
    await sealing.check_canary(people.stores.canary)
    found = []
    for number in range(ROWS):
        kept = await people.stores.credentials.get("u", f"{number:05}")
        assert kept is not None
        assert sealing.open(context(number), kept.sealed) == {"secret": f"s{number}"}
        found.append(sealing.is_current(kept.sealed))
    await people.close()
    return found


def test_killed_again_and_again_it_comes_to_its_end(tmp_path: Path) -> None:
    chance = random.Random(5)
    config = TestingConfig(data_dir=tmp_path)
    with serving(tmp_path) as server:
        url = f"{server.url}/api/v1/auth"
        assert post(f"{url}/register", somebody("anna"))[0] == 201
        asyncio.run(fill(config))
        for _ in range(KILLS):
            process = subprocess.Popen(
                [sys.executable, "-m", "tradewright", "db", "rotate-key"],
                env=environment(tmp_path),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            end = time.monotonic() + 30
            while len(secret_ring(read_secrets(tmp_path / SECRETS_FILE)[1])) == 1 and time.monotonic() < end:
                assert process.poll() is None
            try:
                process.wait(chance.uniform(0.02, 0.6))
            except subprocess.TimeoutExpired:
                process.kill()
            process.wait()
            assert len(asyncio.run(under_keys(config))) == ROWS
            assert post(f"{url}/login", {"login": "anna", "password": somebody("anna")["password"]})[0] == 200
        finished = command(tmp_path, "db", "rotate-key")
        assert finished.exit_code == 0, finished.output
        assert all(asyncio.run(under_keys(config)))
        assert len(secret_ring(read_secrets(tmp_path / SECRETS_FILE)[1])) == 2, "one new key, however often"
