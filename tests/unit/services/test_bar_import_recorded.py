"""Import of recorded market data, in every form in which it might come."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tradewright.domain.bars import Bars, Values
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import Coverage
from tradewright.domain.timeframes import DAY_MS
from tradewright.services.bar_import import ImportSummary, import_files
from tradewright.services.bar_import.gaps import GapCount
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase, SQLiteInstrumentStore
from tradewright.testing.store_material import ALL_TIME

pytestmark = pytest.mark.golden

BITFINEX = SeriesKey("crypto", "bitfinex", "BTC/USD", "1m")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SQLiteDatabase]:
    """Open an empty database."""
    opened = SQLiteDatabase(tmp_path / "market.sqlite3")
    await opened.open()
    yield opened
    await opened.close()


async def take(database: SQLiteDatabase, file: Path, **options: str) -> ImportSummary:
    """Import one file, by default as BTC/USD of Bitfinex."""
    arguments = {"market": "crypto", "provider": "bitfinex", "timeframe": "1m", **options}
    return await import_files(
        [file],
        market=arguments["market"],
        provider=arguments["provider"],
        symbol=arguments.get("symbol"),
        timeframe=arguments["timeframe"],
        bars=SQLiteBarStore(database),
        instruments=SQLiteInstrumentStore(database),
    )


def rewritten(table: dict[str, list[float]], form: str, directory: Path) -> Path:
    """Write the recorded bars in another form."""
    rows = list(
        zip(*(table[name] for name in ("time_ms", "open", "high", "low", "close", "volume")), strict=True)
    )
    if form == "csv":
        path = directory / "bars.csv"
        lines = [f"{time},{o!r},{h!r},{low!r},{c!r},{v!r}\n" for time, o, h, low, c, v in rows]
        path.write_text("timestamp,open,high,low,close,volume\n" + "".join(lines))
    elif form == "csv.gz":
        path = directory / "bars.csv.gz"
        stamps = np.array(table["time_ms"]).astype("datetime64[ms]").astype(str)
        lines = [
            f"{o!r},{h!r},{low!r},{c!r},{v!r},{stamp}Z\n"
            for stamp, (_, o, h, low, c, v) in zip(stamps, rows, strict=True)
        ]
        path.write_bytes(gzip.compress(("Open,High,Low,Close,Volume,Date\n" + "".join(lines)).encode(), 1))
    else:
        path = directory / f"{form}.zip"
        per_ms = 1_000 if form == "dump in µs" else 1
        lines = [
            f"{time * per_ms},{o!r},{h!r},{low!r},{c!r},{v!r},{(time + 60_000) * per_ms - 1},1.5,9,0.5,1,0\n"
            for time, o, h, low, c, v in rows
        ]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for part in range(0, len(lines), 50_000):
                archive.writestr(f"BTCUSD-1m-{part:06}.csv", "".join(lines[part : part + 50_000]))
    return path


@pytest.mark.parametrize("form", ["parquet", "csv", "csv.gz", "dump in ms", "dump in µs"])
async def test_half_a_year_of_minutes(
    database: SQLiteDatabase, recorded_data: Path, tmp_path: Path, form: str
) -> None:
    recorded = recorded_data / "bitfinex_BTCUSD_1m_2019-07_12.parquet"
    table = pq.read_table(recorded)
    file = recorded if form == "parquet" else rewritten(table.to_pydict(), form, tmp_path)
    summary = await take(database, file, symbol="BTC/USD")
    assert (summary.rows, summary.inserted, summary.duplicates) == (259_389, 259_389, 0)
    (of_symbol,) = summary.symbols
    assert of_symbol.gaps == GapCount(gaps=4_597, missing=5_571, longest=93)
    bars, known = await SQLiteBarStore(database).read_with_coverage(BITFINEX, *ALL_TIME)
    assert bars.equals(Bars(*(table.column(name).to_numpy() for name in table.column_names)))
    vouched = IntervalSet.single(int(bars.time[0]), int(bars.time[-1]) + 60_000)
    if form.startswith("dump"):  # of several members, each of which vouches for itself
        assert known.complete.items[0].start == vouched.items[0].start
        assert known.complete.items[-1].end == vouched.items[0].end
        assert 1 <= len(known.complete) <= 6
    else:
        assert known == Coverage(vouched)
    if form == "parquet":
        again = await take(database, file, symbol="BTC/USD")
        assert (again.inserted, again.unchanged, again.replaced) == (0, 259_389, 0)
    (known_instrument,) = await SQLiteInstrumentStore(database).instruments("crypto", "bitfinex")
    assert (known_instrument.symbol, known_instrument.base, known_instrument.quote) == (
        "BTC/USD",
        "BTC",
        "USD",
    )


async def test_quiet_minutes(database: SQLiteDatabase, recorded_data: Path) -> None:
    file = recorded_data / "bitfinex_ETHUSD_1m_2019-10_12.parquet"
    summary = await take(database, file, symbol="ETH/USD")
    assert (summary.inserted, summary.symbols[0].gaps.missing) == (101_020, 31_457)


async def test_stocks_by_the_minute(database: SQLiteDatabase, recorded_data: Path) -> None:
    file = recorded_data / "us_equities_1m_SPY_IBM.parquet"
    summary = await take(database, file, market="stocks", provider="alpaca")
    assert [(each.symbol, each.rows) for each in summary.symbols] == [("IBM", 2_566), ("SPY", 5_786)]
    ibm, spy = summary.symbols
    assert ibm.gaps == GapCount(gaps=2, missing=2, longest=1), "of the regular minutes"
    assert spy.gaps.gaps == 1, "the ten years between its two parts"
    table = pq.read_table(file).to_pydict()
    of_ibm = [index for index, symbol in enumerate(table["symbol"]) if symbol == "IBM"]
    stored = await SQLiteBarStore(database).read(SeriesKey("stocks", "alpaca", "IBM", "1m"), *ALL_TIME)
    assert stored.time.tolist() == [table["time_ms"][index] for index in of_ibm]
    assert stored.volume.tolist() == [table["volume"][index] for index in of_ibm]
    known = await SQLiteInstrumentStore(database).instrument(InstrumentKey("stocks", "alpaca", "SPY"))
    assert known is not None
    assert (known.type, known.quote, known.calendar) == ("stock", "USD", "XNYS")


async def test_stocks_by_the_day(database: SQLiteDatabase, recorded_data: Path) -> None:
    file = recorded_data / "us_equities_1d_1998_2021.parquet"
    summary = await take(database, file, market="stocks", provider="alpaca", timeframe="1d")
    assert summary.inserted == 21_730
    assert [each.symbol for each in summary.symbols] == ["AAPL", "GOOG", "IBM", "SPY"]
    assert {each.gaps for each in summary.symbols} == {GapCount()}, "no session is missing"
    stored = await SQLiteBarStore(database).read(SeriesKey("stocks", "alpaca", "AAPL", "1d"), *ALL_TIME)
    table = pq.read_table(file).to_pydict()
    dates = [date for date, symbol in zip(table["date"], table["symbol"], strict=True) if symbol == "AAPL"]
    assert stored.time.astype("datetime64[ms]").astype("datetime64[D]").astype(str).tolist() == dates
    assert (stored.time % DAY_MS == 0).all()


async def test_days_from_stored_minutes_equal_those_from_the_file(
    database: SQLiteDatabase, recorded_data: Path
) -> None:
    file = recorded_data / "bitfinex_BTCUSD_1m_2019-07_12.parquet"
    await take(database, file, symbol="BTC/USD")
    table = pq.read_table(file).to_pydict()
    days: dict[int, list[int]] = {}
    for index, time in enumerate(table["time_ms"]):
        days.setdefault(time - time % DAY_MS, []).append(index)
    store = SQLiteBarStore(database)
    for day, rows in days.items():
        bars = await store.read(BITFINEX, day, day + DAY_MS)
        assert len(bars) == len(rows)
        assert _column(bars.open)[0] == table["open"][rows[0]]
        assert max(_column(bars.high)) == max(table["high"][row] for row in rows)
        assert min(_column(bars.low)) == min(table["low"][row] for row in rows)
        assert _column(bars.close)[-1] == table["close"][rows[-1]]


def _column(values: Values) -> list[float]:
    listed: list[float] = values.tolist()
    return listed
