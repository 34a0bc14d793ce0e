"""Write pairs of bars and their coverage until killed; says "ready" after the first.

Usage: writing_forever.py PATH
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase
from tradewright.testing.store_material import batch


async def main(path: str) -> None:
    """Cover ten minutes more with each write."""
    database = SQLiteDatabase(Path(path))
    await database.open()
    store = SQLiteBarStore(database)
    for first in range(0, 10_000_000, 10):
        await store.write(batch(list(range(first, first + 10)), (first, first + 10)))
        if first == 0:
            print("ready", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
