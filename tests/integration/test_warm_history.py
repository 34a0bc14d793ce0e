"""Answers from memory: the same bytes and headers as any other, and never one that could have changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from tests.support.applications import RunningApp, memory_stores, running_app
from tests.support.ledger import START_MS, SYMBOL, ledger_plugin, random_minutes
from tests.support.loaders import loader_of
from tradewright.app import Adapters
from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, ONE_MINUTE
from tradewright.storage.memory import MemoryBarStore
from tradewright.testing.clock import DrivenClock
from tradewright.web.middleware.warm_history import LIFETIME_S, WarmAnswers

pytestmark = pytest.mark.alone

PATH = "/api/v1/market/ohlcv"
MINUTES = random_minutes(4, 4 * 1_440)
KEY = InstrumentKey("crypto", "ledger", SYMBOL).series(ONE_MINUTE)
CLOSED = {
    "market": "crypto",
    "provider": "ledger",
    "symbol": SYMBOL,
    "timeframe": "5m",
    "start": str(START_MS),
    "end": str(START_MS + 6 * HOUR_MS),
}


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock(START_MS + 2 * DAY_MS + 5_000)


@pytest.fixture
def bars() -> MemoryBarStore:
    return MemoryBarStore()


@pytest.fixture
async def app(tmp_path: Path, clock: DrivenClock, bars: MemoryBarStore) -> AsyncIterator[RunningApp]:
    adapters = Adapters(clock=clock, loader=loader_of(ledger_plugin(MINUTES)), stores=memory_stores(bars))
    async with running_app(tmp_path, adapters) as running:
        yield running


@pytest.fixture
async def client(app: RunningApp) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=cast(Any, app.app))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as opened:
        yield opened


def kept(app: RunningApp, answer: httpx.Response) -> bool:
    """Whether the answer is remembered under the query it answers."""
    return app.services.warm.get(answer.request.url.query) is not None


async def test_a_kept_answer_is_the_same_to_the_last_header(
    app: RunningApp, client: httpx.AsyncClient
) -> None:
    first = await client.get(PATH, params=CLOSED)
    assert first.status_code == 200
    assert kept(app, first)
    second = await client.get(PATH, params=CLOSED)
    assert second.content == first.content
    ids = [dict(answer.headers).pop("x-request-id") for answer in (first, second)]
    assert ids[0] != ids[1]
    for answer in (first, second):
        del answer.headers["x-request-id"]
    assert dict(second.headers) == dict(first.headers)


async def test_what_can_change_is_not_kept(
    app: RunningApp, client: httpx.AsyncClient, clock: DrivenClock
) -> None:
    now_ms = clock.now_ms()
    for change in (
        {"end": str(now_ms + HOUR_MS), "start": str(now_ms - HOUR_MS)},  # has a forming bar
        {"end": str(now_ms), "start": str(now_ms - HOUR_MS)},  # its last bar has not settled
        {"start": str(START_MS - DAY_MS), "end": str(START_MS)},  # has nothing
    ):
        answer = await client.get(PATH, params={**CLOSED, **change})
        assert answer.status_code == 200
        assert not kept(app, answer), change
    newest = {name: value for name, value in CLOSED.items() if name not in ("start", "end")}
    assert not kept(app, await client.get(PATH, params=newest))


async def test_errors_are_not_kept(app: RunningApp, client: httpx.AsyncClient) -> None:
    for wrong in ({"limit": "0"}, {"timeframe": "7m"}, {"symbol": "NO/SUCH"}, {"colour": "green"}):
        answer = await client.get(PATH, params={**CLOSED, **wrong})
        assert answer.status_code in (404, 422)
        assert not kept(app, answer)


async def test_a_correction_is_seen_in_no_time(
    client: httpx.AsyncClient, clock: DrivenClock, bars: MemoryBarStore
) -> None:
    before = (await client.get(PATH, params=CLOSED)).json()["bars"]
    whole = IntervalSet.single(START_MS, START_MS + DAY_MS)
    truth = MINUTES.between(START_MS, START_MS + DAY_MS)
    doubled = Bars(truth.time, *truth.values()[:4], truth.volume * 2)
    await bars.write(SeriesBars(KEY, doubled, whole))
    assert (await client.get(PATH, params=CLOSED)).json()["bars"] == before
    await clock.advance(LIFETIME_S)
    after = (await client.get(PATH, params=CLOSED)).json()["bars"]
    assert [row[5] for row in after] == pytest.approx([row[5] * 2 for row in before])


async def test_a_foreign_host_gets_nothing_from_memory(client: httpx.AsyncClient) -> None:
    await client.get(PATH, params=CLOSED)
    refused = await client.get(PATH, params=CLOSED, headers={"Host": "evil.example"})
    assert (refused.status_code, refused.json()["code"]) == (403, "host_not_allowed")


async def test_other_methods_and_paths_go_their_way(client: httpx.AsyncClient) -> None:
    await client.get(PATH, params=CLOSED)
    assert (await client.post(PATH, params=CLOSED)).status_code == 405
    assert (await client.get("/api/v1/market/markets")).status_code == 200


def test_memory_is_bounded_and_the_least_used_goes_first(clock: DrivenClock) -> None:
    answers = WarmAnswers(clock, bytes_max=1_000)
    for number in range(5):
        answers.put(b"q%d" % number, bytes(198))
    assert answers.get(b"q0") is not None
    answers.put(b"q5", bytes(198))
    assert answers.get(b"q1") is None
    assert answers.get(b"q0") is not None
    answers.put(b"huge", bytes(5_000))
    assert answers.get(b"huge") is None


async def test_what_is_kept_ends(clock: DrivenClock) -> None:
    answers = WarmAnswers(clock)
    answers.put(b"q", b"body")
    await clock.advance(LIFETIME_S - 0.01)
    assert answers.get(b"q") == b"body"
    await clock.advance(0.01)
    assert answers.get(b"q") is None
