"""Deadlocks and serialization failures under writers to PostgreSQL: each is tried again, none is told.

    python -m bench.soak_collisions [collisions of each kind] [first seed] [seconds for each kind]

Four writers import minutes of several series, each in one transaction; a program beside them changes the
same rows in the opposite order, and in a deadlock it is ours that the server refuses, within milliseconds.
In a second round the server's default is repeatable reads, and a trigger refuses one of twenty statements as
not serializable. What was accepted must be there.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

from tests.support.collisions import KINDS, Collisions
from tools.private_servers import private_postgres

COLLISIONS, FIRST_SEED, SECONDS = 10_000, 1, 3_600


def main(collisions: int, first_seed: int, seconds: int) -> int:
    """Collide, and print what came of it."""
    surfaced = 0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        with private_postgres(Path(folder) / "postgres") as server:
            for kind in KINDS:
                one, began_s = Collisions(kind, first_seed), time.monotonic()
                asyncio.run(one.run(server.url, collisions, seconds))
                told = sum(one.surfaced.values())
                surfaced += told
                print(
                    f"{one.met:,} {kind} in {one.writes:,} writes, seed {first_seed}, "
                    f"{time.monotonic() - began_s:.0f} s: {told} told to a caller."
                )
                for message, times in one.surfaced.items():
                    print(f"  {times} times: {message}")
    return int(surfaced > 0)


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    given = [int(each) for each in sys.argv[1:4]]
    sys.exit(main(*given, *(COLLISIONS, FIRST_SEED, SECONDS)[len(given) :]))
