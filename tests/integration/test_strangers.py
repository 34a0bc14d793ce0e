"""What the server tells of itself to who is not logged in and comes from elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.account_client import AUTH, Client
from tests.support.attacked import Attacked, attacked
from tradewright import __version__
from tradewright.web.notices import installed_parts

DOCUMENT = "/api/v1/openapi.json"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Attacked]:
    async with attacked(tmp_path) as made:
        yield made


async def test_no_address_tells_a_stranger_a_version(site: Attacked) -> None:
    parts = installed_parts()
    told = {f"{part.name} {part.version}" for part in (parts.own, *parts.python, *parts.front_end)}
    told |= {f"<td>{part.version}</td>" for part in parts.python if part.version}
    told |= {f"tradewright {__version__}", f"Version {__version__}", f'"{__version__}"'}
    stranger, here = Client(site.running.app, "203.0.113.9"), Client(site.running.app)
    open_to_all = []
    for rule in site.running.app.url_map.iter_rules():
        if rule.arguments or "GET" not in (rule.methods or set()):
            continue
        answer = await stranger.get(rule.rule)
        assert not [each for each in told if each in answer.text], rule.rule
        if answer.status == 200:
            open_to_all.append(rule.rule)
    assert {"/healthz", "/readyz", "/about", "/about/notices.txt", "/login"} <= set(open_to_all)
    assert not {DOCUMENT, "/metrics"} & set(open_to_all)
    assert __version__ in (await here.get("/about")).text


async def test_who_is_logged_in_is_told_from_anywhere(site: Attacked) -> None:
    elsewhere = Client(site.running.app, "203.0.113.9", site.anna.token)
    assert (await elsewhere.get("/healthz")).body == {"status": "ok", "version": __version__}
    assert (await elsewhere.get(DOCUMENT)).body["info"]["version"] == __version__
    made = await site.anna.post(f"{AUTH}/tokens", {"label": "docs", "scopes": ["read"]})
    program = Client(site.running.app, "203.0.113.9", made.body["token"])
    assert (await program.get(DOCUMENT)).status == 200
    for token in ("", "x", "tw_" + "a" * 43, f"{site.anna.token}x"):
        stranger = Client(site.running.app, "203.0.113.9", token)
        assert (await stranger.get("/healthz")).body == {"status": "ok"}
        assert (await stranger.get("/readyz")).status == 200
        refused = await stranger.get(DOCUMENT)
        assert (refused.status, refused.body["code"]) == (401, "invalid_token")
    refused = await Client(site.running.app, "203.0.113.9").get(DOCUMENT)
    assert (refused.status, refused.body["code"]) == (401, "unauthorized")


async def test_a_proxy_on_this_machine_speaks_for_strangers(site: Attacked) -> None:
    proxied = Client(site.running.app)
    for header in ("X_Forwarded_For", "Forwarded", "Via", "X_Real_IP"):
        assert (await proxied.get(DOCUMENT, **{header: "203.0.113.9"})).status == 401, header
        assert (await proxied.get("/healthz", **{header: "203.0.113.9"})).body == {"status": "ok"}, header
