"""Import of bar files: what is taken, and in which form."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.services.import_desk import (
    HEADER,
    MINUTE,
    NOON,
    Desk,
    bars_of,
    columns_of,
    csv_of,
    dump_of,
    iso,
    parquet_of,
    span,
    with_symbols,
    zip_of,
)
from tradewright.domain.errors import BarFileError, InvalidInput, UnknownMarket, UnknownTimeframe
from tradewright.domain.instruments import Instrument
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import Coverage
from tradewright.services.bar_import import ImportProgress, format_summary
from tradewright.services.bar_import.gaps import GapCount
from tradewright.storage.memory import MemoryBarStore


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a desk with empty stores."""
    return Desk(tmp_path)


INDICES = [0, 1, 2, 5, 9, 10]


async def test_a_file_vouches_from_its_first_bar_to_the_end_of_its_last(desk: Desk) -> None:
    summary = await desk.take(desk.file("a.csv", csv_of(INDICES)))
    assert (await desk.stored()).equals(bars_of(INDICES))
    assert await desk.covered() == Coverage(span((0, 11)))
    assert (summary.files, summary.rows, summary.inserted, summary.unchanged, summary.replaced) == (
        1,
        6,
        6,
        0,
        0,
    )
    (of_symbol,) = summary.symbols
    assert (of_symbol.first_ms, of_symbol.last_ms) == (NOON, NOON + 10 * MINUTE)
    assert of_symbol.gaps == GapCount(gaps=2, missing=5, longest=3)


async def test_sparse_vouches_for_its_rows_alone(desk: Desk) -> None:
    await desk.take(desk.file("a.csv", csv_of(INDICES)), sparse=True)
    assert (await desk.stored()).equals(bars_of(INDICES))
    assert await desk.covered() == Coverage(span((0, 3), (5, 6), (9, 11)))


async def test_the_instrument_is_listed_without_its_venue(desk: Desk) -> None:
    await desk.take(desk.file("a.csv", csv_of([1])))
    (known,) = await desk.instruments.instruments("crypto", "venue")
    assert (known.symbol, known.base, known.quote, known.type, known.calendar) == (
        "BTC/USDT",
        "BTC",
        "USDT",
        "spot",
        "24/7",
    )
    await desk.take(desk.file("b.csv", csv_of([1])), market="stocks", symbol="BRK.B")
    (stock,) = await desk.instruments.instruments("stocks", "venue")
    assert (stock.symbol, stock.base, stock.quote, stock.type, stock.calendar) == (
        "BRK.B",
        "BRK.B",
        "USD",
        "stock",
        "XNYS",
    )


@pytest.mark.parametrize(
    ("symbol", "kind"),
    [
        ("BTC/USDT:USDT", "swap"),
        ("BTC/USD:BTC-240628", "future"),
        ("BTC/USD:BTC-240628-70000-C", "option"),
        ("1000PEPE/USDT", "spot"),
    ],
)
async def test_a_derivative_is_told_by_its_symbol(desk: Desk, symbol: str, kind: str) -> None:
    await desk.take(desk.file("a.csv", csv_of([1])), symbol=symbol)
    (known,) = await desk.instruments.instruments("crypto", "venue")
    assert (known.type, known.base) == (kind, symbol.split("/")[0])


async def test_what_the_venue_said_of_an_instrument_stays(desk: Desk) -> None:
    listed = Instrument(market="crypto", symbol="BTC/USDT", base="BTC", quote="USDT", name="Bitcoin")
    await desk.instruments.save_listing("venue", "crypto", [listed])
    await desk.take(desk.file("a.csv", csv_of([1])))
    assert await desk.instruments.instruments("crypto", "venue") == (listed,)


FORMS: dict[str, str] = {
    "seconds": csv_of(INDICES, time=lambda time: time // 1000),
    "seconds with a decimal point": csv_of(INDICES, time=lambda time: f"{time // 1000}.0"),
    "microseconds": csv_of(INDICES, time=lambda time: time * 1_000),
    "nanoseconds": csv_of(INDICES, time=lambda time: time * 1_000_000),
    "ISO with T and Z": csv_of(INDICES, time=iso("%Y-%m-%dT%H:%M:%SZ")),
    "ISO with a blank": csv_of(INDICES, time=iso("%Y-%m-%d %H:%M")),
    "ISO with an offset": csv_of(INDICES, time=lambda time: iso("%Y-%m-%d %H:%M:%S+01:00")(time + 3_600_000)),
    "ISO with a fraction": csv_of(INDICES, time=iso("%Y-%m-%dT%H:%M:%S.000000+00:00")),
    "ISO with UTC": csv_of(INDICES, time=iso("%Y-%m-%d %H:%M:%S UTC")),
    "byte order mark and CRLF": "\ufeff" + csv_of(INDICES, line_end="\r\n"),
    "carriage returns only": csv_of(INDICES, line_end="\r"),
    "no end of the last line": csv_of(INDICES).rstrip("\n"),
    "blank lines": csv_of(INDICES).replace("\n", "\n\n", 4) + "\n\n  \n",
    "semicolons": csv_of(INDICES, separator=";"),
    "tabs": csv_of(INDICES, separator="\t"),
    "quoted": csv_of(INDICES).replace("time,open", '"time","open"'),
    "blanks around": csv_of(INDICES).replace(",", " , "),
    "capitals": csv_of(INDICES, header="Open Time,OPEN,High,Low,Close,Volume"),
    "letters": csv_of(INDICES, header="t,o,h,l,c,v"),
    "timestamp and vol": csv_of(INDICES, header="Timestamp,Open,High,Low,Close,Vol"),
    "time_ms": csv_of(INDICES, header="time_ms,open,high,low,close,volume"),
    "unix before date": csv_of(INDICES, header="unix,open,high,low,close,volume,date", after=",ignored"),
    "other columns": csv_of(INDICES, header=HEADER + ",adj_close,note", after=",7,a note"),
    "dump": dump_of(INDICES),
    "dump in microseconds": dump_of(INDICES, 1_000),
    "dump with a header": "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore\n" + dump_of(INDICES),
}


@pytest.mark.parametrize("form", FORMS)
async def test_forms_of_csv(desk: Desk, form: str) -> None:
    await desk.take(desk.file("a.csv", FORMS[form]))
    assert (await desk.stored()).equals(bars_of(INDICES))
    assert await desk.covered() == Coverage(span((0, 11)))


async def test_packed_forms(desk: Desk) -> None:
    for name, content in (
        ("a.csv.gz", gzip.compress(csv_of(INDICES).encode())),
        ("A.ZIP", zip_of(BTCUSDT__csv=dump_of(INDICES))),
        (
            "b.zip",
            zip_of(a__csv=dump_of(INDICES[:3]), b__csv=dump_of(INDICES[2:]), read__txt="hello"),
        ),
    ):
        desk.bars = MemoryBarStore()
        await desk.take(desk.file(name, content))
        assert (await desk.stored()).equals(bars_of(INDICES)), name


@pytest.mark.parametrize(
    "time",
    [
        lambda times: times,
        lambda times: times // 1_000,
        lambda times: (times // 1_000).astype(np.uint32),
        lambda times: pa.array(times, pa.timestamp("ms", tz="America/New_York")),
        lambda times: pa.array(times * 1_000_000, pa.timestamp("ns")),
        lambda times: pa.array(times // 1_000, pa.timestamp("s")),
        lambda times: times.astype("datetime64[ms]").astype(str).tolist(),
        lambda times: pa.array([str(time) for time in times], pa.large_string()),
    ],
    ids=["ms", "s", "unsigned s", "timestamp with zone", "ns timestamp", "s timestamp", "ISO", "text of ms"],
)
async def test_forms_of_time_in_parquet(desk: Desk, time: Callable[[Any], Any]) -> None:
    columns = columns_of(INDICES)
    content = parquet_of({"extra": [None] * 6, **columns, "time": time(columns["time"])}, row_group_size=2)
    await desk.take(desk.file("a.parquet", content))
    assert (await desk.stored()).equals(bars_of(INDICES))


async def test_daily_files_with_dates(desk: Desk) -> None:
    dates = ["2023-01-02", "2023-01-03", "2023-01-05"]
    text = "Date,Open,High,Low,Close,Volume\n" + "".join(f"{date},1,2,0.5,1.5,100\n" for date in dates)
    days = [int(np.datetime64(date, "ms").astype(np.int64)) for date in dates]
    dated = {**columns_of([0, 1, 2]), "time": pa.array(days, pa.timestamp("ms")).cast(pa.date32())}
    for name, content in (("a.csv", text), ("a.parquet", parquet_of(dated))):
        desk.bars = MemoryBarStore()
        await desk.take(desk.file(name, content), timeframe="1d")
        assert (await desk.stored(timeframe="1d")).time.tolist() == days
        with pytest.raises(BarFileError, match=r"without a time of day.*--timeframe 1d"):
            await desk.take(desk.file(name, content))


@pytest.mark.parametrize("timeframe", ["1M", "1w"])
@pytest.mark.parametrize("sparse", [False, True])
async def test_months_and_weeks(desk: Desk, timeframe: str, sparse: bool) -> None:
    dates = {
        "1M": ["2023-01-01", "2023-02-01", "2023-04-01"],
        "1w": ["2023-01-02", "2023-01-09", "2023-01-23"],
    }
    ends = {"1M": ["2023-03-01", "2023-05-01"], "1w": ["2023-01-16", "2023-01-30"]}
    text = HEADER + "\n" + "".join(f"{date},1,2,0.5,1.5,100\n" for date in dates[timeframe])
    summary = await desk.take(desk.file("a.csv", text), timeframe=timeframe, sparse=sparse)
    assert summary.symbols[0].gaps == GapCount(1, 1, 1)
    first, last = (dates[timeframe][index] for index in (0, 2))
    pairs = (
        [(first, ends[timeframe][0]), (last, ends[timeframe][1])] if sparse else [(first, ends[timeframe][1])]
    )
    expected = IntervalSet.of(
        (int(np.datetime64(a, "ms").astype(np.int64)), int(np.datetime64(b, "ms").astype(np.int64)))
        for a, b in pairs
    )
    assert await desk.covered(timeframe=timeframe) == Coverage(expected)


async def test_files_that_adjoin_overlap_or_lie_apart(desk: Desk) -> None:
    parts = {"c": [6, 7, 8], "a": [0, 1, 2], "b": [2, 3], "far": [20, 22]}
    files = [desk.file(f"{name}.csv", csv_of(indices)) for name, indices in parts.items()]
    summary = await desk.take(*files)
    assert (await desk.stored()).equals(bars_of([0, 1, 2, 3, 6, 7, 8, 20, 22]))
    assert await desk.covered() == Coverage(span((0, 4), (6, 9), (20, 23)))
    assert (summary.files, summary.rows, summary.duplicates, summary.inserted) == (4, 10, 1, 9)
    assert summary.symbols[0].gaps == GapCount(gaps=3, missing=2 + 11 + 1, longest=11)


async def test_many_daily_files(desk: Desk) -> None:
    files = [desk.file(f"{first:04}.csv", dump_of(range(first, first + 50))) for first in range(0, 5_000, 50)]
    await desk.take(*reversed(files), symbol="BTC/USDT")
    assert (await desk.stored()).equals(bars_of(range(5_000)))
    assert await desk.covered() == Coverage(span((0, 5_000)))


async def test_the_same_again_changes_nothing(desk: Desk) -> None:
    file = desk.file("a.csv", csv_of([*INDICES[:3], INDICES[2], INDICES[2], *INDICES[3:]]))
    first = await desk.take(file)
    assert (first.rows, first.duplicates, first.inserted) == (8, 2, 6)
    again = await desk.take(file, file)
    assert (again.rows, again.duplicates, again.inserted, again.unchanged) == (16, 10, 0, 6)
    assert (await desk.stored()).equals(bars_of(INDICES))


async def test_replace_puts_the_file_in_place_of_what_is_stored(desk: Desk) -> None:
    await desk.take(desk.file("a.csv", csv_of(INDICES)))
    other = desk.file("b.csv", csv_of([1, 3, 5], version=1))
    with pytest.raises(
        BarFileError, match=r"b\.csv, line 2: the stored bar of BTC/USDT at \S+ 12:01:00 UTC differs; --rep"
    ):
        await desk.take(other)
    assert (await desk.stored()).equals(bars_of(INDICES))
    summary = await desk.take(other, replace=True)
    assert (summary.inserted, summary.unchanged, summary.replaced) == (1, 0, 3)
    assert (await desk.stored()).equals(bars_of([0, 9, 10]).merged_with(bars_of([1, 3, 5], 1)))


async def test_a_stored_bar_that_the_file_lacks_is_a_contradiction(desk: Desk) -> None:
    await desk.take(desk.file("a.csv", csv_of(INDICES)))
    other = desk.file("b.csv", csv_of([0, 1, 5]))
    with pytest.raises(BarFileError, match=r"b\.csv: there is a stored bar .* 12:02:00 UTC.*--sparse"):
        await desk.take(other)
    assert (await desk.take(other, sparse=True)).unchanged == 3
    assert (await desk.take(other, replace=True)).replaced == 1
    assert (await desk.stored()).equals(bars_of([0, 1, 5, 9, 10]))


async def test_a_file_of_several_symbols(desk: Desk) -> None:
    # One after the other, and time goes back where the second begins.
    file = desk.file("a.csv", with_symbols(("ETH/USDT", [5, 6]), ("BTC/USDT", [0, 2]), ("ETH/USDT", [9])))
    summary = await desk.take(file, symbol=None)
    assert [(each.symbol, each.rows) for each in summary.symbols] == [("BTC/USDT", 2), ("ETH/USDT", 3)]
    assert (await desk.stored("ETH/USDT")).equals(bars_of([5, 6, 9]))
    assert await desk.covered("ETH/USDT") == Coverage(span((5, 10)))
    assert await desk.covered("BTC/USDT") == Coverage(span((0, 3)))
    assert len(await desk.instruments.instruments("crypto", "venue")) == 2


@pytest.mark.parametrize("spelling", ["BTC/USDT", "BTCUSDT", "btc-usdt", "BTC_USDT"])
async def test_a_symbol_is_chosen_from_a_file_of_several(desk: Desk, spelling: str) -> None:
    file = desk.file("a.csv", with_symbols((spelling, [0, 2]), ("ETHUSDT", [0, 1])))
    summary = await desk.take(file)
    assert [each.symbol for each in summary.symbols] == ["BTC/USDT"]
    assert (await desk.stored()).equals(bars_of([0, 2]))


async def test_symbols_in_parquet(desk: Desk) -> None:
    symbols = pa.array(["SPY", "SPY", "IBM"]).dictionary_encode()
    content = parquet_of({"ticker": symbols, **columns_of([3, 4, 1])})
    await desk.take(desk.file("a.parquet", content), market="stocks", symbol=None)
    assert (await desk.stored("SPY", market="stocks")).equals(bars_of([3, 4]))
    assert (await desk.stored("IBM", market="stocks")).equals(bars_of([1]))


async def test_sessions_decide_which_stock_bars_are_missing(desk: Desk) -> None:
    def at(text: str) -> int:
        return int(np.datetime64(text, "ms").astype(np.int64))

    # The Friday before Labor Day, extended hours before the open; the close; then Tuesday's open.
    times = [*range(at("2023-09-01T13:00"), at("2023-09-01T13:10"), MINUTE)]
    times += [*range(at("2023-09-01T13:30"), at("2023-09-01T19:58"), MINUTE)]
    times += [*range(at("2023-09-05T13:32"), at("2023-09-05T13:40"), MINUTE)]
    text = HEADER + "\n" + "".join(f"{time},1,2,0.5,1.5,100\n" for time in times)
    summary = await desk.take(desk.file("a.csv", text), market="stocks", symbol="SPY")
    assert summary.symbols[0].gaps == GapCount(gaps=1, missing=4, longest=4)
    days = (
        HEADER
        + "\n"
        + "".join(f"{day},1,2,0.5,1.5,9\n" for day in ("2023-09-01", "2023-09-05", "2023-09-07"))
    )
    daily = await desk.take(desk.file("d.csv", days), market="stocks", symbol="SPY", timeframe="1d")
    assert daily.symbols[0].gaps == GapCount(gaps=1, missing=1, longest=1)


DAY = 1_440


async def test_two_distant_spans_in_one_file_do_not_vouch_for_what_lies_between(desk: Desk) -> None:
    near, far = [*range(10)], [*range(40 * DAY, 40 * DAY + 10)]
    one = desk.file("a.csv", csv_of([*near, DAY + 9, *far]))
    summary = await desk.take(one)
    assert await desk.covered() == Coverage(span((0, DAY + 10), (40 * DAY, 40 * DAY + 10)))
    assert summary.symbols[0].unknown == span((DAY + 10, 40 * DAY))
    line = format_summary(summary).splitlines()[-1]
    assert line == (
        "BTC/USDT: not taken as known: 1 stretch of more than a day without a row, "
        "2023-11-16 12:10:00 UTC to 2023-12-25 12:00:00 UTC. "
        "If nothing was traded there, import with --complete."
    )
    again = await desk.take(one, complete=True)
    assert await desk.covered() == Coverage(span((0, 40 * DAY + 10)))
    assert again.symbols[0].unknown == IntervalSet()
    assert len(format_summary(again).splitlines()) == 2


async def test_what_lies_between_may_come_from_another_file(desk: Desk) -> None:
    outer = desk.file("a.csv", csv_of([0, 1, 9 * DAY]))
    inner = desk.file("b.csv", csv_of([3 * DAY, 3 * DAY + 2]))
    with pytest.raises(BarFileError, match=r"b\.csv, line 2: .* which covers this time, has none"):
        await desk.take(outer, inner, complete=True)
    summary = await desk.take(outer, inner)
    assert await desk.covered() == Coverage(span((0, 2), (3 * DAY, 3 * DAY + 3), (9 * DAY, 9 * DAY + 1)))
    assert len(summary.symbols[0].unknown) == 2


async def test_a_file_holds_all_or_its_rows_alone(desk: Desk) -> None:
    with pytest.raises(InvalidInput, match="choose one"):
        await desk.take(desk.file("a.csv", csv_of([0])), sparse=True, complete=True)
    assert await desk.is_empty()


async def test_closed_time_makes_no_stretch_long(desk: Desk) -> None:
    def at(text: str) -> int:
        return int(np.datetime64(text, "ms").astype(np.int64))

    # From the close before a long weekend to the next open, then two weeks of nothing.
    times = [*range(at("2023-09-01T13:30"), at("2023-09-01T20:00"), MINUTE)]
    times += [*range(at("2023-09-05T13:30"), at("2023-09-05T20:00"), MINUTE), at("2023-09-20T13:30")]
    text = HEADER + "\n" + "".join(f"{time},1,2,0.5,1.5,100\n" for time in times)
    summary = await desk.take(desk.file("a.csv", text), market="stocks", symbol="SPY")
    assert [(end - start) // 86_400_000 for start, end in summary.symbols[0].unknown] == [14]


@pytest.mark.parametrize(("missing", "unknown"), [(1, 0), (2, 1)])
async def test_of_weeks_more_than_one_must_be_missing(desk: Desk, missing: int, unknown: int) -> None:
    weeks = [np.datetime64("2023-01-02") + np.timedelta64(7 * n, "D") for n in (0, 1, 2 + missing)]
    text = HEADER + "\n" + "".join(f"{week},1,2,0.5,1.5,100\n" for week in weeks)
    summary = await desk.take(desk.file("a.csv", text), timeframe="1w")
    assert len(summary.symbols[0].unknown) == unknown


async def test_hours_given_as_minutes_are_noticed(desk: Desk) -> None:
    hours = desk.file("a.csv", csv_of(range(0, 60 * 30, 60)))
    with pytest.raises(BarFileError, match="--timeframe 1h, or with --sparse"):
        await desk.take(hours)
    assert await desk.is_empty()
    await desk.take(hours, timeframe="1h")
    assert await desk.covered(timeframe="1h") == Coverage(span((0, 1800)))
    await desk.take(hours, sparse=True)
    assert len((await desk.covered()).complete) == 30


async def test_progress_is_told(desk: Desk) -> None:
    told: list[ImportProgress] = []
    files = [
        desk.file("a.csv.gz", gzip.compress(csv_of(range(3_000)).encode())),
        desk.file("b.csv", csv_of([5_000])),
    ]
    await desk.take(*files, progress=told.append)
    for phase, total in (("reading", sum(file.stat().st_size for file in files)), ("storing", 3_001)):
        steps = [each for each in told if each.phase == phase]
        assert {each.total for each in steps} == {total}
        assert [each.done for each in steps] == sorted(each.done for each in steps)
        assert steps[-1].done == total
    assert [each.phase for each in told] == sorted(
        (each.phase for each in told), key=["reading", "storing"].index
    )


async def test_the_summary_for_people(desk: Desk) -> None:
    summary = await desk.take(desk.file("a.csv", csv_of([*INDICES, 10])))
    assert format_summary(summary) == (
        "7 rows read from 1 file: 6 bars stored, 0 unchanged, 0 replaced; 1 equal duplicate dropped.\n"
        "crypto venue BTC/USDT 1m: 6 bars from 2023-11-15 12:00:00 UTC to 2023-11-15 12:10:00 UTC; "
        "5 missing in 2 gaps, the longest 3 bars."
    )
    summary = await desk.take(desk.file("b.csv", csv_of([1])))
    assert format_summary(summary).endswith("; no gaps.")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"market": "bonds"}, UnknownMarket),
        ({"provider": "../x"}, InvalidInput),
        ({"provider": "Binance'; --"}, InvalidInput),
        ({"symbol": "BTC/../USDT"}, InvalidInput),
        ({"symbol": "BTCUSDT"}, InvalidInput),
        ({"symbol": "BTC/"}, InvalidInput),
        ({"symbol": "*"}, InvalidInput),
        ({"timeframe": "7m"}, UnknownTimeframe),
        ({"timeframe": "1m\n"}, UnknownTimeframe),
    ],
)
async def test_wrong_arguments(desk: Desk, options: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        await desk.take(desk.file("a.csv", csv_of([1])), **options)
    assert await desk.is_empty()


async def test_no_file_is_an_error(desk: Desk) -> None:
    with pytest.raises(InvalidInput, match="no file"):
        await desk.take()
