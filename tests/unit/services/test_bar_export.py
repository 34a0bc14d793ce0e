"""Files of stored bars: what is in them, how they are made, and that an import takes them back."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support.houses import INSTRUMENT, House, house, series
from tests.support.ledger import START_MS, random_minutes
from tradewright.domain.bars import Bars
from tradewright.domain.errors import InvalidInput, LimitExceeded, UnknownSymbol, UnknownTimeframe
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import Coverage, SeriesBars
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import HOUR_MS, MINUTE_MS, ONE_MINUTE, TIMEFRAMES
from tradewright.services.bar_export import BarExporter, ExportFormat, exporter, writers
from tradewright.services.bar_import import import_files
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore

COUNT = 4 * 1440
ALL = random_minutes(11, COUNT)
END = START_MS + COUNT * MINUTE_MS
FORMATS: tuple[ExportFormat, ...] = ("csv", "parquet")


class WatchedStore(MemoryBarStore):
    """Remembers how much was read at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[int] = []

    async def read_with_coverage(self, key: SeriesKey, start_ms: int, end_ms: int) -> tuple[Bars, Coverage]:
        bars, coverage = await super().read_with_coverage(key, start_ms, end_ms)
        self.reads.append(len(bars))
        return bars, coverage


async def filled(*holes: tuple[int, int], bars: Bars = ALL) -> House:
    """A house whose store knows all minutes but those of the holes, which are counted in minutes."""
    made = house(ALL, END + 10 * MINUTE_MS)
    made.bars = WatchedStore()
    made.instruments = MemoryInstrumentStore(made.bars)
    made.restart()
    missing = IntervalSet.of((START_MS + a * MINUTE_MS, START_MS + b * MINUTE_MS) for a, b in holes)
    for start, end in IntervalSet.single(START_MS, END).subtract(missing):
        span = IntervalSet.single(start, end)
        await made.bars.write(SeriesBars(series("1m"), bars.between(start, end), span))
    return made


def exporter_of(made: House) -> BarExporter:
    return BarExporter(made.bars, made.markets, made.clock)


async def parts_of(parts: AsyncGenerator[bytes]) -> list[bytes]:
    return [part async for part in parts]


async def exported(
    made: House,
    timeframe: str,
    file_format: ExportFormat = "csv",
    start: int | None = None,
    end: int | None = None,
) -> bytes:
    export = await exporter_of(made).export(series(timeframe), start, end, file_format)
    return b"".join(await parts_of(export.parts))


def bars_of_csv(text: bytes) -> Bars:
    header, *lines = text.decode("ascii").splitlines()
    assert header == "time,open,high,low,close,volume"
    return Bars.from_rows([tuple(map(float, line.split(","))) for line in lines])


async def imported(content: bytes, suffix: str, directory: Path, timeframe: str = "1m") -> Bars:
    """What an import of the file stores."""
    path = directory / f"bars.{suffix}"
    path.write_bytes(content)
    bars = MemoryBarStore()
    await import_files(
        [path],
        market="crypto",
        provider="ledger",
        symbol=INSTRUMENT.symbol,
        timeframe=timeframe,
        bars=bars,
        instruments=MemoryInstrumentStore(bars),
    )
    return await bars.read(series(timeframe), 0, 2**60)


@pytest.mark.parametrize("file_format", FORMATS)
async def test_an_import_takes_it_back_bit_for_bit(file_format: ExportFormat, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    scale = 10.0 ** rng.integers(-9, 12, len(ALL))
    odd = Bars(ALL.time, *(column * scale for column in ALL.values()))
    made = await filled(bars=odd)
    content = await exported(made, "1m", file_format)
    assert (await imported(content, file_format, tmp_path)).equals(odd)


@pytest.mark.parametrize("file_format", FORMATS)
async def test_it_is_made_window_by_window(
    file_format: ExportFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "WINDOW_BARS", 500)
    made = await filled()
    export = await exporter_of(made).export(series("1m"), None, None, file_format)
    parts = await parts_of(export.parts)
    assert isinstance(made.bars, WatchedStore)
    assert len(made.bars.reads) == 12
    assert max(made.bars.reads) <= 500
    assert len(parts) >= 13
    assert max(map(len, parts)) < 500 * 6 * 20 + 4_000
    assert (await imported(b"".join(parts), file_format, tmp_path)).equals(ALL)


async def test_parquet_has_times_that_other_programs_know() -> None:
    table = pq.read_table(io.BytesIO(await exported(await filled(), "1m", "parquet")))
    assert table.column_names == ["time", "open", "high", "low", "close", "volume"]
    assert str(table.schema.field("time").type) == "timestamp[ms, tz=UTC]"


async def test_only_whole_bars_of_a_higher_timeframe() -> None:
    made = await filled((90, 100), (60 * 50, 60 * 50 + 1))
    bars = bars_of_csv(await exported(made, "1h"))
    whole = resample(ALL, TIMEFRAMES["1h"])
    broken = {START_MS + HOUR_MS, START_MS + 50 * HOUR_MS}
    assert bars.equals(whole.take(~np.isin(whole.time, list(broken))))


async def test_the_provider_s_own_bars_stand_where_minutes_do_not() -> None:
    made = await filled((0, 24 * 60))
    own = resample(random_minutes(1, 25 * 60), TIMEFRAMES["1h"])
    await made.bars.write(
        SeriesBars(series("1h"), own, IntervalSet.single(START_MS, START_MS + 25 * HOUR_MS))
    )
    bars = bars_of_csv(await exported(made, "1h"))
    minutes = resample(ALL, TIMEFRAMES["1h"]).between(START_MS + 24 * HOUR_MS, END)
    assert bars.equals(Bars.concat((own.between(0, START_MS + 24 * HOUR_MS), minutes)))


async def test_a_range_is_kept_to_and_nothing_is_asked_of_the_venue() -> None:
    made = await filled((0, 600))
    start, end = START_MS + 500 * MINUTE_MS + 1, START_MS + 700 * MINUTE_MS
    assert bars_of_csv(await exported(made, "1m", "csv", start, end)).equals(
        ALL.between(START_MS + 600 * MINUTE_MS, end)
    )
    assert len(bars_of_csv(await exported(made, "1m", "csv", 0, START_MS))) == 0
    assert await exported(made, "1d", "csv", END, END + 1) == b"time,open,high,low,close,volume\n"
    assert made.plugin.requests == []


async def test_nothing_stored_is_a_header() -> None:
    made = house(ALL, END)
    assert await exported(made, "1m") == f"{writers.CSV_HEADER}\n".encode()
    assert pq.read_table(io.BytesIO(await exported(made, "1m", "parquet"))).num_rows == 0


async def test_so_many_at_once_and_one_that_is_left_makes_room() -> None:
    made = await filled()
    desk = exporter_of(made)
    begun = [(await desk.export(series("1m"), None, None, "csv")).parts for _ in range(3)]
    for parts in begun[: exporter.EXPORTS_AT_ONCE]:
        await anext(parts)
    with pytest.raises(LimitExceeded) as refused:
        await anext(begun[-1])
    assert refused.value.retry_after_s
    await begun[0].aclose()
    again = (await desk.export(series("1m"), None, None, "csv")).parts
    assert bars_of_csv(b"".join(await parts_of(again))).equals(ALL)
    await begun[1].aclose()


async def test_a_name_of_a_file_is_safe() -> None:
    export = await exporter_of(await filled()).export(series("1M"), None, None, "parquet")
    assert export.file_name == "ledger-BTC-USDT-1M.parquet"
    assert exporter._plain("..//a:b$'\"\r\nc") == "a-b-c"


async def test_what_cannot_be_exported_is_refused() -> None:
    desk = exporter_of(await filled())
    with pytest.raises(UnknownTimeframe):
        await desk.export(SeriesKey("crypto", "ledger", INSTRUMENT.symbol, "7m"), None, None, "csv")
    with pytest.raises(UnknownSymbol):
        await desk.export(SeriesKey("crypto", "ledger", "NO/PE", "1m"), None, None, "csv")
    with pytest.raises(InvalidInput):
        await desk.export(INSTRUMENT.series(ONE_MINUTE), 2, 1, "csv")
