"""The whole application while what it stands on is killed, frozen and brought back: latency and labels
change, values never, and nothing has to be restarted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.applications import RunningApp, running_app
from tests.support.own_postgres import own_postgres
from tests.venues.candle_venue import CandleVenue
from tests.venues.generated import generate_minutes
from tests.venues.truth import Market
from tools.private_servers import OwnRedis, PrivatePostgres
from tradewright.app import Adapters
from tradewright.domain.bars import Bars
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, ONE_DAY, ONE_HOUR, TIMEFRAMES
from tradewright.runtime.clock import SystemClock

pytestmark = pytest.mark.alone

OHLCV = "/api/v1/market/ohlcv"
READERS = 6
BACK_S = 30.0
"""How long a test waits at most for what the promise gives five or ten seconds, on a slower machine."""
LONGEST_S = 15.0
"""The same for an answer, which has five."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[PrivatePostgres]:
    with own_postgres() as server:
        yield server


@dataclass
class Load:
    """Readers of closed bars, who compare every answer with the truth."""

    app: RunningApp
    truth: dict[str, Bars]
    start_ms: int
    answers: int = 0
    refused: int = 0
    labelled: int = 0
    slowest_s: float = 0.0
    wrong: list[str] = field(default_factory=list)
    _awaited: int = 0
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, number: int) -> bool:
        """One answer; whether it was whole."""
        timeframe = ("1m", "5m", "1h")[number % 3]
        length_ms = TIMEFRAMES[timeframe].length_ms
        start = self.start_ms + (number * 7 % 40) * HOUR_MS
        end = start + 120 * length_ms if timeframe != "1h" else start + 30 * length_ms
        began_s = time.monotonic()
        answer = await self.app.get(
            OHLCV,
            market="crypto",
            provider="binance",
            symbol="BTC/USDT",
            timeframe=timeframe,
            start=start,
            end=end,
            limit=500,
        )
        self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
        self.answers += 1
        if self.answers == self._awaited:
            self._arrived.set()
        if answer.status != 200:
            self.refused += 1
            if answer.status not in (503, 504) or "code" not in answer.body:
                self.wrong.append(f"{answer.status}: {answer.text}")
            return False
        return self._compare(answer.body, self.truth[timeframe].between(start, end))

    def _compare(self, body: dict[str, Any], expected: Bars) -> bool:
        rows = {row[0]: row for row in expected.rows()}
        for bar in body["bars"]:
            row = rows.pop(bar[0], None)
            if row is None or tuple(bar[:5]) != row[:5] or abs(bar[5] / row[5] - 1) > 1e-12:
                self.wrong.append(f"{bar} instead of {row}")
        unknown = [(gap["start"], gap["end"]) for gap in body["gaps"] if gap["reason"] == "not_fetched"]
        left_out = [time for time in rows if not any(start <= time < end for start, end in unknown)]
        if left_out:
            self.wrong.append(f"left out without a word: {left_out[:3]}")
        self.labelled += bool(unknown)
        return not unknown

    async def while_doing(self, work: Callable[[], Awaitable[None]]) -> None:
        """Read all the time until ``work`` is done."""
        done = asyncio.Event()

        async def reader(first: int) -> None:
            number = first
            while not done.is_set():
                await self.read(number)
                number += READERS

        readers = [asyncio.create_task(reader(one), name=f"reader {one}") for one in range(READERS)]
        try:
            await work()
        finally:
            done.set()
            await asyncio.gather(*readers)

    async def until_whole(self) -> float:
        """How long it took until every question had a whole answer again."""
        began_s = time.monotonic()
        while not all([await self.read(number) for number in range(12)]):
            assert time.monotonic() - began_s < BACK_S, "it does not recover"
            await asyncio.sleep(0.1)
        return time.monotonic() - began_s

    async def answered(self, more: int) -> None:
        """Wait until that many more answers have come."""
        self._awaited, self._arrived = self.answers + more, asyncio.Event()
        async with asyncio.timeout(BACK_S):
            await self._arrived.wait()


@asynccontextmanager
async def loaded(
    tmp_path: Path, redis: OwnRedis, postgres: PrivatePostgres, days: int = 5
) -> AsyncIterator[tuple[Load, CandleVenue]]:
    """An application on servers of its own, and its readers of what was so many days ago."""
    start_ms = ONE_DAY.floor(SystemClock().now_ms()) - days * DAY_MS
    minutes = generate_minutes(11, start_ms, (days + 2) * 1_440, quiet=0.1)
    truth = {name: resample(minutes, TIMEFRAMES[name]) for name in ("1m", "5m", "1h")}
    async with CandleVenue([Market("BTC", "USDT", minutes)]) as venue:
        settings = {
            "providers": {"binance": venue.provider_options()},
            "redis_url": redis.url,
            "database_url": postgres.url,
        }
        async with running_app(tmp_path, Adapters(), **settings) as app:
            load = Load(app, truth, ONE_HOUR.ceil(start_ms))
            await load.until_whole()
            yield load, venue
        assert not load.wrong, load.wrong[:3]


async def test_redis_is_killed_frozen_and_brought_back(
    tmp_path: Path, own_redis: OwnRedis, postgres: PrivatePostgres
) -> None:
    async with loaded(tmp_path, own_redis, postgres) as (load, _venue):

        async def mistreat() -> None:
            await load.answered(30)
            own_redis.kill()
            await load.answered(60)
            own_redis.start()
            await load.answered(30)
            own_redis.freeze()
            await load.answered(60)
            own_redis.thaw()
            await load.answered(30)

        await load.while_doing(mistreat)
        assert load.refused == 0, "a cache is never needed"
        assert load.labelled == 0
        assert load.slowest_s < LONGEST_S
        ready = await load.app.get("/readyz")
        assert ready.status == 200


async def test_postgresql_is_killed_and_brought_back(
    tmp_path: Path, own_redis: OwnRedis, postgres: PrivatePostgres
) -> None:
    async with loaded(tmp_path, own_redis, postgres) as (load, _venue):

        async def mistreat() -> None:
            await load.answered(30)
            postgres.kill()
            await load.answered(40)
            postgres.start()

        await load.while_doing(mistreat)
        back_s = await load.until_whole()
        assert load.refused, "without its database the server says so"
        assert load.slowest_s < LONGEST_S
        assert back_s < BACK_S


async def test_the_venue_is_killed_and_brought_back(
    tmp_path: Path, own_redis: OwnRedis, postgres: PrivatePostgres
) -> None:
    async with loaded(tmp_path, own_redis, postgres) as (load, venue):
        venue.faults.refuse_connections()
        whole = await asyncio.gather(*(load.read(number) for number in range(12)))
        assert all(whole), "what is stored needs no venue"
        load.start_ms += 2 * DAY_MS  # minutes that nobody has read yet
        assert not all(await asyncio.gather(*(load.read(number) for number in range(12))))
        assert load.refused == 0
        assert load.labelled
        await venue.faults.accept_connections()
        await load.until_whole()
        assert load.slowest_s < LONGEST_S


async def test_a_server_starts_without_redis_and_uses_it_once_it_comes(
    tmp_path: Path, own_redis: OwnRedis, postgres: PrivatePostgres
) -> None:
    own_redis.kill()
    began_s = time.monotonic()
    async with loaded(tmp_path, own_redis, postgres) as (load, _venue):
        assert time.monotonic() - began_s < BACK_S
        ready = await load.app.get("/readyz")
        states = {each["name"]: each["ok"] for each in ready.body["dependencies"]}
        assert (ready.status, states["redis"]) == (200, False)
        own_redis.start()

        deadline_s = time.monotonic() + BACK_S
        while not all(each["ok"] for each in (await load.app.get("/readyz")).body["dependencies"]):
            assert time.monotonic() < deadline_s, "Redis is not taken back"
        await load.until_whole()
