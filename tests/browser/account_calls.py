"""Calls about accounts: those that a page's own scripts make, and those of programs beside it."""

from __future__ import annotations

import json
from typing import Any
from urllib.request import Request, urlopen

from playwright.async_api import Page
from playwright.async_api import Request as PageRequest

from tests.browser.conftest import RunningServer

AUTH = "/api/v1/auth"


async def tokens_seen(page: Page) -> list[str]:
    """What the page shows the server as its token, from now on."""
    seen: list[str] = []

    def note(request: PageRequest) -> None:
        shown = request.headers.get("authorization", "")
        if shown:
            seen.append(shown.removeprefix("Bearer "))

    page.on("request", note)
    return seen


async def token_of(page: Page, seen: list[str]) -> str:
    """The token of its next call."""
    assert await call(page, f"{AUTH}/me") == 200
    return seen[-1]


async def call(page: Page, path: str) -> int:
    """A call as the page's own scripts make it."""
    status: int = await page.evaluate(
        """async (path) => {
          const { apiFetch } = await import("/static/assets/js/modules/data/dataService.js");
          return (await apiFetch(path)).status;
        }""",
        path,
    )
    return status


async def renew(page: Page) -> None:
    """Renew the token, as the page does in time."""
    await page.evaluate(
        """async () => {
          const { refreshToken } = await import("/static/assets/js/modules/data/dataService.js");
          await refreshToken();
        }"""
    )


def post(server: RunningServer, name: str, body: dict[str, str]) -> Any:
    """What the server answers a program."""
    request = Request(
        f"{server.address}{AUTH}/{name}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)


def get(server: RunningServer, name: str, token: str) -> Any:
    """What the server answers a program that has a token."""
    request = Request(f"{server.address}{AUTH}/{name}", headers={"Authorization": f"Bearer {token}"})
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)
