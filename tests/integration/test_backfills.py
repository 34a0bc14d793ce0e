"""Backfills over the running application: HTTP, the socket, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from quart.typing import TestWebsocketConnectionProtocol as LiveSocket

from tests.support.applications import Answer, RunningApp, memory_stores, running_app
from tradewright.app import Adapters
from tradewright.domain.backfills import BackfillJob, JobLease
from tradewright.storage.memory_jobs import MemoryBackfillJobStore
from tradewright.testing.clock import DrivenClock

PATH = "/api/v1/market/backfills"
NOW = 1_717_597_230_500  # 2024-06-05 14:20:30.5 UTC, a Wednesday
DAY = 86_400_000
BTC: dict[str, object] = {"market": "crypto", "provider": "simulated", "symbol": "BTC/USDT"}
BODY: dict[str, object] = {**BTC, "start": NOW - 3 * DAY, "end": NOW - DAY}
DEADLINE_S = 30.0


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running_app(tmp_path, Adapters(clock=DrivenClock(NOW))) as app:
        yield app


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """On the machine's clock."""
    async with running_app(tmp_path) as app:
        yield app


async def ended(api: RunningApp, job_id: str) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            answer = await api.get(f"{PATH}/{job_id}")
            if answer.body["state"] not in ("queued", "running"):
                return dict(answer.body)
            await asyncio.sleep(0)


async def test_a_backfill_is_accepted_runs_and_is_stored(live: RunningApp) -> None:
    now = live.services.markets._clock.now_ms()
    start, end = (now - 3 * DAY) // 60_000 * 60_000, (now - DAY) // 60_000 * 60_000
    accepted = await live.post(PATH, {**BTC, "start": start, "end": end})
    assert accepted.status == 202
    assert set(accepted.body) >= {
        "id", "market", "provider", "symbol", "start", "end", "state", "progress", "bars", "error",
    }  # fmt: skip
    assert (accepted.body["state"], accepted.body["progress"]) == ("queued", 0.0)
    done = await ended(live, accepted.body["id"])
    assert (done["state"], done["progress"], done["error"]) == ("done", 1.0, None)
    assert done["bars"] >= 2_000
    bars = await live.get("/api/v1/market/ohlcv", **BTC, timeframe="1m", start=start, end=end, limit=5_000)
    assert {part["source"] for part in bars.body["sources"]} <= {"db", "cache"}
    assert bars.body["gaps"] == [] or all(gap["reason"] == "no_trades" for gap in bars.body["gaps"])


async def test_backfills_are_listed_newest_first_in_pages(api: RunningApp) -> None:
    ids = [(await api.post(PATH, BODY)).body["id"] for _ in range(5)]
    assert {item["id"] for item in (await api.get(PATH)).body["items"]} == set(ids)
    paged: list[str] = []
    cursor: str | None = None
    while True:
        more: dict[str, object] = {} if cursor is None else {"cursor": cursor}
        page = (await api.get(PATH, limit=2, **more)).body
        paged += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(paged) == sorted(ids)
    for query in ({"limit": 0}, {"limit": 201}, {"cursor": "x"}, {"colour": "green"}):
        assert (await api.get(PATH, **query)).status == 422


async def test_a_cancelled_backfill_stays_cancelled(api: RunningApp) -> None:
    job_id = (await api.post(PATH, BODY)).body["id"]
    cancelled = await api.delete(f"{PATH}/{job_id}")
    assert (cancelled.status, cancelled.body["state"]) == (200, "cancelled")
    assert (await api.delete(f"{PATH}/{job_id}")).body == cancelled.body
    assert (await api.get(f"{PATH}/{job_id}")).body == cancelled.body
    for answer in (await api.get(f"{PATH}/nobody"), await api.delete(f"{PATH}/nobody")):
        assert (answer.status, answer.body["code"]) == (404, "not_found")


BAD_BODIES: list[tuple[object, int, str]] = [
    (b"", 400, "malformed"),
    (b"{", 400, "malformed"),
    (b"[]", 400, "malformed"),
    (b"null", 400, "malformed"),
    (b'{"market":"crypto","market":"crypto"}', 400, "malformed"),
    (b'{"market":' + b"[" * 60_000 + b"]" * 60_000 + b"}", 413, "too_large"),
    (b'{"market":' + b"[" * 3_000 + b"]" * 3_000 + b"}", 400, "malformed"),
    (b'{"start":NaN}', 400, "malformed"),
    (b'{"market":"\xff"}', 400, "malformed"),
    ({}, 422, "invalid_value"),
    ({**BODY, "colour": "green"}, 422, "invalid_value"),
    ({**BODY, "start": "1"}, 422, "invalid_value"),
    ({**BODY, "start": 1.5}, 422, "invalid_value"),
    ({**BODY, "start": True}, 422, "invalid_value"),
    ({**BODY, "newest_first": 1}, 422, "invalid_value"),
    ({**BODY, "start": NOW - DAY, "end": NOW - DAY}, 422, "invalid_value"),
    ({**BODY, "end": NOW + DAY}, 422, "invalid_value"),
    ({**BODY, "end": 10**18}, 422, "invalid_value"),
    ({**BODY, "start": -1}, 422, "invalid_value"),
    ({**BODY, "market": "../etc"}, 422, "invalid_value"),
    ({**BODY, "symbol": '"><script>'}, 422, "invalid_value"),
    ({**BODY, "market": "bonds"}, 404, "unknown_market"),
    ({**BODY, "provider": "nowhere"}, 404, "unknown_provider"),
    ({**BODY, "symbol": "NOPE/USDT"}, 404, "unknown_symbol"),
]


@pytest.mark.parametrize(("body", "status", "code"), BAD_BODIES)
async def test_a_bad_body_is_a_problem_document(
    api: RunningApp, body: object, status: int, code: str
) -> None:
    answer = await api.post(PATH, body)
    assert (answer.status, answer.body["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (await api.get(PATH)).body["items"] == []


async def test_every_wrong_field_is_named(api: RunningApp) -> None:
    answer = await api.post(PATH, {"market": "crypto", "start": "x", "colour": 1})
    assert set(answer.body["errors"]) == {"provider", "symbol", "start", "end", "colour"}


async def test_only_json_from_our_own_pages_is_taken(api: RunningApp) -> None:
    plain = await api.post(PATH, BODY, Content_Type="text/plain")
    assert (plain.status, plain.body["code"]) == (415, "unsupported_media_type")
    job_id = (await api.post(PATH, BODY, Origin="http://localhost", Host="localhost")).body["id"]
    foreign: list[dict[str, str]] = [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ]
    for headers in foreign:
        for answer in (
            await api.post(PATH, BODY, **headers),
            await api.delete(f"{PATH}/{job_id}", **headers),
        ):
            assert (answer.status, answer.body["code"]) == (403, "origin_not_allowed")
        assert (await api.get_with(PATH, headers)).status == 200
    assert len((await api.get(PATH)).body["items"]) == 1


class _NobodyWorks(MemoryBackfillJobStore):
    """A store whose jobs stay queued."""

    async def claim(
        self, owner: str, *, now_ms: int, lease_ms: int, job_id: str | None = None
    ) -> tuple[BackfillJob, JobLease] | None:
        return None


async def test_too_many_open_backfills_are_a_conflict(tmp_path: Path) -> None:
    async with running_app(
        tmp_path, Adapters(clock=DrivenClock(NOW), stores=memory_stores(jobs=_NobodyWorks()))
    ) as api:
        answers: list[Answer] = [await api.post(PATH, BODY) for _ in range(101)]
    assert {answer.status for answer in answers[:100]} == {202}
    assert (answers[100].status, answers[100].body["code"]) == (409, "too_many_backfills")


async def send(socket: LiveSocket, **message: object) -> None:
    await socket.send(msgspec.json.encode(message).decode())


async def receive(socket: LiveSocket) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_S):
        return dict(msgspec.json.decode(await socket.receive()))


async def test_the_socket_tells_every_job_from_its_beginning_to_its_end(live: RunningApp) -> None:
    now = live.services.markets._clock.now_ms()
    body = {**BTC, "start": now - 3 * DAY, "end": now - DAY}
    first = (await live.post(PATH, body)).body
    await ended(live, first["id"])
    async with live.client.websocket("/api/v1/ws") as socket:
        await send(socket, type="subscribe", id=1, stream="backfills")
        assert await receive(socket) == {"type": "ok", "id": 1, "topic": "backfills"}
        snapshot = await receive(socket)
        assert (snapshot["type"], snapshot["topic"]) == ("snapshot", "backfills")
        assert [job["id"] for job in snapshot["backfills"]] == [first["id"]]
        assert snapshot["problems"] == []
        second = (await live.post(PATH, {**body, "start": now - 5 * DAY})).body
        states: list[str] = []
        seq = snapshot["seq"]
        while not states or states[-1] in ("queued", "running"):
            update = await receive(socket)
            assert (update["type"], update["epoch"], update["seq"]) == ("update", snapshot["epoch"], seq + 1)
            seq = update["seq"]
            if update["backfill"]["id"] == second["id"]:
                states.append(update["backfill"]["state"])
        assert states[0] == "queued"
        assert states[-1] == "done"
        await send(socket, type="unsubscribe", id=2, topic="backfills")
        assert (await receive(socket))["id"] == 2
        await send(socket, type="subscribe", id=3, stream="backfills", market="crypto")
        refused = await receive(socket)
        assert (refused["type"], refused["code"]) == ("error", "invalid_value")
    async with live.client.websocket("/api/v1/ws") as socket:
        resume = {"epoch": snapshot["epoch"], "seq": snapshot["seq"]}
        await send(socket, type="subscribe", id=1, stream="backfills", resume=resume)
        assert (await receive(socket))["type"] == "ok"
        again = await receive(socket)
        if again["type"] == "update":
            assert again["seq"] == snapshot["seq"] + 1
        else:
            assert {job["id"] for job in again["backfills"]} == {first["id"], second["id"]}
