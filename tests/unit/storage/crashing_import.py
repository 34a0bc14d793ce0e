"""Import bars in a process that kills itself after the n-th part of the import, or just after all of it.

Usage: crashing_import.py PATH N; with 0 the process dies as soon as the store has said that it is done.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tradewright.domain.ports import ImportCounts, SeriesBars
from tradewright.services.bar_import import ImportProgress, import_files
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase, SQLiteInstrumentStore
from tradewright.testing.store_material import START_MS


class DyingBarStore(SQLiteBarStore):
    """Ends the process where the transaction of the bars has just been committed."""

    async def import_bars(self, batches: Sequence[SeriesBars], **options: Any) -> ImportCounts:
        """Import, and die."""
        await super().import_bars(batches, **options)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("not killed")


def bar_file(path: Path) -> Path:
    """Write 100,000 minutes."""
    rows = (f"{START_MS + minute * 60_000},2,3,1,2,0\n" for minute in range(100_000))
    path.write_text("time,open,high,low,close,volume\n" + "".join(rows))
    return path


async def main(path: Path, fatal: int) -> None:
    """Import until the fatal part."""
    parts = 0

    def progress(moment: ImportProgress) -> None:
        nonlocal parts
        parts += moment.phase == "storing"
        if parts and parts == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    database = SQLiteDatabase(path)
    await database.open()
    await import_files(
        [bar_file(path.with_suffix(".csv"))],
        market="crypto",
        provider="venue",
        symbol="BTC/USDT",
        bars=DyingBarStore(database),
        instruments=SQLiteInstrumentStore(database),
        progress=progress,
    )


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
