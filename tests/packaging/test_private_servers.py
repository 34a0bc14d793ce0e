"""The servers that the test run starts are real, empty, and reachable by the URLs it hands out."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg


def test_postgres_answers_and_holds_what_it_is_given(postgres_url: str) -> None:
    psql = shutil.which("psql")
    assert psql, "psql is not installed: `make test` installs it."
    script = "CREATE TEMP TABLE t AS SELECT generate_series(1, 4) AS n; SELECT sum(n), current_user FROM t;"
    answer = subprocess.run(
        [psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", postgres_url, "-c", script],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (answer.returncode, answer.stdout.strip()) == (0, "10|tradewright"), answer.stderr


def test_postgres_refuses_a_wrong_password(postgres_url: str) -> None:
    psql = shutil.which("psql")
    assert psql, "psql is not installed: `make test` installs it."
    address = urlsplit(postgres_url)
    stranger = f"postgresql://tradewright:wrong@127.0.0.1:{address.port}/postgres"
    answer = subprocess.run(
        [psql, "-X", "-w", "-d", stranger, "-c", "SELECT 1"], capture_output=True, text=True, timeout=30
    )
    assert answer.returncode == 2
    assert "password authentication failed" in answer.stderr


async def test_postgres_needs_no_file_of_its_package_once_it_runs(postgres_url: str) -> None:
    """An upgrade of the package during a run must not give a new connection a library that does not fit."""
    connection = await asyncpg.connect(postgres_url)
    try:
        process = connection.get_server_pid()
        before = libraries(process)
        assert any("plpgsql" in name for name in before)
        await connection.execute("DO $$ BEGIN PERFORM 1; END $$")
        assert libraries(process) == before
    finally:
        await connection.close()


def libraries(process: int) -> set[str]:
    """The libraries that a process has loaded."""
    maps = Path(f"/proc/{process}/maps").read_text(encoding="utf-8")
    return set(re.findall(r"\S+/lib/\S+\.so$", maps, re.MULTILINE))


def test_redis_answers_and_holds_what_it_is_given(redis_url: str) -> None:
    address = urlsplit(redis_url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=10) as connection:
        conversation = connection.makefile("rwb")
        for line, expected in (
            ("PING", b"-NOAUTH Authentication required.\r\n"),
            (f"AUTH {address.password}", b"+OK\r\n"),
            ("DBSIZE", b":0\r\n"),
            ("SET smoke alive", b"+OK\r\n"),
            ("GET smoke", b"$5\r\n"),
        ):
            conversation.write(f"{line}\r\n".encode())
            conversation.flush()
            assert conversation.readline() == expected, line
        assert conversation.readline() == b"alive\r\n"
        conversation.write(b"DEL smoke\r\n")
        conversation.flush()
        assert conversation.readline() == b":1\r\n"
