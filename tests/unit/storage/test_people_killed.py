"""What is changed in one step is changed whole or not at all, whenever the program dies."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.support import people_processes
from tests.support.postgres_schemas import own_schema


async def deaths(kind: str, place: str) -> list[str]:
    """What there was before, after each death while anna is shut out, and at last: whether she is, and how
    many sessions there are."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        people_processes.__file__,
        "shut_out",
        kind,
        place,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await program.communicate()
    assert program.returncode == 0
    return said.decode().splitlines()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_nobody_is_shut_out_and_keeps_a_session(kind: str, tmp_path: Path, postgres_url: str) -> None:
    if kind == "sqlite":
        seen = await deaths(kind, str(tmp_path / "auth.sqlite3"))
    else:
        async with own_schema(postgres_url) as schema:
            seen = await deaths(kind, f"{postgres_url} {schema}")
    whole, done = "False 2", "True 0"
    assert set(seen) == {whole, done}, seen
    assert seen.count(whole) > 3, "it died with statements behind it that were not committed"
    assert seen == sorted(seen), "and what was done once stays done"
