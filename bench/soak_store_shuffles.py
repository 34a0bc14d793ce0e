"""Ten thousand shuffled deliveries, each with duplicates and corrections, leave what was said last.

python -m bench.soak_store_shuffles [shuffles]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase, SQLiteInstrumentStore
from tradewright.testing.bar_store_delivery_checks import check_shuffled_deliveries
from tradewright.testing.stores import Stores

SHUFFLES = 10_000


async def check(path: Path, shuffles: int) -> None:
    """Run them over both stores that need no server."""
    memory = MemoryBarStore()
    await check_shuffled_deliveries(Stores(memory, MemoryInstrumentStore(memory)), range(shuffles))
    database = SQLiteDatabase(path)
    await database.open()
    stores = Stores(SQLiteBarStore(database), SQLiteInstrumentStore(database))
    await check_shuffled_deliveries(stores, range(shuffles))
    await database.close()


def main(shuffles: int) -> int:
    """Check, and print how long it took."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(check(Path(folder) / "bars.sqlite3", shuffles))
    print(f"{shuffles:,} shuffles: both stores equal the model ({time.perf_counter() - began:.0f} s).")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else SHUFFLES))
