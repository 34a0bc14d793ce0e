"""Import bars in a process that kills itself after the n-th part of the import.

Usage: crashing_import.py PATH N
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase
from tradewright.testing.store_material import batch


async def main(path: str, fatal: int) -> None:
    """Import until the fatal part."""
    parts = 0

    def progress(_count: int) -> None:
        nonlocal parts
        parts += 1
        if parts == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    database = SQLiteDatabase(Path(path))
    await database.open()
    data = batch(list(range(100_000)), (0, 100_000))
    await SQLiteBarStore(database).import_bars([data], replace=False, progress=progress)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
