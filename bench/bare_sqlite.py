"""The limit that the embedded store is held against: one table, one statement, nothing around it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

SCHEMA = """
CREATE TABLE bars (
    series_id INTEGER NOT NULL, time INTEGER NOT NULL, open REAL NOT NULL, high REAL NOT NULL,
    low REAL NOT NULL, close REAL NOT NULL, volume REAL NOT NULL, PRIMARY KEY (series_id, time)
) STRICT, WITHOUT ROWID
"""
UPSERT = """
INSERT INTO bars VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET open = excluded.open,
    high = excluded.high, low = excluded.low, close = excluded.close, volume = excluded.volume
"""


def open_bare(path: Path, synchronous: Literal["NORMAL", "FULL"]) -> sqlite3.Connection:
    """A new file with the table, as durable as what it is compared with."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in ("PRAGMA journal_mode = WAL", f"PRAGMA synchronous = {synchronous}", SCHEMA):
        connection.execute(statement)
    return connection


def bare_write(connection: sqlite3.Connection, series: int, rows: Iterable[tuple[float, ...]]) -> None:
    """Upsert all rows in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(UPSERT, ((series, *row) for row in rows))
    connection.execute("COMMIT")
