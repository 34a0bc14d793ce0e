"""The whole application on the emulated Alpaca: sessions, years of days, and what needs a key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow.parquet as pq
import pytest

from tests.support.applications import RunningApp, running_app
from tests.venues.alpaca import DAYS_FILE, MINUTES_FILE, AlpacaVenue
from tradewright.domain.timeframes import DAY_MS, MINUTE_MS

BARS: Final = "/api/v1/market/ohlcv"
OPENS_MS, CLOSES_MS = 13 * 3_600_000 + 30 * MINUTE_MS, 20 * 3_600_000
"""The regular session in UTC while New York has summer time, as in the record."""
NAMES: Final = ("open", "high", "low", "close", "volume")


@asynccontextmanager
async def application(data_dir: Path, venue: AlpacaVenue, *, key: bool = True) -> AsyncIterator[RunningApp]:
    async with running_app(data_dir, providers={"alpaca": venue.provider_options(key=key)}) as app:
        yield app


def stock(symbol: str, **more: object) -> dict[str, object]:
    return {"market": "stocks", "provider": "alpaca", "symbol": symbol, "adjustment": "raw", **more}


@pytest.mark.golden
async def test_years_of_days_are_fetched_as_days_and_equal_the_record(
    recorded_data: Path, tmp_path: Path
) -> None:
    table = pq.read_table(recorded_data / DAYS_FILE).to_pylist()
    recorded = [
        [int(datetime.fromisoformat(f"{row['date']}T00:00:00+00:00").timestamp()) * 1000]
        + [row[name] for name in NAMES]
        for row in table
        if row["symbol"] == "IBM"
    ]
    venue = AlpacaVenue(days_file=recorded_data / DAYS_FILE, live=False)
    async with venue, application(tmp_path, venue) as app:
        found: list[list[float]] = []
        start, end = recorded[0][0], recorded[-1][0] + DAY_MS
        while start < end:
            answer = await app.get(BARS, **stock("IBM", timeframe="1d", start=start, end=end, limit=5_000))
            assert answer.status == 200, answer.text
            assert not [gap for gap in answer.body["gaps"] if gap["reason"] == "not_fetched"]
            found += answer.body["bars"]
            start = found[-1][0] + 1
            if len(answer.body["bars"]) < 5_000:
                break
        assert found == recorded
        assert len(found) > 5_000
        assert "1Min" not in venue.data.timeframes
        asked = venue.requests["GET /v2/stocks/bars"]
        again = await app.get(
            BARS, **stock("IBM", timeframe="1d", start=recorded[0][0], end=end, limit=5_000)
        )
        assert again.body["bars"] == recorded[:5_000]
        assert venue.requests["GET /v2/stocks/bars"] == asked


@pytest.mark.golden
async def test_a_night_is_no_gap_and_every_minute_equals_the_record(
    recorded_data: Path, tmp_path: Path
) -> None:
    table = pq.read_table(recorded_data / MINUTES_FILE).to_pylist()
    for symbol, missing in (("SPY", 0), ("IBM", 2)):
        rows = [[row["time_ms"], *(row[name] for name in NAMES)] for row in table if row["symbol"] == symbol]
        recorded = [row for row in rows if row[0] < rows[0][0] + 30 * DAY_MS]
        venue = AlpacaVenue(minutes=recorded_data / MINUTES_FILE, live=False)
        data_dir = tmp_path / symbol
        data_dir.mkdir()
        async with venue, application(data_dir, venue) as app:
            found: list[list[float]] = []
            gaps: list[dict[str, Any]] = []
            start, end = recorded[0][0], recorded[-1][0] + MINUTE_MS
            while start < end:
                query = stock(symbol, timeframe="1m", start=start, end=end, limit=5_000)
                answer = await app.get(BARS, **query)
                assert answer.status == 200, answer.text
                found += answer.body["bars"]
                gaps += answer.body["gaps"]
                if len(answer.body["bars"]) < 5_000:
                    break
                start = found[-1][0] + MINUTE_MS
        assert found == recorded  # what was traded before and after the sessions as well
        assert {gap["reason"] for gap in gaps} <= {"no_trades"}
        assert sum(gap["end"] - gap["start"] for gap in gaps) == missing * MINUTE_MS


async def test_stocks_need_the_operators_key_and_crypto_does_not(tmp_path: Path) -> None:
    async with AlpacaVenue(days=7) as venue, application(tmp_path, venue, key=False) as app:
        for path in ("/api/v1/market/ticker", "/api/v1/market/trades", BARS):
            more: dict[str, object] = {"timeframe": "1d"} if path == BARS else {}
            query = {"market": "stocks", "provider": "alpaca", "symbol": "AAPL", **more}
            refused = await app.get(path, **query)
            assert (refused.status, refused.body["code"]) == (403, "credentials_required")
        listed = await app.get("/api/v1/market/symbols", market="stocks", provider="alpaca")
        assert (listed.status, listed.body["code"]) == (403, "credentials_required")
        pair = {"market": "crypto", "provider": "alpaca", "symbol": "BTC/USD"}
        assert (await app.get("/api/v1/market/ticker", **pair)).body["last"]
        bars = await app.get(BARS, **pair, timeframe="1m", limit=30)
        assert len(bars.body["bars"]) == 30


async def test_providers_and_symbols_are_listed_with_what_they_can_do(tmp_path: Path) -> None:
    async with AlpacaVenue(days=7) as venue, application(tmp_path, venue) as app:
        (alpaca,) = [
            item
            for item in (await app.get("/api/v1/market/providers", market="stocks")).body["items"]
            if item["provider"] == "alpaca"
        ]
        assert (alpaca["plugin"], alpaca["testnet"]) == ("alpaca", True)
        assert [field["name"] for field in alpaca["credential_fields"]] == ["api_key", "secret"]
        listed = await app.get("/api/v1/market/symbols", market="stocks", provider="alpaca", search="IBM")
        (ibm,) = listed.body["items"]
        assert (ibm["calendar"], ibm["price_tick"], ibm["type"]) == ("XNYS", "0.01", "stock")


async def test_live_minutes_of_crypto_reach_a_client(tmp_path: Path) -> None:
    request = {
        "type": "subscribe",
        "id": 1,
        "stream": "trades",
        "market": "crypto",
        "provider": "alpaca",
        "symbol": "BTC/USD",
    }
    async with (
        AlpacaVenue(days=7) as venue,
        application(tmp_path, venue) as app,
        app.client.websocket("/api/v1/ws") as socket,
        asyncio.timeout(60),
    ):
        await socket.send(msgspec.json.encode(request).decode())
        seen: list[dict[str, Any]] = []
        while not seen or seen[-1]["type"] != "update":
            seen.append(msgspec.json.decode(await socket.receive()))
        assert venue.hub.subscriptions == {"trades:BTC/USD": 1}
    assert len(seen[-1]["trades"][0]) == 5


async def test_charts_undo_a_split_and_the_record_stays_raw(tmp_path: Path) -> None:
    async with AlpacaVenue(days=10) as venue, application(tmp_path, venue) as app:
        action = venue.securities["SPLT"].splits[0]
        at = int(datetime.fromisoformat(f"{action.date}T00:00:00+00:00").timestamp()) * 1000
        query = {"timeframe": "1d", "start": at - 7 * DAY_MS, "end": at + DAY_MS, "limit": 20}
        raw = (await app.get(BARS, **stock("SPLT", **query))).body["bars"]
        split = (await app.get(BARS, **(stock("SPLT", **query) | {"adjustment": "split"}))).body["bars"]
        assert raw[-1] == split[-1]
        assert raw[-2][4] == pytest.approx(4 * split[-2][4])
        assert split[-2][5] == pytest.approx(4 * raw[-2][5])
