"""A desk for tests of the import: empty memory stores, a clock, and files in every form."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import Coverage
from tradewright.services.bar_import import ImportSummary, import_files
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.testing.clock import DrivenClock

NOON = 1_700_049_600_000
MINUTE = 60_000
HEADER = "time,open,high,low,close,volume"
SYMBOLS = "symbol," + HEADER


@dataclass
class Desk:
    """Memory stores, a clock, and a directory for files, with the import's usual arguments."""

    directory: Path
    bars: MemoryBarStore = field(default_factory=MemoryBarStore)
    clock: DrivenClock = field(default_factory=lambda: DrivenClock(NOON + 365 * 86_400_000))

    def __post_init__(self) -> None:
        self.instruments = MemoryInstrumentStore(self.bars)

    def file(self, name: str, content: str | bytes) -> Path:
        """Write a file."""
        path = self.directory / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    async def take(self, *files: Path, **options: Any) -> ImportSummary:
        """Import files as BTC/USDT at a crypto venue, unless said otherwise."""
        arguments: dict[str, Any] = {"market": "crypto", "provider": "venue", "symbol": "BTC/USDT", **options}
        return await import_files(
            files, bars=self.bars, instruments=self.instruments, clock=self.clock, **arguments
        )

    async def stored(self, symbol: str = "BTC/USDT", timeframe: str = "1m", market: str = "crypto") -> Bars:
        """Return all bars of a series."""
        return await self.bars.read(SeriesKey(market, "venue", symbol, timeframe), 0, 2**60)

    async def covered(
        self, symbol: str = "BTC/USDT", timeframe: str = "1m", market: str = "crypto"
    ) -> Coverage:
        """Return all coverage of a series."""
        return await self.bars.coverage(SeriesKey(market, "venue", symbol, timeframe), 0, 2**60)

    async def is_empty(self) -> bool:
        """Say whether nothing at all was stored or registered."""
        held = [
            await self.bars.series(InstrumentKey(market, "venue", symbol))
            for market, symbol in (("crypto", "BTC/USDT"), ("crypto", "ETH/USDT"), ("stocks", "SPY"))
        ]
        listed = [await self.instruments.instruments(market, "venue") for market in ("crypto", "stocks")]
        return not any(held) and not any(listed)


def row(index: int, version: int = 0) -> tuple[int, float, float, float, float, float]:
    """Return the bar of a minute after noon."""
    base = 100 + index % 13 + version / 3
    return (NOON + index * MINUTE, base, base + 2, base - 1.5, base + 0.1, 1 / 3 + index)


def bars_of(indices: Sequence[int], version: int = 0) -> Bars:
    """Return the bars of those minutes."""
    return Bars.from_rows([row(index, version) for index in indices])


def span(*ranges: tuple[int, int]) -> IntervalSet:
    """Return intervals counted in minutes after noon."""
    return IntervalSet.of((NOON + start * MINUTE, NOON + end * MINUTE) for start, end in ranges)


def csv_of(
    indices: Sequence[int],
    *,
    version: int = 0,
    header: str | None = HEADER,
    time: Callable[[int], object] = int,
    separator: str = ",",
    line_end: str = "\n",
    after: str = "",
) -> str:
    """Return the text of a CSV file; ``after`` is what each row has besides."""
    lines = [header.replace(",", separator)] if header else []
    for index in indices:
        opened, *values = row(index, version)
        lines.append(separator.join([str(time(opened)), *map(repr, values)]) + after)
    return line_end.join([*lines, ""])


def dump_of(indices: Sequence[int], per_ms: int = 1, version: int = 0) -> str:
    """Return the text in the form of Binance's public dumps."""
    text = io.StringIO()
    for index in indices:
        opened, *values = row(index, version)
        close_time = (opened + MINUTE) * per_ms - 1
        print(opened * per_ms, *map(repr, values), close_time, "12.5", 7, "3.1", "2.2", 0, sep=",", file=text)
    return text.getvalue()


def zip_of(**members: str) -> bytes:
    """Return an archive; a double underscore in a name stands for a dot."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "."), text)
    return buffer.getvalue()


def iso(pattern: str) -> Callable[[int], str]:
    """Return how a time is written by a strftime pattern."""
    return lambda time_ms: datetime.fromtimestamp(time_ms / 1000, UTC).strftime(pattern)


def columns_of(indices: Sequence[int]) -> dict[str, Any]:
    """Return the columns of a table."""
    return dict(zip(HEADER.split(","), bars_of(indices).columns(), strict=True))


def parquet_of(columns: dict[str, Any], **options: Any) -> bytes:
    """Return a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, **options)
    return buffer.getvalue()


def with_symbols(*parts: tuple[str, Sequence[int]]) -> str:
    """Return a CSV file with a column for the symbol."""
    rows = [
        f"{symbol},{line}" for symbol, indices in parts for line in csv_of(indices, header=None).splitlines()
    ]
    return "\n".join([SYMBOLS, *rows])
