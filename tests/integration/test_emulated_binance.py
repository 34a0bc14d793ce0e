"""The whole application on the emulated Binance: REST history and live websocket are one series."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from quart.typing import TestWebsocketConnectionProtocol as LiveSocket

from tests.support.applications import RunningApp, running_app
from tests.venues.binance import CAPTURE_FILE, XRPETH_FILE, BinanceVenue, generate_capture
from tradewright.app import Adapters
from tradewright.runtime.clock import SystemClock

pytestmark = pytest.mark.alone

BTC: dict[str, object] = {"market": "crypto", "provider": "binance", "symbol": "BTC/USDT"}
DEADLINE_S = 60.0


class LateClock(SystemClock):
    """The machine's clock, set so that a minute ends a while after it was made: none has to be waited for."""

    def __init__(self, left_ms: int) -> None:
        self._ahead_ms = -(super().now_ms() + left_ms) % 60_000

    def now_ms(self) -> int:
        return super().now_ms() + self._ahead_ms


@pytest.fixture
def clock() -> LateClock:
    """The time of the venue and of the server."""
    return LateClock(left_ms=12_000)


@pytest.fixture
async def venue(clock: LateClock) -> AsyncIterator[BinanceVenue]:
    async with BinanceVenue(generate_capture(11, 200), lead_in_s=90, clock=clock) as opened:
        yield opened


@pytest.fixture
async def api(venue: BinanceVenue, clock: LateClock, tmp_path: Path) -> AsyncIterator[RunningApp]:
    options = {"binance": venue.provider_options()}
    async with running_app(tmp_path, Adapters(clock=clock), providers=options) as app:
        yield app


async def messages(
    socket: LiveSocket, topic: str, until: Any, deadline_s: float = DEADLINE_S
) -> list[dict[str, Any]]:
    """All messages of the topic until one of them satisfies ``until``."""
    seen: list[dict[str, Any]] = []
    async with asyncio.timeout(deadline_s):
        while not seen or not until(seen[-1]):
            message = msgspec.json.decode(await socket.receive())
            if message.get("topic") == topic:
                seen.append(message)
    return seen


async def subscribe(socket: LiveSocket, stream: str, **more: object) -> str:
    request = {"type": "subscribe", "id": 1, "stream": stream, **BTC, **more}
    await socket.send(msgspec.json.encode(request).decode())
    async with asyncio.timeout(DEADLINE_S):
        while True:
            answer = msgspec.json.decode(await socket.receive())
            if answer.get("id") == 1:
                assert answer["type"] == "ok", answer
                return str(answer["topic"])


async def test_symbols_ticker_book_and_trades_come_from_the_venue(api: RunningApp) -> None:
    listed = (await api.get("/api/v1/market/symbols", market="crypto", provider="binance")).body
    btc = next(item for item in listed["items"] if item["symbol"] == "BTC/USDT")
    assert (btc["price_tick"], btc["amount_step"]) == ("0.01", "0.00001")
    ticker = (await api.get("/api/v1/market/ticker", **BTC)).body
    book = (await api.get("/api/v1/market/order_book", **BTC)).body
    trades = (await api.get("/api/v1/market/trades", **BTC)).body["items"]
    assert book["bids"][0][0] < book["asks"][0][0]
    assert abs(trades[-1][3] / ticker["last"] - 1) < 0.01


async def test_live_bars_continue_the_history_without_a_seam(api: RunningApp, venue: BinanceVenue) -> None:
    volumes: dict[int, set[float]] = {}

    def moved_and_closed(message: dict[str, Any]) -> bool:
        """A minute that ends just after we came is seen once alone: the next one moves before our eyes."""
        for bar in message.get("bars", ()):
            volumes.setdefault(bar[0], set()).add(bar[5])
        return message.get("final") is True and len(volumes[message["bars"][-1][0]]) > 1

    async with api.client.websocket("/api/v1/ws") as socket:
        topic = await subscribe(socket, "ohlcv", timeframe="1m", history=10)
        seen = await messages(socket, topic, moved_and_closed, deadline_s=100)
    snapshot = next(message for message in seen if message["type"] == "snapshot")
    updates = [message for message in seen if message["type"] == "update"]
    assert [update["seq"] for update in updates] == list(
        range(snapshot["seq"] + 1, snapshot["seq"] + 1 + len(updates))
    )
    series = {bar[0]: bar for message in (snapshot, *updates) for bar in message["bars"]}
    closed = updates[-1]["bars"][-1]
    rest = (await api.get("/api/v1/market/ohlcv", **BTC, timeframe="1m", limit=10)).body["bars"]
    assert closed in rest
    assert [bar for bar in rest if bar[0] <= closed[0]] == [
        series[t] for t in sorted(series) if t <= closed[0]
    ]


async def test_any_number_of_viewers_share_one_upstream(api: RunningApp, venue: BinanceVenue) -> None:
    everybody_sees = asyncio.Barrier(21)

    async def view(timeframe: str) -> None:
        async with api.client.websocket("/api/v1/ws") as socket:
            topic = await subscribe(socket, "ohlcv", timeframe=timeframe, history=5)
            await messages(socket, topic, lambda message: message["type"] == "update")
            await everybody_sees.wait()
            await everybody_sees.wait()

    async def count() -> dict[str, int]:
        await everybody_sees.wait()
        found = dict(venue.subscriptions)
        await everybody_sees.wait()
        return found

    viewers = (view(timeframe) for timeframe in ("1m", "5m", "1h", "1d") for _ in range(5))
    async with asyncio.timeout(DEADLINE_S):
        upstream, *_ = await asyncio.gather(count(), *viewers)
    assert upstream == {"btcusdt@kline_1m": 1}
    assert venue.sockets_opened == 1


async def test_a_cut_stream_loses_no_trade(api: RunningApp, venue: BinanceVenue) -> None:
    ids: list[int] = []
    async with api.client.websocket("/api/v1/ws") as socket:
        topic = await subscribe(socket, "trades")
        for _ in range(3):
            for message in await messages(
                socket, topic, lambda message: message["type"] == "update" and message.get("trades")
            ):
                ids += [int(trade[1]) for trade in message.get("trades", [])]
            assert venue.faults.cut_sockets() > 0
        for message in await messages(socket, topic, lambda message: message["type"] == "update"):
            ids += [int(trade[1]) for trade in message.get("trades", [])]
    assert ids == list(range(ids[0], ids[0] + len(ids)))


async def test_an_unreachable_venue_serves_what_is_stored_and_says_why(
    api: RunningApp, venue: BinanceVenue
) -> None:
    before = (await api.get("/api/v1/market/ohlcv", **BTC, timeframe="1m", limit=10)).body
    assert before["problems"] == []
    venue.faults.refuse_connections()
    after = await api.get("/api/v1/market/ohlcv", **BTC, timeframe="1m", limit=10)
    assert after.status == 200
    assert [problem["code"] for problem in after.body["problems"]] == ["provider_unavailable"]
    stored = [bar for bar in before["bars"] if bar[0] + 65_000 < before["bars"][-1][0] + 60_000]
    assert [bar for bar in after.body["bars"] if bar in stored] == stored
    ticker = await api.get("/api/v1/market/ticker", **BTC)
    assert (ticker.status, ticker.body["code"]) == (503, "provider_unavailable")


@pytest.mark.golden
async def test_recorded_candles_are_served_as_they_are(recorded_data: Path, tmp_path: Path) -> None:
    capture, candles = recorded_data / CAPTURE_FILE, recorded_data / XRPETH_FILE
    rows = list(zip(*(column.to_pylist() for column in pq.read_table(candles).columns), strict=True))
    first, last = rows[0][0], rows[-1][0]
    async with (
        BinanceVenue(capture, xrpeth=candles) as venue,
        running_app(tmp_path, providers={"binance": venue.provider_options()}) as api,
    ):
        key = {**BTC, "symbol": "XRP/ETH"}
        answer = await api.get(
            "/api/v1/market/ohlcv", **key, timeframe="1m", start=first, end=last + 60_000, limit=5_000
        )
    assert [tuple(bar) for bar in answer.body["bars"]] == rows
    missing = sum(gap["end"] - gap["start"] for gap in answer.body["gaps"]) // 60_000
    assert missing == (last - first) // 60_000 + 1 - len(rows)
    assert {gap["reason"] for gap in answer.body["gaps"]} == {"no_trades"}
