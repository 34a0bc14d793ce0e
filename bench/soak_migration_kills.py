"""Starts that are killed at random times of their migrations, on SQLite and on PostgreSQL.

    python -m bench.soak_migration_kills [kills of each] [first seed]

A process opens an empty database as a server does, and is killed (SIGKILL) at a random moment of that. What
it leaves has to be what one of the steps leaves, never half of one, and the next start has to succeed.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

from tests.support.migration_kills import MigrationKills
from tools.private_servers import private_postgres

KILLS, FIRST_SEED = 100, 1


def main(kills: int, seed: int) -> int:
    """Kill, and print how often that was in the middle; a half schema ends it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        began_s, files = time.monotonic(), MigrationKills(seed)
        asyncio.run(files.of_sqlite(Path(folder), kills))
        print(f"SQLite, seed {seed}: {files.kills} starts killed, {files.amid} of them amid migrations;")
        with private_postgres(Path(folder) / "postgres") as server:
            schemas = MigrationKills(seed)
            asyncio.run(schemas.of_postgres(server.url, kills))
        print(f"PostgreSQL, seed {seed}: {schemas.kills} starts killed, {schemas.amid} amid migrations;")
    print(f"0 half schemas, each next start succeeded; {time.monotonic() - began_s:.0f} s.")
    return 0


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    given = [int(each) for each in sys.argv[1:3]]
    sys.exit(main(*given, *(KILLS, FIRST_SEED)[len(given) :]))
