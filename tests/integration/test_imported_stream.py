"""The socket over imported history that no venue stands behind."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from quart.typing import TestWebsocketConnectionProtocol as LiveSocket

from tests.support.applications import memory_stores, running_app
from tests.support.ledger import START_MS, random_minutes
from tradewright.app import Adapters
from tradewright.domain.instruments import Instrument, InstrumentKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.domain.timeframes import MINUTE_MS, ONE_MINUTE
from tradewright.storage.memory import MemoryBarStore
from tradewright.testing.clock import DrivenClock

KEY = InstrumentKey("crypto", "mydesk", "BTC/USDT")
MINUTES = random_minutes(5, 300)
END_MS = START_MS + 300 * MINUTE_MS
DEADLINE_S = 30.0


async def receive(socket: LiveSocket, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            message = msgspec.json.decode(await socket.receive())
            if message["type"] == kind:
                return dict(message)


async def test_it_is_shown_and_said_to_have_no_feed(tmp_path: Path) -> None:
    bars = MemoryBarStore()
    listed = Instrument(market=KEY.market, symbol=KEY.symbol, base="BTC", quote="USDT")
    held = SeriesBars(KEY.series(ONE_MINUTE), MINUTES, IntervalSet.single(START_MS, END_MS))
    await bars.import_bars([held], replace=False, instruments=[listed])
    adapters = Adapters(clock=DrivenClock(END_MS), stores=memory_stores(bars))
    where = {"market": KEY.market, "provider": KEY.provider, "symbol": KEY.symbol}
    async with running_app(tmp_path, adapters) as api, api.client.websocket("/api/v1/ws") as socket:
        subscribe = {"type": "subscribe", "id": 1, "stream": "ohlcv", **where, "timeframe": "5m"}
        await socket.send(msgspec.json.encode(subscribe).decode())
        assert (await receive(socket, "snapshot"))["bars"]
        feed = await receive(socket, "feed")
        assert (feed["state"], feed.get("opens_at")) == ("closed", None)
        assert "imported history" in feed["detail"]
        await socket.send(msgspec.json.encode({**subscribe, "id": 2, "timeframe": "1h"}).decode())
        assert (await receive(socket, "snapshot"))["bars"]
        assert (await receive(socket, "feed"))["state"] == "closed"
        tape = {"type": "subscribe", "id": 3, "stream": "trades", **where}
        await socket.send(msgspec.json.encode(tape).decode())
        assert (await receive(socket, "error"))["code"] == "feature_not_supported"
