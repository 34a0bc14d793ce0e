"""Open a database in a process that kills itself at the n-th moment of the migration.

Usage: crashing_start.py PATH N; exits with 0 when the migration ends before the n-th moment.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys

from tradewright.storage.sqlite.migrations import migrate, shipped_steps


def main(path: str, fatal: int) -> None:
    """Migrate until the fatal moment."""
    moments = 0

    def observe(_moment: str) -> None:
        nonlocal moments
        moments += 1
        if moments == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    migrate(connection, shipped_steps(), begin, observe)


def begin(connection: sqlite3.Connection) -> None:
    """Start a write transaction."""
    connection.execute("BEGIN IMMEDIATE")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
