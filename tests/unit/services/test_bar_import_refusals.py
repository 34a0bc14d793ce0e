"""Import of bar files: what is refused, by which line, and that nothing is stored then."""

from __future__ import annotations

import asyncio
import gzip
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from tests.unit.services.import_desk import (
    HEADER,
    MINUTE,
    NOON,
    SYMBOLS,
    Desk,
    bars_of,
    columns_of,
    csv_of,
    dump_of,
    iso,
    parquet_of,
    with_symbols,
    zip_of,
)
from tradewright.domain.errors import BarFileError, TradewrightError
from tradewright.services.bar_import import ImportProgress, opening, source
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase, SQLiteInstrumentStore


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a desk with empty stores."""
    return Desk(tmp_path)


def with_line(number: int, line: str) -> str:
    """Return a sound file of ten bars with one of its lines replaced."""
    lines = csv_of(range(10)).splitlines()
    lines[number - 1] = line
    return "\n".join(lines)


def bar(index: int = 3, **changed: object) -> str:
    """Return the line of one bar (line ``index + 2``) with some of its cells changed."""
    cells = dict(zip(HEADER.split(","), csv_of([index], header=None).strip().split(","), strict=True))
    return ",".join(str(cell) for cell in {**cells, **changed}.values())


def seconds(values: list[int]) -> pa.Array:
    """Return a column of timestamps in seconds."""
    return pa.array(values, pa.timestamp("s"))


LINES: dict[str, tuple[str, str]] = {
    "no number": (bar(open="abc"), "the open 'abc' is not a number"),
    "empty cell": (bar(close=""), "the close '' is not a number"),
    "not a number": (bar(high="NaN"), "the high 'NaN' is not a number"),
    "infinity": (bar(high="inf"), "the high 'inf' is not a number"),
    "too large": (bar(high="1e999"), "the high is inf"),
    "underscore": (bar(volume="1_000"), "the volume '1_000' is not a number"),
    "full-width digits": (bar(volume="１０"), "is not a number"),
    "decimal comma": (bar(volume='"1,5"'), "the volume '1,5' is not a number"),
    "hexadecimal": (bar(volume="0x10"), "the volume '0x10' is not a number"),
    "two numbers": (bar(volume="1 2"), "the volume '1 2' is not a number"),
    "bytes that are no text": (bar(low="\udcff"), "is not a number"),
    "price of zero": (bar(low=0), "the low is 0.0"),
    "negative price": (bar(open=-1), "the open is -1.0"),
    "negative volume": (bar(volume=-0.1), "the volume is -0.1"),
    "high below close": (bar(high=102.5, close=103.1), "the high 102.5 is below the open 103.0"),
    "low above close": (bar(low=103.05), "the low 103.05 is above the open 103.0"),
    "too few columns": ("1,2,3", "there are 3 columns, not 6"),
    "too many columns": (bar() + ",9", "there are 7 columns, not 6"),
    "time of another unit": (
        bar(time=(NOON + 3 * MINUTE) // 1000),
        "does not fit: the file began with times in mill",
    ),
    "no time": (bar(time=""), "the time '' is not a whole number"),
    "ISO among numbers": (bar(time="2023-11-15 12:03"), "is not a whole number"),
    "fraction of a time": (bar(time=f"{NOON + 3 * MINUTE}.5"), "is not a whole number"),
    "exponent": (bar(time="1.7e12"), "is not a whole number"),
    "endless time": (bar(time="9" * 40), "is not a whole number"),
    "nineteen digits": (bar(time="9" * 19), "is not a whole number"),
    "between two minutes": (
        bar(time=NOON + 3 * MINUTE + 1),
        "no bar of 1m opens at 2023-11-15 12:03:00.001 UTC",
    ),
    "going back": (bar(time=NOON + MINUTE), "is before that of the row above"),
    "contradicting duplicate": (bar(time=NOON + 2 * MINUTE), "contradicts that of line 4"),
    "field over lines": (bar(volume='"1\n2"'), "a quoted field goes over several lines"),
    "text after a quote": (bar(volume='"1"2'), "this can't be read as CSV"),
    "open quote": (bar(volume='"1'), "this can't be read as CSV (unexpected end of data)"),
}


@pytest.mark.parametrize("fault", LINES)
async def test_the_line_is_named_and_nothing_is_stored(desk: Desk, fault: str) -> None:
    line, message = LINES[fault]
    good = desk.file("good.csv", csv_of(range(20, 30)))
    text = with_line(5, line).encode("utf-8", "surrogateescape")
    bad = desk.file("bad.csv", text)
    with pytest.raises(BarFileError) as refusal:
        await desk.take(good, bad)
    assert str(bad) in refusal.value.message
    assert "good.csv" not in refusal.value.message
    assert f"{bad}, line 5: " in refusal.value.message
    assert message in refusal.value.message
    assert "\n" not in refusal.value.message
    assert await desk.is_empty()


async def test_of_several_bad_rows_the_first_is_named(desk: Desk) -> None:
    lines = csv_of(range(100_000)).splitlines()
    for number in (99_000, 70_001, 88_000):
        lines[number - 1] = lines[number - 1].replace(",", ",-", 1)
    with pytest.raises(BarFileError, match="line 70001: no market can have made this bar: the open is -"):
        await desk.take(desk.file("a.csv", "\n".join(lines)))
    lines[60_000] = lines[60_000].replace(".", ".x", 1)
    with pytest.raises(BarFileError, match="line 60001: "):
        await desk.take(desk.file("b.csv", "\n".join(lines)))


async def test_blank_lines_are_counted(desk: Desk) -> None:
    text = HEADER + "\n\n\n" + bar(0) + "\n\n" + bar(1, low=-1)
    with pytest.raises(BarFileError, match="line 6: "):
        await desk.take(desk.file("a.csv", text))


FILES: dict[str, tuple[str, str | bytes, str]] = {
    "empty": ("a.csv", "", "line 1: the first line is empty"),
    "header only": ("a.csv", HEADER, "there is no row in it"),
    "missing column": (
        "a.csv",
        csv_of([1], header="time,open,high,low,last,volume"),
        "line 1: there is no column for close",
    ),
    "missing two": ("a.csv", "a,b\n1,2\n", "there is no column for time, open, high, low, close, volume"),
    "column twice": (
        "a.csv",
        csv_of([1], header="time,open,high,Open,close,volume"),
        "the column 'Open' is there twice",
    ),
    "too few without header": ("a.csv", "1700049600000,1,2,3\n", "line 1: there is no header, and 4 columns"),
    "bad first row without header": ("a.csv", dump_of([1]).replace("101.0", "x", 1), "line 1: the open"),
    "implausible time": ("a.csv", csv_of([1], time=lambda _: 17), "line 2: the time 17 is not plausible"),
    "between units": ("a.csv", csv_of([1], time=lambda _: 5 * 10**10), "is not plausible"),
    "part of a millisecond": (
        "a.csv",
        csv_of([1], time=lambda time: time * 1000 + 1),
        "not a whole number of milli",
    ),
    "beyond 64 bits": (
        "a.csv",
        csv_of([1], time=lambda time: time * 10**6) + csv_of([2], header=None, time=lambda _: "9" * 19),
        "line 3: the time '9999999999999999999' is not a whole number",
    ),
    "impossible date": (
        "a.csv",
        csv_of([1], time=lambda _: "2023-02-30 10:00"),
        "line 2: the time '2023-02-30 10:00'",
    ),
    "time only": ("a.csv", csv_of([1], time=iso("%H:%M")), "line 2: the time '12:01' is not an ISO 8601"),
    "American date": ("a.csv", csv_of([1], time=iso("%m/%d/%Y %H:%M")), "is not an ISO 8601"),
    "descending": ("a.csv", csv_of([5, 4, 3]), "line 3: the time 2023-11-15 12:04:00 UTC is before"),
    "preamble": ("a.csv", "https://www.example.org\n" + csv_of([1]), "line 1: there is no column for time"),
    "UTF-16": ("a.csv", csv_of([1]).encode("utf-16"), "line 1: there is no column for"),
    "long line": ("a.csv", csv_of([1]) + "1" * 3_000_000, "line 3: the line is longer than 1,048,576"),
    "other ending": ("a.xlsx", b"PK", "only .csv, .csv.gz, .zip"),
    "no zip": ("a.zip", b"PK" + b"x" * 50, "this can't be unpacked"),
    "empty zip": ("a.zip", zip_of(), "there is no .csv file in the archive"),
    "zip of something else": ("a.zip", zip_of(readme__txt="hello"), "there is no .csv file in the archive"),
    "bad member": (
        "a.zip",
        zip_of(a__csv=dump_of([1]), b__csv=dump_of([3]) + "x"),
        "('b.csv'), line 2: there are 1 col",
    ),
    "no gzip": ("a.csv.gz", b"time,open", "this can't be unpacked"),
    "cut gzip": ("a.csv.gz", gzip.compress(csv_of(range(1000)).encode())[:-20], "this can't be unpacked"),
    "cut zip": ("a.zip", zip_of(a__csv=dump_of(range(1000)))[:-40], "this can't be unpacked"),
    "before 1970": (
        "a.csv",
        f"{HEADER}\n1962-01-02T00:00,2,3,1,2,0\n",
        "line 2: this bar is of a time before the year 1970, which can't be served",
    ),
    "a minute before 1970": (
        "a.csv",
        f"{HEADER}\n1970-01-01T00:00+00:01,2,3,1,2,0\n1970-01-01T00:00,2,3,1,2,0\n",
        "line 2: this bar is of a time before the year 1970",
    ),
    "after 9999": (
        "a.csv",
        f"{HEADER}\n2020-01-01T00:00Z,2,3,1,2,0\n9999-12-31T23:59-00:01,2,3,1,2,0\n",
        "line 3: this bar is of a time after the year 9999",
    ),
    "Parquet after 9999": (
        "a.parquet",
        parquet_of({**columns_of([1, 2]), "time": seconds([1_600_000_020, 300_000_000_000])}),
        "row 2: this bar is of a time after the year 9999",
    ),
    "Parquet before 1970": (
        "a.parquet",
        parquet_of({**columns_of([1, 2]), "time": seconds([-60, 60])}),
        "row 1: this bar is of a time before the year 1970",
    ),
    "no Parquet": ("a.parquet", b"PAR1 nothing PAR1", "this is not a sound Parquet file"),
    "cut Parquet": ("a.parquet", parquet_of(columns_of(range(100)))[:-9], "this is not a sound Parquet file"),
    "Parquet without a column": (
        "a.parquet",
        parquet_of({"time": [1], "open": [1.0]}),
        "no column for high, low, close",
    ),
    "Parquet with text": (
        "a.parquet",
        parquet_of({**columns_of([1, 2]), "low": ["a", "b"]}),
        "the column for low holds string",
    ),
    "Parquet with a hole": (
        "a.parquet",
        parquet_of({**columns_of([1, 2]), "low": [1.0, None]}),
        "row 2: there is no low",
    ),
    "Parquet without a time": (
        "a.parquet",
        parquet_of({**columns_of([1, 2]), "time": [NOON, None]}),
        "row 2: there is no time",
    ),
    "Parquet with odd time": (
        "a.parquet",
        parquet_of({**columns_of([1]), "time": [1.5]}),
        "the column for time holds double",
    ),
    "Parquet with NaN": (
        "a.parquet",
        parquet_of({**columns_of([1, 2]), "low": [90.0, float("nan")]}),
        "row 2: no market can",
    ),
    "Parquet descending": (
        "a.parquet",
        parquet_of({name: column[::-1] for name, column in columns_of([1, 2, 3]).items()}),
        "row 2: the time 2023-11-15 12:02:00 UTC is before",
    ),
}


@pytest.mark.parametrize("fault", FILES)
async def test_a_bad_file_is_refused_whole(desk: Desk, fault: str) -> None:
    name, content, message = FILES[fault]
    bad = desk.file(name, content)
    with pytest.raises(BarFileError) as refusal:
        await desk.take(desk.file("good.csv", csv_of([50])), bad)
    assert refusal.value.message.startswith(str(bad))
    assert message in refusal.value.message
    assert await desk.is_empty()


async def test_missing_files_and_directories(desk: Desk) -> None:
    with pytest.raises(BarFileError, match=r"missing\.csv: there is no such file"):
        await desk.take(desk.file("a.csv", csv_of([1])), desk.directory / "missing.csv")
    (desk.directory / "folder.csv").mkdir()
    with pytest.raises(BarFileError, match=r"folder\.csv: this can't be read \(Is a directory\)"):
        await desk.take(desk.directory / "folder.csv")
    assert await desk.is_empty()


async def test_an_encrypted_archive_is_refused(desk: Desk) -> None:
    content = bytearray(zip_of(a__csv=dump_of([1])))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(BarFileError, match="encrypted"):
        await desk.take(desk.file("a.zip", bytes(content)))


async def test_an_archive_with_a_wrong_checksum_is_refused(desk: Desk) -> None:
    path = desk.directory / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.csv", dump_of(range(100)))
    content = path.read_bytes()
    path.write_bytes(content.replace(b",7,3.1,", b",7,3.2,", 1))
    with pytest.raises(BarFileError, match=r"can't be unpacked.*CRC"):
        await desk.take(path)
    assert await desk.is_empty()


@pytest.mark.parametrize(
    "pack",
    [lambda text: ("a.csv.gz", gzip.compress(text)), lambda text: ("a.zip", zip_of(a__csv=text.decode()))],
)
async def test_what_unpacks_without_end_is_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], tuple[str, bytes]]
) -> None:
    monkeypatch.setattr(opening, "UNPACKED_BYTES_MAX", 5 * 2**19)
    name, content = pack(csv_of(range(60_000)).encode())
    with pytest.raises(BarFileError, match="unpacks to more than"):
        await desk.take(desk.file(name, content))
    name, content = pack(b"x" * 10_000_000)
    with pytest.raises(BarFileError, match="line 1: the line is longer"):
        await desk.take(desk.file(name, content))
    assert await desk.is_empty()


async def test_more_rows_than_memory_should_hold_are_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradewright.services.bar_import.table.ROWS_MAX", 1_000)
    monkeypatch.setattr("tradewright.services.bar_import.parquet_source.ROWS_MAX", 1_000)
    half = desk.file("half.csv", csv_of(range(600)))
    for name, content in (
        ("a.csv", csv_of(range(600, 1_200)).encode()),
        ("a.zip", zip_of(a__csv=dump_of(range(600, 1_200)))),
        ("a.parquet", parquet_of(columns_of(range(600, 1_200)))),
    ):
        with pytest.raises(BarFileError, match="rows in all"):
            await desk.take(half, desk.file(name, content))
    assert await desk.is_empty()
    await desk.take(half)


async def test_a_bar_that_has_not_ended_is_refused(desk: Desk) -> None:
    file = desk.file("a.csv", csv_of([0, 1, 2]))
    desk.clock = type(desk.clock)(NOON + 3 * MINUTE - 1)
    with pytest.raises(BarFileError, match=r"line 4: the bar of .* has not ended yet"):
        await desk.take(file)
    assert await desk.is_empty()
    desk.clock = type(desk.clock)(NOON + 3 * MINUTE)
    assert (await desk.take(file)).inserted == 3


@pytest.mark.parametrize("names", [("a.csv", "b.csv"), ("b.csv", "a.csv")])
async def test_files_that_contradict_each_other(desk: Desk, names: tuple[str, str]) -> None:
    first = desk.file(names[0], csv_of([0, 1, 2, 3]))
    second = desk.file(names[1], csv_of([2, 3, 4]).replace(repr(bars_of([3]).close[0].item()), "103.2"))
    with pytest.raises(BarFileError) as refusal:
        await desk.take(*(desk.directory / name for name in sorted(names)))
    assert f"{second}, line 3: this bar of BTC/USDT at 2023-11-15 12:03:00 UTC contradicts that of" in str(
        refusal.value
    )
    assert f"{first}, line 5." in str(refusal.value)
    assert await desk.is_empty()


async def test_a_file_that_vouches_for_no_trade_contradicts_one_that_has_it(desk: Desk) -> None:
    files = [desk.file("a.csv", csv_of([0, 1, 3])), desk.file("b.csv", csv_of([1, 2, 3]))]
    with pytest.raises(BarFileError) as refusal:
        await desk.take(*files)
    assert (
        f"{files[1]}, line 3: there is a bar of BTC/USDT at 2023-11-15 12:02:00 UTC, and {files[0]}"
        in str(refusal.value)
    )
    assert await desk.is_empty()
    assert (await desk.take(*files, sparse=True)).inserted == 4


@pytest.mark.parametrize(
    ("parts", "wanted", "market", "message"),
    [
        ([("BTCUSDT", [1])], None, "crypto", "line 2: In the market crypto a symbol has the form BASE/QUOTE"),
        ([("BTC/USDT", [1]), ("A B", [2])], None, "crypto", "line 3: The symbol must be"),
        ([("SPY", [1]), ("", [2])], None, "stocks", "line 3: The symbol must be"),
        ([("SPY", [1]), ("../x", [2])], None, "stocks", "line 3: The symbol must be"),
        (
            [("ETH/USDT", [1])],
            "BTC/USDT",
            "crypto",
            "no symbol in it can be 'BTC/USDT'; there are 'ETH/USDT'.",
        ),
        ([("BTCUSDT", [1]), ("BTC-USDT", [2])], "BTC/USDT", "crypto", "more than one symbol in it can be"),
        ([(f"S{n}", [n]) for n in range(30)], "X", "stocks", "'S9' and 20 more."),
    ],
)
async def test_symbols_that_can_not_be_told(
    desk: Desk, parts: list[tuple[str, list[int]]], wanted: str | None, market: str, message: str
) -> None:
    with pytest.raises(BarFileError) as refusal:
        await desk.take(desk.file("a.csv", with_symbols(*parts)), symbol=wanted, market=market)
    assert message in refusal.value.message
    assert await desk.is_empty()


async def test_a_symbol_has_to_be_said_where_the_file_does_not(desk: Desk) -> None:
    with pytest.raises(BarFileError, match="--symbol"):
        await desk.take(desk.file("a.csv", csv_of([1])), symbol=None)


async def test_a_fault_of_one_symbol_stores_none(desk: Desk) -> None:
    text = with_symbols(("BTC/USDT", [0, 1]), ("ETH/USDT", [5, 4]), ("XRP/USDT", [0]))
    with pytest.raises(BarFileError, match=r"line 5: the time .* is before"):
        await desk.take(desk.file("a.csv", text), symbol=None)
    assert await desk.is_empty()
    text = SYMBOLS + "\n" + "\n".join([f"BTC/USDT,{bar(0)}", f"BTC/USDT,{bar(0, volume=7)}"])
    with pytest.raises(BarFileError, match=r"line 3: this bar .* contradicts that of line 2"):
        await desk.take(desk.file("b.csv", text))


async def test_foreign_text_does_not_break_out_of_the_message(desk: Desk) -> None:
    long = desk.file("a.csv", with_line(3, bar(1, open="\x1b[31m" + "A" * 500)))
    with pytest.raises(BarFileError) as refusal:
        await desk.take(long)
    assert "\x1b" not in refusal.value.message
    assert len(refusal.value.message) < 200 + len(str(long))
    assert source.shown("\udcff\n") == r"'\\udcff\n'"


async def test_a_cancelled_import_stops_reading_and_stores_nothing(desk: Desk) -> None:
    file = desk.file("a.csv", csv_of(range(30_000)))
    loop = asyncio.get_running_loop()
    seen, stopped = [], threading.Event()

    def progress(step: ImportProgress) -> None:
        seen.append(step)
        loop.call_soon_threadsafe(importing.cancel)
        stopped.wait(0.05)  # gives the loop the time to pass the cancellation on

    importing = asyncio.create_task(desk.take(file, progress=progress))
    with pytest.raises(asyncio.CancelledError):
        await importing
    await loop.shutdown_default_executor()
    assert {step.phase for step in seen} == {"reading"}
    assert seen[-1].done < seen[-1].total
    assert await desk.is_empty()


async def test_in_a_durable_store_a_refused_import_leaves_no_trace(desk: Desk) -> None:
    database = SQLiteDatabase(desk.directory / "market.sqlite3")
    await database.open()
    bars, instruments = SQLiteBarStore(database), SQLiteInstrumentStore(database)
    desk.bars, desk.instruments = bars, instruments  # type: ignore[assignment]  # another kind, the same port
    await desk.take(desk.file("a.csv", with_symbols(("BTC/USDT", [0, 1, 2]))), symbol=None)
    text = with_symbols(("AAA/USDT", range(100)), ("BTC/USDT", [1])).replace("BTC/USDT,", "BTC/USDT,", 1)
    broken = text.rsplit(",", 1)[0] + ",77"
    with pytest.raises(TradewrightError, match="line 102: the stored bar of BTC/USDT"):
        await desk.take(desk.file("b.csv", broken), symbol=None)
    assert len(await desk.stored("AAA/USDT")) == 0
    assert [each.symbol for each in await instruments.instruments("crypto", "venue")] == ["BTC/USDT"]
    assert (await desk.stored()).equals(bars_of([0, 1, 2]))
    await database.close()
