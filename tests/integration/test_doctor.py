"""What ``tradewright doctor`` finds."""

from __future__ import annotations

import logging
import socket
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.postgres_schemas import execute
from tradewright.app_extensions.data_dir import prepare_data_dir
from tradewright.app_extensions.doctor import Finding
from tradewright.commands.doctor import examine
from tradewright.config import TestingConfig
from tradewright.storage.people import AUTH


def free_port() -> int:
    """A port where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def own_schema_of_accounts(url: str) -> AsyncIterator[None]:
    """The schema that the settings lead to is gone afterwards."""
    try:
        yield
    finally:
        await execute(url, f"DROP SCHEMA IF EXISTS {AUTH.schema} CASCADE")


async def findings(config: TestingConfig) -> dict[str, Finding]:
    return {finding.name: finding async for finding in examine(config)}


async def test_an_embedded_server_is_well(tmp_path: Path) -> None:
    prepare_data_dir(tmp_path)
    found = await findings(TestingConfig(data_dir=tmp_path))
    assert {finding.state for finding in found.values()} == {"ok"}
    assert found["bars"].detail == f"SQLite {sqlite3.sqlite_version}, in {tmp_path / 'bars.sqlite3'}."
    assert "simulated" in found["market crypto"].detail
    assert found["auth_db"].detail == "SQLite, the file is made at the first start"
    assert not (tmp_path / "auth.sqlite3").exists()


async def test_databases_of_people_are_looked_at(tmp_path: Path, postgres_url: str) -> None:
    prepare_data_dir(tmp_path)
    (tmp_path / "user_configs.sqlite3").write_text("not a database at all, but a text " * 99)
    async with own_schema_of_accounts(postgres_url):
        found = await findings(TestingConfig(data_dir=tmp_path, auth_database_url=postgres_url))
    assert found["auth_db"].state == "ok"
    assert found["auth_db"].detail.startswith("PostgreSQL at 127.0.0.1:")
    assert found["user_configs_db"].state == "broken"
    assert "not a database" in found["user_configs_db"].detail


async def test_before_the_first_start_nothing_is_missing_and_nothing_is_made(tmp_path: Path) -> None:
    found = await findings(TestingConfig(data_dir=tmp_path / "later"))
    assert {finding.state for finding in found.values()} == {"ok"}
    assert not (tmp_path / "later").exists()


async def test_servers_that_answer_are_named(tmp_path: Path, postgres_url: str, redis_url: str) -> None:
    prepare_data_dir(tmp_path)
    found = await findings(TestingConfig(data_dir=tmp_path, database_url=postgres_url, redis_url=redis_url))
    assert {finding.state for finding in found.values()} == {"ok"}
    assert "PostgreSQL" in found["bars"].detail
    assert found["cache"].detail == "Redis answers"
    assert found["messages"].detail == "through Redis"


async def test_servers_that_do_not_answer_are_told_once_and_without_a_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare_data_dir(tmp_path)
    dead = f"127.0.0.1:{free_port()}"
    config = TestingConfig(
        data_dir=tmp_path,
        database_url=f"postgresql://someone:hushhush@{dead}/bars",
        redis_url=f"redis://:hushhush@{dead}/0",
    )
    with caplog.at_level(logging.WARNING):
        found = await findings(config)
    assert found["bars"] == Finding("bars", "broken", "The database did not answer within 10 s.")
    assert found["cache"].state == found["messages"].state == "degraded"
    assert found["messages"].detail.startswith("Redis can't be reached.")
    assert "hushhush" not in f"{found}{caplog.text}"
    assert caplog.text.count("trying again") == 1
