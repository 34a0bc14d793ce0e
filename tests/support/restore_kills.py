"""Restore a backup in processes that kill themselves, each at its own step of putting files in place.

Usage: restore_kills.py BACKUP DIRECTORY@N …; prints how each process ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import alembic.command

from tradewright.app_extensions.backups import restore
from tradewright.config import TestingConfig

IMPORTED_BEFORE_THE_FORKS = alembic.command


def restored(directory: Path, backup: Path, fatal: int) -> None:
    """Restore, and die before the n-th file is moved."""
    moves = 0

    def look(event: str, _arguments: object) -> None:
        nonlocal moves
        if event == "os.rename":
            moves += 1
            if moves == fatal:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)
    asyncio.run(restore(TestingConfig(data_dir=directory), backup))


def main() -> None:
    for each in sys.argv[2:]:
        directory, fatal = each.rsplit("@", 1)
        child = os.fork()
        if child == 0:
            restored(Path(directory), Path(sys.argv[1]), int(fatal))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    main()
