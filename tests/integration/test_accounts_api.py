"""Accounts over HTTP: coming in, staying in, going out, and whatever tries to do so without right."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyotp
import pytest

from tests.support.account_client import AUTH, OWN, Client, first_person, person
from tests.support.accounts import CHEAP, PASSWORD
from tests.support.applications import RunningApp, running_app
from tradewright.app import Adapters
from tradewright.testing.clock import DrivenClock
from tradewright.web.cursors import write_cursor

BACKFILL = {"market": "crypto", "provider": "simulated", "symbol": "BTC/USDT", "start": 0, "end": 1}


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock()


@pytest.fixture
def settings() -> dict[str, Any]:
    return {}


@pytest.fixture
async def app(tmp_path: Path, clock: DrivenClock, settings: dict[str, Any]) -> AsyncIterator[RunningApp]:
    adapters = Adapters(clock=clock, password_cost=CHEAP)
    async with running_app(tmp_path, adapters, **settings) as running:
        yield running


@pytest.fixture
async def anna(app: RunningApp) -> Client:
    """The administrator, logged in."""
    return await first_person(app)


async def test_the_first_one_registers_and_logs_in(app: RunningApp) -> None:
    stranger = Client(app.app, "198.51.100.7")
    assert (await stranger.register()).body["code"] == "registration_closed"
    client = Client(app.app)
    made = await client.register()
    assert (made.status, made.body["user"]["role"]) == (201, "admin")
    assert set(made.body["user"]) == {
        "id", "email", "username", "role", "disabled", "totp_enabled", "created_ms", "last_login_ms",
    }  # fmt: skip
    assert (await client.register("berta")).body["code"] == "registration_closed"
    found = await client.login()
    assert (found.body["token_type"], found.body["expires_in"]) == ("Bearer", 600)
    assert "refresh_token" not in found.body
    me = await client.get(f"{AUTH}/me")
    assert me.body["user"]["username"] == "anna"
    assert me.body["scopes"] == ["read", "trade"]
    assert PASSWORD not in me.text


async def test_the_cookies_are_for_this_server_alone_and_no_script(app: RunningApp, anna: Client) -> None:
    for host, secure in (("localhost", False), ("127.0.0.1:8000", False), ("[::1]:8000", False)):
        answer = await Client(app.app).call(
            "POST", f"{AUTH}/login", {"login": "anna", "password": PASSWORD}, Host=host
        )
        cookies = answer.headers.getlist("Set-Cookie")
        assert {cookie.partition("=")[0] for cookie in cookies} == {"tw_refresh", "tw_device"}
        for cookie in cookies:
            flags = {flag.strip() for flag in cookie.split(";")[1:]}
            assert {"HttpOnly", "SameSite=Strict", "Path=/api/v1/auth"} <= flags
            assert ("Secure" in flags) == secure
            assert not any(flag.startswith("Domain") for flag in flags)


@pytest.mark.parametrize("settings", [{"public_url": "https://trade.example.com"}])
async def test_elsewhere_the_cookies_need_tls(app: RunningApp) -> None:
    token = await app.services.auth.registration.new_setup_token()
    assert token is not None, "a server with a public address trusts nobody by where they sit"
    client = Client(app.app)
    assert (await client.register()).body["code"] == "registration_closed"
    assert (await client.register(setup_token=token)).status == 201
    answer = await client.call(
        "POST", f"{AUTH}/login", {"login": "anna", "password": PASSWORD}, Host="trade.example.com"
    )
    assert all("Secure" in cookie.split("; ") for cookie in answer.headers.getlist("Set-Cookie"))
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


async def test_a_browser_refreshes_by_cookie_and_a_program_by_body(app: RunningApp, anna: Client) -> None:
    before = anna.token
    answer = await anna.refresh()
    assert answer.status == 200
    assert "refresh_token" not in answer.body
    assert anna.token != before
    program = Client(app.app)
    found = (await program.login(client="api")).body
    assert "tw_refresh" not in str((await program.login(client="api")).headers.getlist("Set-Cookie"))
    first = found["refresh_token"]
    renewed = await program.post(f"{AUTH}/refresh", {"refresh_token": first})
    assert renewed.body["refresh_token"] != first
    again = await program.post(f"{AUTH}/refresh", {"refresh_token": first})
    assert again.body["refresh_token"] == renewed.body["refresh_token"]


async def test_refresh_without_anything_is_nothing(app: RunningApp) -> None:
    client = Client(app.app)
    nothing: tuple[object, ...] = (None, b"", {})
    for body in nothing:
        answer = await client.call("POST", f"{AUTH}/refresh", body)
        assert (answer.status, answer.text) == (204, "")
    wrong = await client.post(f"{AUTH}/refresh", {"refresh_token": "x"})
    assert (wrong.status, wrong.body["code"]) == (401, "invalid_token")
    assert wrong.headers["WWW-Authenticate"] == "Bearer"


async def test_reuse_ends_the_session_and_takes_the_cookie_away(
    app: RunningApp, anna: Client, clock: DrivenClock
) -> None:
    thief = Client(app.app, "198.51.100.7")
    stolen = anna.cookies["tw_refresh"]
    assert stolen is not None
    assert (await anna.refresh()).status == 200
    await clock.advance(21)
    answer = await thief.post(f"{AUTH}/refresh", {"refresh_token": stolen})
    assert (answer.status, answer.body["code"]) == (401, "invalid_token")
    gone = await anna.refresh()
    assert gone.status == 401
    assert any("tw_refresh=;" in cookie for cookie in gone.headers.getlist("Set-Cookie"))
    assert (await anna.get(f"{AUTH}/me")).status == 401
    await anna.login()
    events = (await anna.get("/api/v1/audit")).body["items"]
    assert "refresh.reused" in [event["kind"] for event in events]


CROSS_SITE: list[tuple[dict[str, str], bytes]] = [
    ({"Content-Type": "application/x-www-form-urlencoded"}, b"a=b"),
    ({"Content-Type": "text/plain"}, b"{}"),
    ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x--"),
    ({"Content-Type": "application/json"}, b"{}"),
    ({}, b""),
    ({"Content-Type": "application/json", "Origin": "https://evil.example", **OWN}, b"{}"),
    ({"Content-Type": "application/json", "Origin": "null", **OWN}, b"{}"),
    ({"Content-Type": "application/json", "Origin": "http://localhost.evil.example", **OWN}, b"{}"),
    ({"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site", **OWN}, b"{}"),
    ({"Content-Type": "application/json", "Sec-Fetch-Site": "same-site", **OWN}, b"{}"),
    ({"Content-Type": "application/json", "X-Requested-With": "XMLHttpRequest"}, b"{}"),
    ({"Content-Type": "text/plain", **OWN}, b"{}"),
    ({**OWN}, b""),
]


@pytest.mark.parametrize("route", ["refresh", "logout"])
async def test_no_foreign_page_uses_the_cookie(app: RunningApp, anna: Client, route: str) -> None:
    kept = anna.cookies
    anna.token = None
    for headers, data in CROSS_SITE:
        answer = await anna.call("POST", f"{AUTH}/{route}", data, **headers)
        assert answer.status in (400, 403, 415), (headers, answer.status)
        assert anna.cookies == kept
    assert (await anna.refresh(Sec_Fetch_Site="same-origin")).status == 200, "the session is still there"


async def test_logout_ends_it_everywhere_in_the_session(app: RunningApp, anna: Client) -> None:
    token = anna.token
    answer = await anna.post(f"{AUTH}/logout", {})
    assert answer.status == 204
    assert (await anna.get(f"{AUTH}/me")).status == 401
    assert (await anna.refresh()).status == 204, "the cookie is gone"
    await anna.login()
    anna.token = None
    assert (await anna.post(f"{AUTH}/logout", {}, **OWN)).status == 204
    assert (await anna.get(f"{AUTH}/me", Authorization=f"Bearer {token}")).status == 401
    assert (await Client(app.app).post(f"{AUTH}/logout")).status == 204, "without a session nothing happens"


async def test_sessions_are_listed_and_ended(app: RunningApp, anna: Client) -> None:
    other = Client(app.app)
    await other.login()
    items = (await anna.get(f"{AUTH}/sessions")).body["items"]
    assert [item["current"] for item in items].count(True) == 1
    [theirs] = [item["id"] for item in items if not item["current"]]
    assert (await anna.call("DELETE", f"{AUTH}/sessions/{theirs}")).status == 204
    assert (await other.get(f"{AUTH}/me")).status == 401
    assert (await anna.call("DELETE", f"{AUTH}/sessions/{theirs}")).status == 404
    assert (await anna.post(f"{AUTH}/logout_all")).status == 204
    assert (await anna.get(f"{AUTH}/me")).status == 401


async def test_a_second_factor_from_beginning_to_end(
    app: RunningApp, anna: Client, clock: DrivenClock
) -> None:
    enrolled = (await anna.post(f"{AUTH}/totp/enroll")).body
    generator = pyotp.TOTP(enrolled["secret"])

    def code(steps: int = 0) -> str:
        return generator.generate_otp(clock.now_ms() // 30_000 + steps)

    wrong = await anna.post(f"{AUTH}/totp/confirm", {"totp": "000000"})
    assert (wrong.status, list(wrong.body["errors"])) == (422, ["totp"])
    codes = (await anna.post(f"{AUTH}/totp/confirm", {"totp": code()})).body["recovery_codes"]
    assert len(codes) == 10
    assert (await anna.login()).body["code"] == "totp_required"
    await clock.advance(60)
    assert (await anna.login(totp=code())).status == 200
    assert (await anna.login(totp=code())).status == 401
    assert (await anna.login(totp=codes[0])).status == 200
    assert (await anna.get(f"{AUTH}/me")).body["recovery_codes_left"] == 9
    await clock.advance(301)
    assert (await anna.post(f"{AUTH}/totp/disable")).body["code"] == "step_up_required"
    proof = {"password": PASSWORD}
    assert (await anna.post(f"{AUTH}/step_up", proof)).body["code"] == "totp_required"
    assert (await anna.post(f"{AUTH}/step_up", {**proof, "totp": code()})).status == 200
    assert (await anna.post(f"{AUTH}/totp/disable")).status == 204
    assert (await anna.login()).status == 200


async def test_an_api_token_is_for_programs(app: RunningApp, anna: Client) -> None:
    made = await anna.post(f"{AUTH}/tokens", {"label": "bot", "scopes": ["read"], "days": 30})
    assert made.status == 201
    text = made.body["token"]
    listed = (await anna.get(f"{AUTH}/tokens")).body["items"]
    assert [item["label"] for item in listed] == ["bot"]
    assert text not in str(listed)
    program = Client(app.app, token=text)
    assert (await program.get(f"{AUTH}/me")).body["scopes"] == ["read"]
    for method, path in (
        ("GET", f"{AUTH}/tokens"), ("GET", f"{AUTH}/sessions"), ("POST", f"{AUTH}/logout_all"),
        ("POST", f"{AUTH}/totp/enroll"), ("DELETE", f"{AUTH}/me"), ("GET", "/api/v1/users"),
        ("GET", "/api/v1/audit"), ("POST", f"{AUTH}/step_up"),
    ):  # fmt: skip
        assert (await program.call(method, path)).status == 403, path
    fetched = await program.post("/api/v1/market/backfills", BACKFILL)
    assert (fetched.status, fetched.body["code"]) == (403, "missing_scope")
    assert (await anna.call("DELETE", f"{AUTH}/tokens/{made.body['id']}")).status == 204
    assert (await program.get(f"{AUTH}/me")).status == 401


async def test_administrators_manage_users_and_others_do_not(app: RunningApp, anna: Client) -> None:
    berta = await person(app, "berta", "trader")
    users = (await anna.get("/api/v1/users?limit=1")).body
    more = (await anna.get(f"/api/v1/users?limit=1&cursor={users['next_cursor']}")).body
    found = {item["username"]: item["id"] for item in users["items"] + more["items"]}
    assert set(found) == {"anna", "berta"}
    assert more["next_cursor"] is None
    for path in ("/api/v1/users", f"/api/v1/users/{found['anna']}", "/api/v1/audit", f"{AUTH}/invites"):
        assert (await berta.get(path)).body["code"] == "forbidden"
    own = f"/api/v1/users/{found['berta']}"
    assert (await berta.call("PATCH", own, {"role": "admin"})).status == 403
    changed = await anna.call("PATCH", own, {"role": "viewer"})
    assert (changed.status, changed.body["role"]) == (200, "viewer")
    assert (await berta.get(f"{AUTH}/me")).body["scopes"] == ["read"]
    assert (await anna.call("PATCH", own, {"disabled": True})).body["disabled"]
    assert (await berta.get(f"{AUTH}/me")).status == 401
    assert (await anna.call("PATCH", f"/api/v1/users/{found['anna']}", {"role": "viewer"})).status == 409
    assert (await anna.call("PATCH", "/api/v1/users/nobody", {"role": "viewer"})).status == 404
    assert (await anna.call("PATCH", own, {})).status == 422
    for body in ({"role": "owner"}, {"is_admin": True}, {"disabled": 1}, {"role": "viewer", "id": "x"}):
        assert (await anna.call("PATCH", own, body)).status == 422
    kinds = [event["kind"] for event in (await anna.get("/api/v1/audit")).body["items"]]
    assert {"user.role", "user.disabled", "user.first", "login.ok"} <= set(kinds)


@pytest.mark.parametrize("settings", [{"registration": "invite"}])
async def test_an_invitation_over_http(app: RunningApp, anna: Client) -> None:
    made = (await anna.post(f"{AUTH}/invites", {"role": "viewer"})).body
    assert made["code"] not in str((await anna.get(f"{AUTH}/invites")).body)
    guest = Client(app.app, "198.51.100.7")
    assert (await guest.register("berta")).status == 403
    assert (await guest.register("berta", invite=made["code"])).body["user"]["role"] == "viewer"
    assert (await guest.register("cleo", invite=made["code"])).status == 403
    other = (await anna.post(f"{AUTH}/invites", {"role": "trader"})).body
    assert (await anna.call("DELETE", f"{AUTH}/invites/{other['id']}")).status == 204
    assert (await guest.register("cleo", invite=other["code"])).status == 403


async def test_the_audit_log_is_paged(app: RunningApp, anna: Client) -> None:
    for _ in range(5):
        await anna.login()
    seen: list[int] = []
    cursor = ""
    while True:
        page = (await anna.get(f"/api/v1/audit?limit=3{cursor}")).body
        seen += [event["position"] for event in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen)) == 7
    for position in (2**63, -(2**63), 10**30):
        assert (await anna.get(f"/api/v1/audit?cursor={write_cursor(position)}")).status == 422


async def test_half_a_letter_is_no_word_of_ours(app: RunningApp) -> None:
    stranger = Client(app.app, "198.51.100.7")
    body = rb'{"login": "a", "password": "b", "client": "\ud800"}'
    answer = await stranger.post(f"{AUTH}/login", body, Content_Type="application/json")
    assert answer.status == 422
    assert answer.body["errors"] == {"client": "must be text in UTF-8"}


async def test_changing_the_password_and_leaving(app: RunningApp, anna: Client, clock: DrivenClock) -> None:
    new = "quite another 7 phrase"
    wrong = await anna.post(f"{AUTH}/password", {"current_password": "no", "new_password": new})
    assert (wrong.status, wrong.body["code"]) == (401, "invalid_login")
    weak = await anna.post(f"{AUTH}/password", {"current_password": PASSWORD, "new_password": "password1234"})
    assert (weak.status, list(weak.body["errors"])) == (422, ["password"])
    body = {"current_password": PASSWORD, "new_password": new}
    assert (await anna.post(f"{AUTH}/password", body)).status == 204
    await clock.advance(301)
    assert (await anna.call("DELETE", f"{AUTH}/me")).body["code"] == "step_up_required"
    assert (await anna.post(f"{AUTH}/step_up", {"password": new})).status == 200
    assert (await anna.call("DELETE", f"{AUTH}/me")).status == 204
    assert (await anna.login(password=new)).status == 401


async def test_too_many_wrong_passwords_are_told_when_to_come_back(app: RunningApp, anna: Client) -> None:
    stranger = Client(app.app, "198.51.100.7")
    for _ in range(5):
        assert (await stranger.login(password="wrong")).status == 401
    refused = await stranger.login(password="wrong")
    assert (refused.status, refused.body["code"]) == (429, "too_many_logins")
    assert refused.headers["Retry-After"] == "1"
    for number in range(200):
        spoofed = await stranger.post(
            f"{AUTH}/login", {"login": "anna", "password": "wrong"}, X_Forwarded_For=f"203.0.113.{number}"
        )
        assert spoofed.status == 429, "only a trusted proxy says where a request comes from"


async def test_backfills_are_for_newcomers_and_then_for_traders(app: RunningApp) -> None:
    here, elsewhere = Client(app.app), Client(app.app, "198.51.100.7")
    path = "/api/v1/market/backfills"
    assert (await here.post(path, BACKFILL)).status not in (401, 403)
    assert (await elsewhere.post(path, BACKFILL)).status == 401
    assert (await here.call("DELETE", f"{path}/x")).status == 404
    await here.register()
    assert (await here.post(path, BACKFILL)).status == 401
    assert (await here.call("DELETE", f"{path}/x")).status == 401
    assert (await here.get(path)).status == 200
    await here.login()
    assert (await here.post(path, BACKFILL)).status not in (401, 403)
    viewer = await person(app, "vera", "viewer")
    assert (await viewer.post(path, BACKFILL)).body["code"] == "missing_scope"


SERIES = "market=crypto&provider=simulated&symbol=BTC/USDT&timeframe=1m"
MARKET_PATHS = (
    "/api/v1/market/markets",
    f"/api/v1/market/ohlcv?{SERIES}&limit=1",
    f"/api/v1/market/ohlcv?{SERIES}&start=1699992000000&end=1699992300000",
    "/api/v1/market/backfills",
    "/api/v1/market/stored",
)


@pytest.mark.parametrize("settings", [{"require_login": True}])
async def test_market_data_may_need_a_login(app: RunningApp) -> None:
    client = Client(app.app)
    for path in MARKET_PATHS:
        assert (await client.get(path)).status == 401
        assert (await client.get(path, Authorization="Bearer x")).status == 401
    await client.register()
    await client.login()
    for _ in range(2):
        for path in MARKET_PATHS:
            assert (await client.get(path)).status == 200, path
            assert (await Client(app.app).get(path)).status == 401, "not even what is kept warm"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Token x",
        "bearer x y",
        "Bearer " + "x" * 10_000,
        "Bearer é",
        "\x00",
    ],
)
async def test_no_other_authorization_is_one(app: RunningApp, anna: Client, header: str) -> None:
    anna.token = None
    answer = await anna.get(f"{AUTH}/me", Authorization=header)
    assert answer.status in (400, 401)
    assert PASSWORD not in answer.text


SURROGATE = b'"\\ud800 and twelve more"'


async def test_text_that_is_no_text_is_refused_like_any_other(app: RunningApp, anna: Client) -> None:
    """JSON can spell half a letter, which no UTF-8 can hold."""
    bodies = {
        "login": b'{"login":%s,"password":%s,"totp":%s}',
        "register": b'{"email":%s,"username":%s,"password":%s}',
        "refresh": b'{"refresh_token":%s}',
        "step_up": b'{"password":%s,"totp":%s}',
        "password": b'{"current_password":%s,"new_password":%s}',
        "totp/confirm": b'{"totp":%s}',
        "tokens": b'{"label":%s,"scopes":["read"]}',
    }
    for route, body in bodies.items():
        data = body.replace(b"%s", SURROGATE)
        answer = await anna.call("POST", f"{AUTH}/{route}", data, Content_Type="application/json")
        assert 400 <= answer.status < 500, (route, answer.text)
    await anna.post(f"{AUTH}/totp/enroll")
    answer = await anna.call(
        "POST", f"{AUTH}/totp/confirm", b'{"totp":%s}' % SURROGATE, Content_Type="application/json"
    )
    assert answer.status == 422


STRANGE_BODIES: list[Any] = [
    {"login": "anna"}, {"login": "anna", "password": PASSWORD, "is_admin": True}, [], "x", 1, None,
    {"login": ["anna"], "password": 1}, {"login": "anna", "password": ""}, {"login": "", "password": "x"},
    {"login": "a" * 300, "password": "x"}, {"login": "anna", "password": "x" * 600},
    {"login": "anna", "password": "x", "client": "root"},
]  # fmt: skip


@pytest.mark.parametrize("body", STRANGE_BODIES)
async def test_a_body_is_what_it_must_be(app: RunningApp, anna: Client, body: Any) -> None:
    answer = await anna.post(f"{AUTH}/login", body)
    assert answer.status in (400, 415, 422)
    assert PASSWORD not in answer.text
    for other in ("register", "refresh", "step_up", "password", "totp/confirm", "tokens", "invites"):
        strange = await anna.post(f"{AUTH}/{other}", {"user_id": "x", "role": "admin", "state": 1})
        assert strange.status == 422, other
