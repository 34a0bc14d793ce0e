"""What is stored, over HTTP: coverage, strips, the list, and files, with every wrong question refused."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.applications import RunningApp, memory_stores, running_app
from tests.support.ledger import START_MS, SYMBOL, ledger_plugin, random_minutes
from tests.support.loaders import loader_of
from tradewright.app import Adapters
from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import Coverage, SeriesBars
from tradewright.domain.timeframes import DAY_MS, MINUTE_MS, ONE_MINUTE
from tradewright.services.bar_export import exporter
from tradewright.services.bar_import import import_files
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.testing.clock import DrivenClock

KEY = InstrumentKey("crypto", "ledger", SYMBOL)
BTC: dict[str, object] = {"market": "crypto", "provider": "ledger", "symbol": SYMBOL}
MINUTES = random_minutes(2, 2 * 1440)
END = START_MS + 2 * DAY_MS
HOLE = (START_MS + 600 * MINUTE_MS, START_MS + 700 * MINUTE_MS)
OUTAGE = (START_MS + 650 * MINUTE_MS, START_MS + 700 * MINUTE_MS)
HELD = Bars.concat((MINUTES.between(START_MS, HOLE[0]), MINUTES.between(HOLE[1], END)))
API = "/api/v1/market"


class Gate(MemoryBarStore):
    """A store that can be made to keep its readers waiting, and tells how many wait."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self._waiting = 0
        self._changed = asyncio.Condition()

    async def read_with_coverage(self, key: SeriesKey, start_ms: int, end_ms: int) -> tuple[Bars, Coverage]:
        await self._count(1)
        try:
            await self.open.wait()
        finally:
            await self._count(-1)
        return await super().read_with_coverage(key, start_ms, end_ms)

    async def waits_for(self, readers: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting == readers)

    async def _count(self, more: int) -> None:
        async with self._changed:
            self._waiting += more
            self._changed.notify_all()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def api(tmp_path: Path, gate: Gate) -> AsyncIterator[RunningApp]:
    """An application whose store has bars, minutes without a trade, a hole and an outage."""
    bars = gate
    for start, end in ((START_MS, HOLE[0]), (HOLE[1], END)):
        span = IntervalSet.single(start, end)
        await bars.write(SeriesBars(KEY.series(ONE_MINUTE), MINUTES.between(start, end), span))
    nothing = SeriesBars(KEY.series(ONE_MINUTE), Bars.empty(), IntervalSet())
    await bars.write(nothing, outage=IntervalSet.single(*OUTAGE))
    adapters = Adapters(
        clock=DrivenClock(END + 30_000),
        loader=loader_of(ledger_plugin(MINUTES)),
        stores=memory_stores(bars),
    )
    async with running_app(tmp_path, adapters) as app:
        yield app


async def test_coverage_and_holes(api: RunningApp) -> None:
    answer = await api.get(f"{API}/coverage", **BTC)
    assert answer.status == 200
    assert answer.body == {
        **BTC,
        "items": [
            {"timeframe": "1m", "start": START_MS, "end": HOLE[0], "kind": "complete"},
            {"timeframe": "1m", "start": OUTAGE[0], "end": OUTAGE[1], "kind": "outage"},
            {"timeframe": "1m", "start": HOLE[1], "end": END, "kind": "complete"},
        ],
        "holes": [{"start": HOLE[0], "end": OUTAGE[0]}],
        "since": START_MS,
        "whole_since": None,
    }
    cut = (await api.get(f"{API}/coverage", limit=2, **BTC)).body
    assert [item["kind"] for item in cut["items"]] == ["outage", "complete"]
    assert cut["whole_since"] == OUTAGE[0]
    part = (await api.get(f"{API}/coverage", start=HOLE[1], end=HOLE[1] + 1, **BTC)).body
    assert [(item["start"], item["end"]) for item in part["items"]] == [(HOLE[1], HOLE[1] + 1)]


async def test_a_strip(api: RunningApp) -> None:
    body = (await api.get(f"{API}/coverage/strip", start=START_MS, end=END, buckets=48, **BTC)).body
    assert (body["start"], body["end"], body["buckets"]) == (START_MS, END, 48)
    [row] = body["items"]
    assert (row["timeframe"], row["resolution"], row["since"]) == ("1m", "1m", START_MS)
    hour = 60 * MINUTE_MS
    columns = ("have", "no_trades", "missing", "outage")
    assert all(sum(row[name][part] for name in columns) == hour for part in range(48))
    assert (row["missing"][10], row["outage"][10], row["outage"][11]) == (
        50 * MINUTE_MS,
        10 * MINUTE_MS,
        40 * MINUTE_MS,
    )
    assert sum(row["have"]) == len(HELD) * MINUTE_MS
    everything = (await api.get(f"{API}/coverage/strip", **BTC)).body
    assert (everything["start"], everything["end"]) == (START_MS, END)


async def test_what_is_stored_is_listed(api: RunningApp) -> None:
    page = (await api.get(f"{API}/stored")).body
    first, last = int(HELD.time[0]), int(HELD.time[-1])
    assert page["next_cursor"] is None
    [item] = page["items"]
    assert item.pop("known_share") == pytest.approx(1 - 50 / 2880)
    assert item == {**BTC, "timeframes": [{"timeframe": "1m", "first": first, "last": last}]}


async def test_a_file_that_an_import_takes_back(api: RunningApp, tmp_path: Path) -> None:
    for file_format, kind in (("csv", "text/csv"), ("parquet", "application/vnd.apache.parquet")):
        response = await api.client.get(
            f"{API}/export", query_string={**BTC, "timeframe": "1m", "format": file_format}
        )
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith(kind)
        name = f"ledger-BTC-USDT-1m.{file_format}"
        assert response.headers["Content-Disposition"] == f'attachment; filename="{name}"'
        path = tmp_path / name
        path.write_bytes(await response.get_data(as_text=False))
        taken = MemoryBarStore()
        await import_files(
            [path],
            market="crypto",
            provider="ledger",
            symbol=SYMBOL,
            sparse=True,
            bars=taken,
            instruments=MemoryInstrumentStore(taken),
        )
        assert (await taken.read(KEY.series(ONE_MINUTE), 0, 2**60)).equals(HELD)


async def test_nothing_in_a_file_is_a_formula(api: RunningApp) -> None:
    text = (await api.get(f"{API}/export", timeframe="1m", **BTC)).text
    header, *rows = csv.reader(io.StringIO(text))
    assert header == ["time", "open", "high", "low", "close", "volume"]
    assert len(rows) == len(HELD)
    assert all(cell[0].isdigit() for row in rows for cell in row)


async def test_a_range_and_a_higher_timeframe(api: RunningApp) -> None:
    query = {**BTC, "timeframe": "1h", "start": START_MS + 1, "end": END - 1, "format": "parquet"}
    response = await api.client.get(f"{API}/export", query_string=query)
    table = pq.read_table(io.BytesIO(await response.get_data(as_text=False)))
    opened = table["time"].cast("int64").to_pylist()
    hours = [START_MS + hour * 60 * MINUTE_MS for hour in range(1, 48)]
    assert opened == [hour for hour in hours if not HOLE[0] <= hour < OUTAGE[1] - 40 * MINUTE_MS]


WRONG = [
    ("coverage", {}, ["market", "provider", "symbol"]),
    ("coverage", {**BTC, "start": 2, "end": 1}, ["start"]),
    ("coverage", {**BTC, "limit": 0}, ["limit"]),
    ("coverage", {**BTC, "limit": 5_001}, ["limit"]),
    ("coverage", {**BTC, "start": -1}, ["start"]),
    ("coverage", {**BTC, "start": "1e3"}, ["start"]),
    ("coverage", {**BTC, "nonsense": 1}, ["nonsense"]),
    ("coverage", {**BTC, "symbol": "../x"}, ["symbol"]),
    ("coverage", {**BTC, "provider": "No"}, ["provider"]),
    ("coverage/strip", {**BTC, "buckets": 0}, ["buckets"]),
    ("coverage/strip", {**BTC, "buckets": 2_001}, ["buckets"]),
    ("coverage/strip", {**BTC, "start": 5, "end": 5}, ["start"]),
    ("coverage/strip", {**BTC, "end": 2**60}, ["end"]),
    ("stored", {"limit": 201}, ["limit"]),
    ("stored", {"cursor": "%%%"}, ["cursor"]),
    ("stored", {"cursor": "WzEsMiwzXQ"}, ["cursor"]),
    ("export", BTC, ["timeframe"]),
    ("export", {**BTC, "timeframe": "7m"}, ["timeframe"]),
    ("export", {**BTC, "timeframe": "1m", "format": "xlsx"}, ["format"]),
    ("export", {**BTC, "timeframe": "1m", "start": 2, "end": 1}, ["start"]),
]


@pytest.mark.parametrize(("path", "query", "fields"), WRONG)
async def test_what_is_wrong_is_named(
    api: RunningApp, path: str, query: dict[str, object], fields: list[str]
) -> None:
    answer = await api.get(f"{API}/{path}", **query)
    assert answer.status == 422
    assert sorted(answer.body["errors"]) == sorted(fields)


@pytest.mark.parametrize("path", ["coverage", "coverage/strip", "export"])
async def test_what_is_not_there(api: RunningApp, path: str) -> None:
    more: dict[str, object] = {"timeframe": "1m"} if path == "export" else {}
    for name, code in (
        ("symbol", "unknown_symbol"),
        ("provider", "unknown_provider"),
        ("market", "unknown_market"),
    ):
        answer = await api.get(f"{API}/{path}", **{**BTC, **more, name: "nope"})
        assert (answer.status, answer.body["code"]) == (404, code)


async def test_so_many_files_at_once_and_one_that_is_left_makes_room(api: RunningApp, gate: Gate) -> None:
    gate.open.clear()
    query = "&".join(f"{name}={value}" for name, value in {**BTC, "timeframe": "1m"}.items())
    assert exporter.EXPORTS_AT_ONCE == 2
    first, second = (api.client.request(f"{API}/export?{query}") for _ in range(2))
    async with first, second:
        await first.send_complete()
        await second.send_complete()
        async with asyncio.timeout(20):
            await gate.waits_for(2)
        refused = await api.get(f"{API}/export", timeframe="1m", **BTC)
        assert (refused.status, refused.body["code"]) == (429, "rate_limited")
        assert int(refused.headers["Retry-After"]) >= 1
        await first.disconnect()
        async with asyncio.timeout(20):
            await gate.waits_for(1)
        gate.open.set()
        assert len((await api.get(f"{API}/export", timeframe="1m", **BTC)).text.splitlines()) == len(HELD) + 1
