"""What is changed in one step is changed whole or not at all, whenever the program dies."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.support import people_processes
from tests.support.postgres_schemas import own_schema


async def deaths(*places: str) -> list[list[str]]:
    """For each kind and place: whether anna is shut out and how many sessions she has, before, after each
    death while she is shut out, and at last."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, people_processes.__file__, "shut_out", *places, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await program.communicate()
    assert program.returncode == 0
    return [part.splitlines() for part in said.decode().split("end\n")[:-1]]


async def test_nobody_is_shut_out_and_keeps_a_session(tmp_path: Path, postgres_url: str) -> None:
    async with own_schema(postgres_url) as schema:
        both = await deaths(
            "sqlite", str(tmp_path / "auth.sqlite3"), "postgresql", f"{postgres_url} {schema}"
        )
    assert len(both) == 2
    whole, done = "False 2", "True 0"
    for seen in both:
        assert set(seen) == {whole, done}, seen
        assert seen.count(whole) > 3, "it died with statements behind it that were not committed"
        assert seen == sorted(seen), "and what was done once stays done"
