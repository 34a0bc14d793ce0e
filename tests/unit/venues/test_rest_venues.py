"""The emulated Kraken, OKX and Bybit, asked as their documentation has it."""

from __future__ import annotations

import asyncio
import sys
import tomllib
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.venues.bybit import BybitVenue
from tests.venues.clock import HastyClock
from tests.venues.generated import generate_minutes
from tests.venues.kraken import KrakenVenue
from tests.venues.okx import OkxVenue
from tests.venues.rest_venue import RestVenue
from tests.venues.truth import Market
from tradewright.domain.timeframes import MINUTE_MS

ROOT = Path(__file__).parents[3]
BEGIN_MS = 1_699_920_000_000
NOW_MS = BEGIN_MS + 3 * 86_400_000 + 37_000
FORMING_MS = NOW_MS - 37_000
TRUTH = generate_minutes(6, BEGIN_MS, 4 * 1_440)


async def get(venue: RestVenue, path: str, **arguments: int | str) -> Any:
    query = {name: str(value) for name, value in arguments.items()}
    async with aiohttp.ClientSession() as http, http.get(f"{venue.url}{path}", params=query) as response:
        return await response.json()


@pytest.fixture
async def kraken() -> AsyncIterator[KrakenVenue]:
    async with KrakenVenue([Market("BTC", "USDT", TRUTH)], clock=HastyClock(NOW_MS)) as venue:
        yield venue


@pytest.fixture
async def okx() -> AsyncIterator[OkxVenue]:
    async with OkxVenue([Market("BTC", "USDT", TRUTH)], clock=HastyClock(NOW_MS)) as venue:
        yield venue


@pytest.fixture
async def bybit() -> AsyncIterator[BybitVenue]:
    async with BybitVenue([Market("BTC", "USDT", TRUTH)], clock=HastyClock(NOW_MS)) as venue:
        yield venue


async def test_kraken_gives_its_last_720_candles_and_no_others(kraken: KrakenVenue) -> None:
    async def rows(**arguments: int) -> list[list[Any]]:
        answer = await get(kraken, "/0/public/OHLC", pair="XBTUSDT", interval=1, **arguments)
        assert answer["error"] == []
        assert answer["result"]["last"] == FORMING_MS // 1000 - 60, "the last candle that is closed"
        found: list[list[Any]] = answer["result"]["XBTUSDT"]
        return found

    everything = await rows()
    times = [row[0] * 1000 for row in everything]
    assert times == list(range(FORMING_MS - 719 * MINUTE_MS, FORMING_MS + 1, MINUTE_MS))
    assert await rows(since=BEGIN_MS // 1000) == everything
    since = times[100] // 1000
    (first, *_), *_ = await rows(since=since)
    assert first == since + 60, "since is exclusive"
    (truth,) = TRUTH.between(times[5], times[5] + 1).rows()
    time, opened, high, low, close, vwap, volume, count = everything[5]
    assert (time * 1000, float(opened), float(high), float(low), float(close), float(volume)) == truth
    assert float(low) <= float(vwap) <= float(high)
    assert count


async def test_kraken_refuses_in_a_list_of_errors(kraken: KrakenVenue) -> None:
    answer = await get(kraken, "/0/public/OHLC", pair="NOPE")
    assert answer == {"error": ["EQuery:Unknown asset pair"]}
    answer = await get(kraken, "/0/public/OHLC", pair="XBTUSDT", interval=7)
    assert answer == {"error": ["EGeneral:Invalid arguments"]}
    weeks = await get(kraken, "/0/public/OHLC", pair="XBTUSDT", interval=10_080)
    assert all(row[0] % (7 * 86_400) == 0 for row in weeks["result"]["XBTUSDT"]), "they open on Thursday"


async def test_okx_gives_the_newest_first_and_knows_1440_on_the_one_path(okx: OkxVenue) -> None:
    async def times(path: str, **arguments: int) -> list[int]:
        answer = await get(okx, f"/api/v5/market/{path}", instId="BTC-USDT", bar="1m", **arguments)
        assert answer["code"] == "0"
        return [int(row[0]) for row in answer["data"]]

    newest = await times("candles", limit=300)
    assert newest == [FORMING_MS - number * MINUTE_MS for number in range(300)]
    after, before = FORMING_MS - 10 * MINUTE_MS, FORMING_MS - 20 * MINUTE_MS
    between = await times("candles", after=after, before=before)
    assert between == list(range(after - MINUTE_MS, before, -MINUTE_MS)), "both are exclusive"
    old = FORMING_MS - 1_440 * MINUTE_MS
    assert await times("candles", after=old + MINUTE_MS) == []
    assert (await times("history-candles", after=old + MINUTE_MS))[0] == old
    assert (await times("history-candles"))[0] == FORMING_MS - MINUTE_MS, "the forming one is elsewhere"
    assert len(await times("history-candles")) == 100
    rows = (await get(okx, "/api/v5/market/candles", instId="BTC-USDT", bar="1m", limit=2))["data"]
    assert [row[8] for row in rows] == ["0", "1"]
    answer = await get(okx, "/api/v5/market/candles", instId="BTC-USDT", bar="1m", limit=301)
    assert answer["code"] == "51000"


async def test_bybit_gives_the_newest_of_a_stretch_both_ends_inclusive(bybit: BybitVenue) -> None:
    async def times(**arguments: int) -> list[int]:
        query: dict[str, Any] = {"category": "spot", "symbol": "BTCUSDT", "interval": "1", **arguments}
        answer = await get(bybit, "/v5/market/kline", **query)
        assert answer["retCode"] == 0
        return [int(row[0]) for row in answer["result"]["list"]]

    start = FORMING_MS - 100 * MINUTE_MS
    end = start + 30 * MINUTE_MS
    assert await times(start=start, end=end) == list(range(end, start - 1, -MINUTE_MS))
    assert (await times(start=start + 1, end=end))[-1] == start, "the candle that holds the start"
    assert await times(start=start, end=end, limit=3) == [end - n * MINUTE_MS for n in range(3)]
    assert await times(start=start, limit=3) == [start + n * MINUTE_MS for n in (2, 1, 0)]
    assert (await times())[0] == FORMING_MS
    assert len(await times()) == 200
    for path, limit in (("kline", 1_001), ("orderbook", 201), ("recent-trade", 61)):
        answer = await get(
            bybit, f"/v5/market/{path}", category="spot", symbol="BTCUSDT", interval="1", limit=limit
        )
        assert answer["retCode"] == 10001


@pytest.mark.parametrize("as_date", [False, True])
async def test_the_time_to_stay_away_goes_by_the_venues_clock(kraken: KrakenVenue, as_date: bool) -> None:
    clock = kraken.time.clock
    assert isinstance(clock, HastyClock)
    kraken.faults.too_many(90, status=418, as_date=as_date)
    await clock.advance(30)
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{kraken.url}/0/public/Time") as response:
            assert response.status == 418
            said = response.headers["Retry-After"]
        if as_date:
            assert parsedate_to_datetime(said).timestamp() == NOW_MS // 1000 + 90
        else:
            assert said == "60"
        await clock.advance(60)
        async with http.get(f"{kraken.url}/0/public/Time") as response:
            assert response.status == 200


async def test_a_wrong_clock_moves_everything(kraken: KrakenVenue) -> None:
    kraken.faults.wrong_clock(-3_600_000)
    answer = await get(kraken, "/0/public/Time")
    assert answer["result"]["unixtime"] == NOW_MS // 1000 - 3_600
    candles = await get(kraken, "/0/public/OHLC", pair="XBTUSDT", interval=1)
    assert candles["result"]["XBTUSDT"][-1][0] * 1000 == FORMING_MS - 3_600_000
    trades = await get(kraken, "/0/public/Trades", pair="XBTUSDT", count=1)
    assert trades["result"]["XBTUSDT"][0][2] * 1000 <= NOW_MS - 3_600_000
    await kraken.heal()
    assert (await get(kraken, "/0/public/Time"))["result"]["unixtime"] == NOW_MS // 1000


async def test_an_outage_and_what_was_asked_are_seen(bybit: BybitVenue) -> None:
    bybit.candle_faults.empty("ETH/USDT")
    query = {"category": "spot", "symbol": "BTCUSDT", "interval": "1"}
    assert (await get(bybit, "/v5/market/kline", **query))["result"]["list"]
    bybit.candle_faults.empty()
    assert (await get(bybit, "/v5/market/kline", **query))["result"]["list"] == []
    assert bybit.counts == {"/v5/market/kline": 2}
    assert bybit.requests("kline")[-1].arguments == query
    assert bybit.requests("kline")[-1].at_ms == NOW_MS


@pytest.mark.parametrize("name", ["kraken", "okx", "bybit", "binance"])
async def test_it_runs_as_a_program_and_says_how_it_is_reached(name: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.venues", name, "--days", "1", stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        banner = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        url = banner.split()[-1]
        text = b""
        while not text.endswith(b"\n\n"):
            line = await asyncio.wait_for(process.stdout.readline(), 10)
            text += line or b"\n\n"
        options = tomllib.loads(text.decode())["providers"][name]
        assert all(address.startswith(url) for address in options["urls"]["api"].values())
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
