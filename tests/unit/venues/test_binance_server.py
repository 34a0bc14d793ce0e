"""The emulated venue on the wire: REST, websocket, and how it misbehaves on command."""

from __future__ import annotations

import asyncio
import json
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.venues.binance import BinanceVenue, generate_capture
from tests.venues.binance.klines import INTERVALS
from tests.venues.binance.market import Book
from tests.venues.candle_faults import Kind
from tradewright.testing.clock import DrivenClock

ROOT = Path(__file__).parents[3]
CAPTURE = generate_capture(2, 60)


@pytest.fixture
async def venue() -> AsyncIterator[BinanceVenue]:
    async with BinanceVenue(CAPTURE, lead_in_s=30, speed=5) as opened:
        yield opened


@pytest.fixture
async def http(venue: BinanceVenue) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(f"{venue.url}/", timeout=timeout) as session:
        yield session


async def get(http: aiohttp.ClientSession, path: str, **query: Any) -> Any:
    async with http.get(f"/api/v3/{path}", params=query) as response:
        return await response.json()


async def receive(socket: aiohttp.ClientWebSocketResponse, deadline_s: float = 10) -> Any:
    return await asyncio.wait_for(socket.receive_json(), deadline_s)


async def test_the_simple_calls_have_the_venues_form(
    venue: BinanceVenue, http: aiohttp.ClientSession
) -> None:
    assert await get(http, "ping") == {}
    assert abs((await get(http, "time"))["serverTime"] - venue.time.now_ms()) < 1_000
    info = await get(http, "exchangeInfo")
    (symbol,) = info["symbols"]
    assert (symbol["symbol"], symbol["baseAsset"], symbol["quoteAsset"]) == ("BTCUSDT", "BTC", "USDT")
    assert {one["filterType"] for one in symbol["filters"]} >= {"PRICE_FILTER", "LOT_SIZE", "NOTIONAL"}
    price = await get(http, "ticker/price", symbol="BTCUSDT")
    (book,) = await get(http, "ticker/bookTicker")
    assert float(book["bidPrice"]) < float(book["askPrice"])
    assert abs(float(price["price"]) / float(book["bidPrice"]) - 1) < 0.01


async def test_klines_of_every_interval_are_served(http: aiohttp.ClientSession) -> None:
    for interval in INTERVALS:
        rows = await get(http, "klines", symbol="BTCUSDT", interval=interval)
        assert rows, interval
        assert all(len(row) == 12 for row in rows), interval
        assert rows == sorted(rows), interval


async def test_klines_are_chosen_as_the_venue_chooses(http: aiohttp.ClientSession) -> None:
    every = await get(http, "klines", symbol="BTCUSDT", interval="1s", limit=1000)
    every = every[:-2]  # the rest may still change
    opens = [row[0] for row in every]
    first = await get(http, "klines", symbol="BTCUSDT", interval="1s", startTime=opens[3], limit=4)
    assert first == every[3:7]
    last = await get(http, "klines", symbol="BTCUSDT", interval="1s", endTime=opens[9], limit=3)
    assert last == every[7:10]
    both = await get(http, "klines", symbol="BTCUSDT", interval="1s", startTime=opens[2], endTime=opens[4])
    assert both == every[2:5]


async def test_pages_of_klines_are_wrong_on_command(venue: BinanceVenue, http: aiohttp.ClientSession) -> None:
    every = (await get(http, "klines", symbol="BTCUSDT", interval="1s", limit=1000))[:-2]
    asked = {"symbol": "BTCUSDT", "interval": "1s", "startTime": every[4][0], "limit": 10}
    right = every[4:14]

    async def page(kind: Kind) -> Any:
        venue.candle_faults.do(kind, times=1)
        return await get(http, "klines", **asked)

    assert await page("overlap") == every[1:17]
    shuffled = await page("out_of_order")
    assert shuffled != right
    assert sorted(shuffled) == right
    doubled = await page("duplicate")
    assert len(doubled) > 10
    assert {tuple(row) for row in doubled} == {tuple(row) for row in right}
    short = await page("short")
    assert short == right[: len(short)]
    lost = await page("missing")
    assert len(lost) < 10
    assert (lost[0], lost[-1]) == (right[0], right[-1])
    ((old, new),) = [pair for pair in zip(right, await page("revised"), strict=True) if pair[0] != pair[1]]
    assert float(new[5]) == float(old[5]) + 1
    *rest, stray = await page("off_grid")
    assert rest == right
    assert stray[1:] == right[-1][1:]
    assert await page("nothing") == []
    assert await get(http, "klines", **asked) == right
    assert venue.candle_faults.broken == 8
    venue.candle_faults.empty()
    assert await get(http, "klines", **asked) == []
    await venue.heal()
    assert await get(http, "klines", **asked) == right


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("klines", {"symbol": "NOPE", "interval": "1m"}, -1121),
        ("klines", {"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ("klines", {"symbol": "BTCUSDT"}, -1102),
        ("klines", {"interval": "1m"}, -1102),
        ("klines", {"symbol": "btc/usdt", "interval": "1m"}, -1100),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": "-1"}, -1100),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": "0"}, -1130),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "startTime": "NaN"}, -1100),
        ("depth", {"symbol": "BTCUSDT", "limit": "x"}, -1100),
        ("trades", {}, -1102),
    ],
)
async def test_a_wrong_request_gets_the_venues_code(
    http: aiohttp.ClientSession, path: str, query: dict[str, str], code: int
) -> None:
    async with http.get(f"/api/v3/{path}", params=query) as response:
        assert response.status == 400
        body = await response.json()
    assert body["code"] == code
    assert body["msg"]


async def test_weights_are_counted_and_limited() -> None:
    clock = DrivenClock(1_730_980_815_000)  # a quarter past a minute
    async with (
        BinanceVenue(CAPTURE, weight_limit=60, clock=clock) as venue,
        aiohttp.ClientSession(f"{venue.url}/") as http,
    ):
        used = []
        for _ in range(2):
            async with http.get("/api/v3/trades", params={"symbol": "BTCUSDT"}) as response:
                used.append(int(response.headers["X-MBX-USED-WEIGHT-1M"]))
        async with http.get("/api/v3/trades", params={"symbol": "BTCUSDT"}) as response:
            assert response.status == 429
            assert response.headers["Retry-After"] == "45"
            assert (await response.json())["code"] == -1003
        assert used == [25, 50]
        await clock.advance(45)
        async with http.get("/api/v3/trades", params={"symbol": "BTCUSDT"}) as response:
            assert response.status == 200


async def test_trades_of_all_three_calls_agree(http: aiohttp.ClientSession) -> None:
    recent = await get(http, "trades", symbol="BTCUSDT", limit=100)
    assert [trade["id"] for trade in recent] == list(range(recent[0]["id"], recent[0]["id"] + 100))
    again = await get(http, "historicalTrades", symbol="BTCUSDT", fromId=recent[10]["id"], limit=5)
    assert again == recent[10:15]
    aggregates = await get(http, "aggTrades", symbol="BTCUSDT", limit=50)
    known = {trade["id"]: trade for trade in await get(http, "trades", symbol="BTCUSDT", limit=1000)}
    for one in aggregates:
        parts = [known[number] for number in range(one["f"], one["l"] + 1)]
        assert {part["price"] for part in parts} == {one["p"]}
        assert sum(float(part["qty"]) for part in parts) == pytest.approx(float(one["q"]))


async def test_combined_streams_are_subscribed_by_messages(
    venue: BinanceVenue, http: aiohttp.ClientSession
) -> None:
    async with http.ws_connect("/stream/0") as socket:
        await socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 7})
        assert await receive(socket) == {"result": None, "id": 7}
        message = await receive(socket)
        assert message["stream"] == "btcusdt@trade"
        assert message["data"]["e"] == "trade"
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 8})
        while (answer := await receive(socket)).get("id") != 8:
            pass
        assert answer["result"] == ["btcusdt@trade"]
        await socket.send_json({"method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": "nine"})
        while await receive(socket) != {"result": None, "id": "nine"}:
            pass
        assert venue.subscriptions == {}
        await socket.send_json({"method": "DANCE", "id": 10})
        assert (await receive(socket))["error"]["code"] == 2
        await socket.send_str("no json")
        assert (await receive(socket))["error"]["code"] == 2
    assert venue.sockets_opened == 1


async def test_raw_streams_are_named_in_the_path(venue: BinanceVenue, http: aiohttp.ClientSession) -> None:
    async with http.ws_connect("/ws/btcusdt@aggTrade/btcusdt@bookTicker") as socket:
        kinds = {(await receive(socket)).get("e", "bookTicker") for _ in range(100)}
        assert kinds == {"aggTrade", "bookTicker"}
        assert venue.subscriptions == {"btcusdt@aggTrade": 1, "btcusdt@bookTicker": 1}
    async with http.ws_connect(
        "/stream?streams=btcusdt@kline_5m/btcusdt@miniTicker/btcusdt@depth5"
    ) as socket:
        streams = {(await receive(socket))["stream"] for _ in range(12)}
        assert streams == {"btcusdt@kline_5m", "btcusdt@miniTicker", "btcusdt@depth5"}


async def test_snapshot_and_diffs_are_one_book(venue: BinanceVenue, http: aiohttp.ClientSession) -> None:
    """What the venue's documentation says about keeping a local book, word for word."""
    async with http.ws_connect("/ws/btcusdt@depth@100ms") as socket:
        await receive(socket)
        snapshot = await get(http, "depth", symbol="BTCUSDT", limit=5000)
        book = Book()
        book.apply(snapshot["bids"], snapshot["asks"], snapshot["lastUpdateId"])
        applied = 0
        while applied < 50:
            event = await receive(socket)
            if event["u"] <= book.last_id:
                continue
            assert event["U"] <= book.last_id + 1 if not applied else event["U"] == book.last_id + 1
            book.apply(event["b"], event["a"], event["u"])
            applied += 1
        later = await get(http, "depth", symbol="BTCUSDT", limit=100)
        while book.last_id < later["lastUpdateId"]:
            event = await receive(socket)
            book.apply(event["b"], event["a"], event["u"])
    bids, asks = book.top(100)
    assert book.last_id == later["lastUpdateId"]
    assert [list(level) for level in bids] == later["bids"]
    assert [list(level) for level in asks] == later["asks"]


async def test_history_and_stream_of_klines_are_one_series(http: aiohttp.ClientSession) -> None:
    async with http.ws_connect("/ws/btcusdt@kline_1m/btcusdt@trade") as socket:
        trade = await receive(socket)
        while trade["e"] != "trade":
            trade = await receive(socket)
        (before,) = await get(http, "klines", symbol="BTCUSDT", interval="1m", limit=1)
        event = await receive(socket)
        while event["e"] != "kline" or event["k"]["t"] < before[0]:
            event = await receive(socket)
        kline = event["k"]
        if kline["t"] == before[0]:
            assert kline["o"] == before[1]
            assert kline["n"] >= before[8]
            assert float(kline["v"]) >= float(before[5])


async def test_time_can_be_driven() -> None:
    clock = DrivenClock(1_730_980_815_000)
    async with (
        BinanceVenue(CAPTURE, clock=clock) as venue,
        aiohttp.ClientSession(f"{venue.url}/") as http,
        http.ws_connect("/ws/btcusdt@kline_1m") as socket,
    ):
        assert await get(http, "klines", symbol="BTCUSDT", interval="1m") == []
        await clock.advance(46)
        klines = [(await receive(socket))["k"]]
        while not klines[-1]["x"]:
            klines.append((await receive(socket))["k"])
        assert klines[0]["t"] == klines[-1]["t"] == 1_730_980_800_000
        assert len(klines) > 30
        done, forming = await get(http, "klines", symbol="BTCUSDT", interval="1m")
        assert [done[index] for index in (1, 2, 3, 4, 5)] == [klines[-1][name] for name in "ohlcv"]
        assert forming[0] == 1_730_980_860_000


# Misbehaving


async def test_cut_sockets_are_cut_and_new_ones_live(
    venue: BinanceVenue, http: aiohttp.ClientSession
) -> None:
    async with http.ws_connect("/ws/btcusdt@trade") as socket:
        await receive(socket)
        assert venue.faults.cut_sockets() >= 1
        while (message := await asyncio.wait_for(socket.receive(), 5)).type is aiohttp.WSMsgType.TEXT:
            pass
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    async with http.ws_connect("/ws/btcusdt@trade") as socket:
        await receive(socket)


async def test_refused_connections_are_refused_until_accepted(
    venue: BinanceVenue, http: aiohttp.ClientSession
) -> None:
    port = venue.port
    venue.faults.refuse_connections()
    with pytest.raises(aiohttp.ClientConnectionError):
        await get(http, "ping")
    await venue.faults.accept_connections()
    assert venue.port == port
    assert await get(http, "ping") == {}


async def test_a_silent_socket_stays_open_and_says_nothing(
    venue: BinanceVenue, http: aiohttp.ClientSession
) -> None:
    async with http.ws_connect("/ws/btcusdt@trade", timeout=aiohttp.ClientWSTimeout(ws_close=0.1)) as socket:
        await receive(socket)
        assert venue.faults.silence_sockets() == 1
        while not socket.closed:
            try:
                await receive(socket, 0.3)  # what was on its way
            except TimeoutError:
                break
        assert not socket.closed
        assert venue.upstream_sockets == 1
        async with http.ws_connect("/ws/btcusdt@trade") as other:
            await receive(other)


async def test_rules_count_down_and_healing_ends_them(
    venue: BinanceVenue, http: aiohttp.ClientSession
) -> None:
    venue.faults.answer("/api/v3/time", status=418, body="no", headers={"Retry-After": "9"}, times=2)
    rule = venue.faults.unavailable("/api/v3/depth")
    seen = []
    for path in ("time", "time", "time", "depth", "depth"):
        async with http.get(f"/api/v3/{path}", params={"symbol": "BTCUSDT"}) as response:
            seen.append((response.status, response.headers.get("Retry-After")))
    assert seen == [(418, "9"), (418, "9"), (200, None), (503, None), (503, None)]
    assert rule.used == 2
    await venue.faults.heal()
    assert "bids" in await get(http, "depth", symbol="BTCUSDT")


async def test_a_hanging_call_hangs_and_a_cut_body_is_cut(
    venue: BinanceVenue, http: aiohttp.ClientSession
) -> None:
    venue.faults.hang("/api/v3/ping")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(get(http, "ping"), 0.2)
    venue.faults.cut_body("/api/v3/ping")
    with pytest.raises(aiohttp.ClientPayloadError):
        await get(http, "ping")
    assert await get(http, "ping") == {}


async def test_streams_can_be_changed_on_their_way(venue: BinanceVenue, http: aiohttp.ClientSession) -> None:
    venue.faults.message_filter = lambda _, text: () if '"trade"' in text else (text, text)
    async with http.ws_connect("/ws/btcusdt@trade/btcusdt@depth") as socket:
        first, second = await receive(socket), await receive(socket)
        assert first == second
        assert first["e"] == "depthUpdate"
        venue.faults.message_filter = None
        venue.faults.inject("junk")
        texts = [(await asyncio.wait_for(socket.receive(), 5)).data for _ in range(3)]
        assert "junk" in texts


# Beginning and end


async def test_what_an_operator_writes_reads_back(venue: BinanceVenue) -> None:
    options = venue.provider_options()
    assert tomllib.loads(venue.provider_toml()) == {"providers": {"binance": options}}
    assert options["urls"]["api"]["ws"]["spot"] == f"ws://127.0.0.1:{venue.port}/stream"


async def test_two_venues_are_two_and_nothing_is_left_behind() -> None:
    before = asyncio.all_tasks()
    async with BinanceVenue(CAPTURE) as first, BinanceVenue(CAPTURE) as second:
        assert first.port != second.port
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(f"{first.url}/ws/btcusdt@depth") as socket,
        ):
            await socket.receive_json()
            assert (first.upstream_sockets, second.upstream_sockets) == (1, 0)
    async with asyncio.timeout(5):
        while asyncio.all_tasks() - before:  # noqa: ASYNC110 -- tasks end in the loop's own time
            await asyncio.sleep(0.01)


async def test_it_runs_as_a_program() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.venues.binance", "--seed", "3", "--speed", "10", "--lead-in", "5", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        banner = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        assert "BTCUSDT" in banner
        url = banner.split()[-1]
        async with aiohttp.ClientSession() as http, http.get(f"{url}/api/v3/time") as response:
            assert "serverTime" in json.loads(await response.text())
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
