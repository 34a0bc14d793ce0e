"""The lists of accounts: sessions, tokens, invitations and keys, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.account_client import AUTH, Client
from tests.support.attacked import Attacked, attacked
from tradewright.web.cursors import write_cursor

KEY = {
    "market": "crypto",
    "provider": "binance",
    "fields": {"api_key": "canary-key-0000000000-AB12", "secret": "canary-secret-9999999999"},
}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Attacked]:
    async with attacked(tmp_path) as made:
        yield made


async def _pages(client: Client, path: str) -> list[list[str]]:
    pages: list[list[str]] = []
    cursor = ""
    while len(pages) < 9:
        page = (await client.get(f"{path}?limit=2{cursor}")).body
        pages.append([item["id"] for item in page["items"]])
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    return pages


async def test_every_list_is_paged_and_the_document_says_how(site: Attacked) -> None:
    """Whatever was made at one time or later, each page holds what the one before did not."""
    for kind in ("sessions", "tokens", "invites", "credentials"):
        path = "/api/v1/credentials" if kind == "credentials" else f"{AUTH}/{kind}"
        await _fill(site, kind, path)
        whole = (await site.anna.get(path)).body
        assert whole["next_cursor"] is None
        ids = [item["id"] for item in whole["items"]]
        assert len(set(ids)) == 5
        pages = await _pages(site.anna, path)
        assert [len(page) for page in pages] == [2, 2, 1]
        assert [each for page in pages for each in page] == ids
        for query in (
            "limit=0", "limit=201", "limit=x", "cursor=x", "cursor=WzEsMl0", "cursor=IngxIg", "page=2",
        ):  # fmt: skip
            assert (await site.anna.get(f"{path}?{query}")).status == 422, query
        behind_all = write_cursor((2**62, "z" * 60))
        assert (await site.anna.get(f"{path}?cursor={behind_all}")).body["items"] == []
    paths = (await site.running.get("/api/v1/openapi.json")).body["paths"]
    for path in ("auth/sessions", "auth/tokens", "auth/invites", "credentials", "users", "audit"):
        given = {each["name"] for each in paths[f"/api/v1/{path}"]["get"]["parameters"]}
        assert given >= {"limit", "cursor"}, path


async def _fill(site: Attacked, kind: str, path: str) -> None:
    for number in range(4 if kind == "sessions" else 5):
        label = f"number {number}"
        bodies: dict[str, Any] = {
            "tokens": {"label": label, "scopes": ["read"]},
            "invites": {"role": "viewer"},
            "credentials": {**KEY, "label": label},
        }
        made = await (site.anna.login() if kind == "sessions" else site.anna.post(path, bodies[kind]))
        assert made.status in (200, 201), made.text
        await site.clock.advance(number // 2)
