"""A backfill that is killed again and again ends with what one ends with that is left alone.

    python -m bench.soak_backfill_kills [histories]

``tradewright backfill`` fetches nine days of minutes from an emulated Binance. It is killed (SIGKILL) up to
three times, each at a random moment after its first page, and then resumed. The stored bars of each history
must be those of the run that nobody disturbed, to the bit.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.support.backfill_kills import Command, candle_venue, killed_history, wanted

HISTORIES = 100
KILLS = 3


async def soak(folder: Path, histories: int) -> int:
    """Kill and compare; 0 when all are equal."""
    chance = random.Random(11)
    async with candle_venue(folder, answer_s=0.2) as venue:
        whole = Command.over(venue, folder, "whole")
        code, _, complained = await whole.run(*wanted())
        if code:
            raise SystemExit(complained)
        expected, equal, interrupted = whole.checksum(), 0, 0
        for number in range(histories):
            killed = Command.over(venue, folder, f"killed-{number}")
            order = ("--newest-first",) if number % 2 else ()
            interrupted += await killed_history(venue, killed, chance, KILLS, *order)
            job_id = killed.open_job()
            if job_id is not None:
                await killed.run("--resume", job_id)
            equal += killed.checksum() == expected
        print(f"{equal} of {histories} histories equal the undisturbed one;")
        print(f"{interrupted} kills came after a page of their run was stored.")
        return 0 if equal == histories else 1


def main(histories: int) -> int:
    """Soak in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(soak(Path(folder), histories))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else HISTORIES))
