"""Two hundred slow queries under way in PostgreSQL: what a live bar's write takes meanwhile.

    python -m bench.soak_slow_readers [writes]

The queries hold every connection for reading and queue for more; who waits for longer than four seconds is
refused and comes again. Writes have connections of their own: 99 of 100 take a tenth of a second at most.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from tests.support.slow_readers import READERS, SlowReaders
from tools.private_servers import private_postgres

WRITES = 10_000
PAUSE_S = 0.005
P99_S_MAX = 0.1


def main(writes: int) -> int:
    """Write beside the readers, and print what it took."""
    one = SlowReaders()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        with private_postgres(Path(folder) / "postgres") as server:
            asyncio.run(one.run(server.url, writes, PAUSE_S))
    taken_s = sorted(one.writes_s)
    p50_s, p99_s = (taken_s[len(taken_s) * share // 100] for share in (50, 99))
    print(f"{READERS} readers, {one.answered} slow queries answered, {one.refused} refused;")
    print(
        f"{len(taken_s):,} writes beside them: p50 {p50_s * 1000:.1f} ms, p99 {p99_s * 1000:.1f} ms,", end=" "
    )
    print(f"slowest {taken_s[-1] * 1000:.1f} ms.")
    return int(p99_s > P99_S_MAX)


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else WRITES))
