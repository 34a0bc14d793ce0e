"""One's own profile and preferences over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.account_client import AUTH, Client, first_person, person
from tests.support.accounts import CHEAP, PASSWORD
from tests.support.applications import RunningApp, memory_stores, running_app
from tradewright.app import Adapters
from tradewright.services.auth.throttle import BY_RENAMER
from tradewright.services.user.preferences import BYTES_MAX
from tradewright.testing.clock import DrivenClock

PROFILE = "/api/v1/user/profile"
PREFERENCES = "/api/v1/user/preferences"
CHART = {"market": "crypto", "provider": "binance", "symbol": "BTC/USDT", "timeframe": "5m"}
INSTRUMENT = {"market": "crypto", "provider": "binance", "symbol": "BTC/USDT"}


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock()


@pytest.fixture
async def app(tmp_path: Path, clock: DrivenClock) -> AsyncIterator[RunningApp]:
    adapters = Adapters(clock=clock, stores=memory_stores(), password_cost=CHEAP)
    async with running_app(tmp_path, adapters) as running:
        yield running


@pytest.fixture
async def anna(app: RunningApp) -> Client:
    return await first_person(app)


@pytest.fixture
async def ben(app: RunningApp, anna: Client) -> Client:
    return await person(app, "ben", "viewer")


async def change(client: Client, path: str, body: object) -> Any:
    return await client.call("PATCH", path, body)


async def test_a_person_changes_how_they_are_called(anna: Client, ben: Client) -> None:
    assert (await anna.get(PROFILE)).body["username"] == "anna"
    changed = await change(anna, PROFILE, {"username": "Anna.2", "email": "a2@example.com"})
    assert (changed.status, changed.body["username"], changed.body["email"]) == (
        200,
        "Anna.2",
        "a2@example.com",
    )
    for name in ("Anna.2", "a2@example.com"):
        assert (await Client(anna.app).login(name)).status == 200
    assert (await Client(anna.app).login("anna")).status == 401
    taken = await change(ben, PROFILE, {"username": "ANNA.2"})
    assert (taken.status, taken.body["code"]) == (409, "name_taken")
    assert (await ben.get(PROFILE)).body["username"] == "ben"


async def test_a_new_address_wants_a_proof(anna: Client, clock: DrivenClock) -> None:
    await clock.advance(301)
    refused = await change(anna, PROFILE, {"email": "thief@example.com", "username": "thief"})
    assert (refused.status, refused.body["code"]) == (403, "step_up_required")
    assert (await anna.get(PROFILE)).body["username"] == "anna", "not half of it either"
    assert (await change(anna, PROFILE, {"username": "anna2"})).status == 200
    assert (await anna.post(f"{AUTH}/step_up", {"password": PASSWORD})).status == 200
    assert (await change(anna, PROFILE, {"email": "anna2@example.com"})).status == 200


async def test_nobody_tries_names_at_will(anna: Client, ben: Client, clock: DrivenClock) -> None:
    """Each change tells whether a name is taken, whatever comes of it."""
    for number in range(BY_RENAMER.free):
        name = "anna" if number % 2 else f"ben{number}"
        assert (await change(ben, PROFILE, {"username": name})).status == (409 if number % 2 else 200)
        assert (await change(ben, PROFILE, {"username": "!"})).status == 422, "which tells nothing"
    for name in ("anna", "nobody"):
        held_back = await change(ben, PROFILE, {"username": name})
        assert (held_back.status, held_back.body["code"]) == (429, "too_many_logins")
        assert held_back.headers["Retry-After"] == "1"
    assert (await ben.get(PROFILE)).body["username"] == "ben8"
    elsewhere = Client(anna.app, "192.0.2.44", anna.token)
    assert (await change(elsewhere, PROFILE, {"username": "Anna"})).status == 200, "others may"
    await clock.advance(1)
    assert (await change(ben, PROFILE, {"username": "ben"})).status == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"role": "admin"},
        {"username": "anna", "id": "other"},
        {"username": "anna", "disabled": False},
        {"username": "a"},
        {"username": "an na"},
        {"username": "anna\r\nadmin"},
        {"email": "none"},
        {"email": ["a@example.com"]},
        {"username": 7},
    ],
)
async def test_what_is_no_profile_changes_nothing(anna: Client, body: object) -> None:
    before = (await anna.get(PROFILE)).body
    assert (await change(anna, PROFILE, body)).status == 422
    assert (await anna.get(PROFILE)).body == before


async def test_what_was_chosen_is_kept_for_its_person_alone(anna: Client, ben: Client) -> None:
    assert (await anna.get(PREFERENCES)).body == {}
    choices: dict[str, object] = {
        "theme": "dark",
        "timezone": "Europe/Berlin",
        "default_market": "crypto",
        "default_provider": "binance",
        "default_symbol": "BTC/USDT",
        "default_timeframe": "1h",
        "chart": {
            "type": "ohlc",
            "axis": "logarithm",
            "indicators": [{"name": "MA", "params": [5, 10.5], "visible": False}],
            "favourites": ["1m", "1M"],
            "side_panel": False,
        },
        "recent": [CHART],
        "watchlists": [{"name": "Größe", "items": [INSTRUMENT]}],
        "layouts": [{"name": "two", "columns": 2, "charts": [CHART, CHART]}],
    }
    changed = await change(anna, PREFERENCES, choices)
    assert (changed.status, changed.body) == (200, choices)
    assert (await anna.get(PREFERENCES)).body == choices
    assert (await ben.get(PREFERENCES)).body == {}
    left = await change(anna, PREFERENCES, {"theme": None, "timezone": "utc", "chart": {"type": "area"}})
    assert left.body == {
        **{name: value for name, value in choices.items() if name != "theme"},
        "timezone": "utc",
        "chart": {"type": "area"},
    }
    assert (await change(anna, PREFERENCES, {})).body == left.body


@pytest.mark.parametrize(
    "body",
    [
        {"user_id": "other"},
        {"is_admin": True},
        {"__proto__": {"theme": "dark"}},
        {"theme": "pink"},
        {"theme": 1},
        {"timezone": "Mars/Olympus"},
        {"timezone": "../../etc/passwd"},
        {"default_market": ""},
        {"default_symbol": "x" * 65},
        {"default_symbol": "a\u2028b"},
        {"default_symbol": "\ud800"},
        {"default_symbol": "BTC/USDT\n"},
        {"chart": {"indicators": [{"name": "MA\n", "params": [], "visible": True}]}},
        {"default_timeframe": "7m"},
        {"chart": {"type": "ohlc", "colour": "red"}},
        {"chart": {"indicators": [{"name": "MA", "params": [1e300], "visible": True}]}},
        {"chart": {"indicators": [{"name": "<b>", "params": [], "visible": True}]}},
        {"chart": {"indicators": [{"name": "MA", "params": [], "visible": True}] * 13}},
        {"recent": [CHART] * 21},
        {"recent": [{**CHART, "timeframe": "1y"}]},
        {"watchlists": [{"name": "a", "items": [{"market": "crypto"}]}]},
        {"watchlists": [{"name": "a\u0000", "items": []}]},
        {"layouts": {"name": "a"}},
    ],
)
async def test_what_nobody_can_choose_is_refused(anna: Client, body: object) -> None:
    await change(anna, PREFERENCES, {"theme": "light"})
    sent = b'{"default_symbol":"\\ud800"}' if body == {"default_symbol": "\ud800"} else body
    answer = await anna.call("PATCH", PREFERENCES, sent, Content_Type="application/json")
    assert (answer.status, answer.body["code"]) == (422, "invalid_value")
    assert (await anna.get(PREFERENCES)).body == {"theme": "light"}


async def test_preferences_have_a_bound(anna: Client) -> None:
    items = [{**INSTRUMENT, "symbol": f"{'S' * 60}{number:04}"} for number in range(100)]
    full = {"watchlists": [{"name": "full", "items": items}, {"name": "more", "items": items[:30]}]}
    assert len(msgspec.json.encode(full)) < BYTES_MAX
    assert (await change(anna, PREFERENCES, full)).status == 200
    more = await change(anna, PREFERENCES, {"recent": [{**CHART, "symbol": "S" * 64}] * 20})
    assert (more.status, more.body["errors"]) == (422, {"recent": "too much"})
    assert (await anna.get(PREFERENCES)).body == full


async def test_a_program_reads_and_changes_nothing(anna: Client) -> None:
    made = await anna.post(f"{AUTH}/tokens", {"label": "p", "scopes": ["read", "trade"]})
    program = Client(anna.app, token=made.body["token"])
    assert (await program.get(PROFILE)).status == 200
    assert (await program.get(PREFERENCES)).status == 200
    for path, body in ((PROFILE, {"username": "mine"}), (PREFERENCES, {"theme": "dark"})):
        answer = await change(program, path, body)
        assert (answer.status, answer.body["code"]) == (403, "missing_scope")
    assert (await Client(anna.app).get(PROFILE)).status == 401


async def test_what_another_version_kept_does_no_harm(app: RunningApp, anna: Client) -> None:
    user_id = (await anna.get(PROFILE)).body["id"]
    stored: dict[str, object] = {"theme": "sepia", "gone": 1, "default_symbol": "BTC/USDT"}
    await app.services.people.stores.preferences.merge(user_id, stored, bytes_max=BYTES_MAX)
    assert (await anna.get(PREFERENCES)).body == {"default_symbol": "BTC/USDT"}
