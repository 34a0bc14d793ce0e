"""Open a schema in a process that kills itself at the n-th moment of the migration.

Usage: crashing_postgres_start.py URL SCHEMA N; exits with 0 when the migration ends before the n-th moment.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from tradewright.runtime.clock import SystemClock
from tradewright.storage.postgres.address import Address
from tradewright.storage.postgres.lending import connect
from tradewright.storage.postgres.migrations import migrate, shipped_steps


async def main(url: str, schema: str, fatal: int) -> None:
    """Migrate until the fatal moment."""
    moments = 0

    def observe(_moment: str) -> None:
        nonlocal moments
        moments += 1
        if moments == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    connection = await connect(Address.of(url), schema, 30)
    await migrate(connection, schema, shipped_steps(), SystemClock(), observe)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
