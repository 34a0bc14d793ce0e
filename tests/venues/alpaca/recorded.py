"""Recorded bars of US stocks as securities of the venue."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq

from tests.venues.alpaca.securities import NEW_YORK, Bar, Security


def load_minutes(path: Path) -> list[Security]:
    """The symbols of a file of minutes (`symbol`, `time_ms`, prices, volume)."""
    found: dict[str, Security] = {}
    for row in pq.read_table(path).to_pylist():
        security = found.setdefault(row["symbol"], Security(row["symbol"], row["symbol"]))
        security.minutes.append(_bar(row, row["time_ms"]))
    return list(found.values())


def load_days(path: Path) -> list[Security]:
    """The symbols of a file of days (`symbol`, `date`, prices, volume)."""
    found: dict[str, Security] = {}
    for row in pq.read_table(path).to_pylist():
        security = found.setdefault(row["symbol"], Security(row["symbol"], row["symbol"]))
        opened = datetime.fromisoformat(row["date"]).replace(tzinfo=NEW_YORK)
        security.days.append(_bar(row, int(opened.timestamp()) * 1000))
    return list(found.values())


def _bar(row: dict[str, float], at_ms: float) -> Bar:
    return Bar(int(at_ms), row["open"], row["high"], row["low"], row["close"], row["volume"])
