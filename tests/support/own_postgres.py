"""A PostgreSQL server that a test may freeze and kill."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.private_servers import PrivatePostgres, private_postgres


@contextmanager
def own_postgres() -> Iterator[PrivatePostgres]:
    """Yield a server of one's own; it is gone afterwards, whatever was done to it."""
    with tempfile.TemporaryDirectory(prefix="tradewright-own-") as folder:
        Path(folder).chmod(0o711)  # the unprivileged user has to reach its own directory inside
        with private_postgres(Path(folder) / "postgres") as server:
            yield server
