"""Clients that hang up halfway: what they asked for is done whole, and their guesses are counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from quart.testing import connections

from tests.support.account_client import AUTH, Client, first_person
from tests.support.accounts import PASSWORD
from tests.support.applications import HERE, RunningApp, running_app
from tradewright.app import Adapters
from tradewright.app_extensions.people import people_of
from tradewright.config import TestingConfig
from tradewright.runtime.clock import SystemClock
from tradewright.services.auth.passwords import PasswordCost
from tradewright.services.auth.throttle import BY_PAIR

NEW = "another lantern 7 under water"


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """People in files, and passwords that take long enough to leave meanwhile."""
    people = people_of(TestingConfig(data_dir=tmp_path), SystemClock())
    adapters = Adapters(people=people, password_cost=PasswordCost(time=2, memory_kib=16 * 1024, lanes=1))
    async with running_app(tmp_path, adapters) as running:
        yield running


@pytest.fixture
async def anna(app: RunningApp) -> Client:
    return await first_person(app)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  nothing tells when it holds
            await asyncio.sleep(0)


async def leave(app: RunningApp, path: str, body: object, token: str | None = None) -> None:
    """Hang up while a password of the request is looked at; back when the request has ended, and what goes
    on without it."""
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    connection = app.app.test_client().request(path, method="POST", headers=headers, scope_base=HERE)
    assert isinstance(connection, connections.TestHTTPConnection)
    async with connection:
        await connection.send(msgspec.json.encode(body))
        await connection.send_complete()
        await until(lambda: app.services.auth._passwords._waiting > 0)
        await connection.disconnect()
    assert connection.status_code is None, "nobody was answered"
    await until(lambda: not len(app.services.changes))


async def test_a_password_is_changed_whole(app: RunningApp, anna: Client) -> None:
    thief = Client(app.app)
    assert (await thief.login()).status == 200
    body = {"current_password": PASSWORD, "new_password": NEW}
    await leave(app, f"{AUTH}/password", body, anna.token)
    assert (await thief.get(f"{AUTH}/me")).status == 401
    assert (await thief.refresh()).status == 401
    assert (await anna.get(f"{AUTH}/me")).status == 200
    events = (await anna.get("/api/v1/audit")).body["items"]
    assert [each["kind"] for each in events].count("password.changed") == 1
    assert (await thief.login()).status == 401
    assert (await thief.login(password=NEW)).status == 200


async def test_a_guess_counts_though_nobody_waits_for_the_answer(app: RunningApp, anna: Client) -> None:
    for _ in range(BY_PAIR.free):
        await leave(app, f"{AUTH}/login", {"login": "anna", "password": "wrong"})
    guess = await Client(app.app).login(password="wrong")
    assert (guess.status, guess.body["code"]) == (429, "too_many_logins")
    events = (await anna.get("/api/v1/audit")).body["items"]
    assert [each["kind"] for each in events].count("login.failed") == BY_PAIR.free
