"""What holds for every page: it loads without a complaint, in both themes, on a small screen, by keyboard."""

from __future__ import annotations

from functools import partial

import pytest
from playwright.async_api import Request, ViewportSize, expect

from tests.browser.conftest import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PAGES = {"dashboard": "/", "chart": "/chart", "data": "/data", "api-docs": "/api/docs"}
PHONE = ViewportSize(width=380, height=820)
READY = {
    "dashboard": "document.querySelectorAll('#watch tbody tr[data-last]').length > 0",
    "chart": "Number(main.dataset.bars) > 100",
    "data": "main.dataset.shown !== undefined && main.dataset.connection === 'live'",
    "api-docs": "document.querySelectorAll('.operation').length > 5",
}


def _note(asked: list[str], request: Request) -> None:
    asked.append(request.url)


@pytest.mark.parametrize("dark", [True, False], ids=["dark", "light"])
@pytest.mark.parametrize("name", PAGES)
async def test_it_loads_without_a_complaint(
    live_server: str, visitor: Visitor, name: str, dark: bool
) -> None:
    async with visitor.visit(live_server + PAGES[name], dark=dark) as visit:
        await visit.wait(READY[name])
        background = await visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(part) for part in background.removeprefix("rgb(").removesuffix(")").split(","))
        assert (brightness < 200) is dark
        await visit.picture(f"{name}-{'dark' if dark else 'light'}")


@pytest.mark.parametrize("name", PAGES)
async def test_it_fits_a_phone(live_server: str, visitor: Visitor, name: str) -> None:
    async with visitor.visit(live_server + PAGES[name], viewport=PHONE) as visit:
        await visit.wait(READY[name])
        overflow = await visit.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0
        await visit.picture(f"{name}-phone")


async def test_the_theme_is_toggled_and_remembered(live_server: str, visitor: Visitor) -> None:
    async with visitor.visit(f"{live_server}/", dark=True) as visit:
        toggle = visit.page.locator("#theme-toggle")
        seen = []
        for _ in range(3):
            await toggle.click()
            seen.append(await visit.page.evaluate("document.documentElement.dataset.theme ?? 'system'"))
        assert seen == ["light", "dark", "system"]
        await toggle.click()
        await visit.page.goto(f"{live_server}/chart")
        assert await visit.page.evaluate("document.documentElement.dataset.theme") == "light"
        await visit.wait(READY["chart"])
        await visit.picture("chart-light-by-choice")


async def test_the_dashboard_shows_what_is_there(live_server: str, visitor: Visitor) -> None:
    async with visitor.visit(f"{live_server}/") as visit:
        await visit.wait(READY["dashboard"])
        row = visit.page.locator("#watch tbody tr").first
        before = await row.get_attribute("data-last")
        symbol = await row.get_attribute("data-symbol")
        await visit.wait(
            "![undefined, argument[1]].includes("
            "document.querySelector(`#watch tr[data-symbol='${argument[0]}']`)?.dataset.last)",
            [symbol, before],
        )
        await expect(visit.page.locator("#watch-title .tag-simulated")).to_be_visible()
        await visit.wait("document.querySelector('#health-note')?.innerText === 'Ready'")
        await visit.page.get_by_label("Search providers").fill("kraken")
        await visit.page.get_by_role("link", name="Kraken", exact=True).wait_for()
        await row.get_by_role("link").click()
        await visit.wait("main.dataset.symbol === argument", symbol)


async def test_a_wait_outlasts_the_loading_of_a_page(visitor: Visitor) -> None:
    async with visitor.visit("about:blank") as visit:
        await visit.page.evaluate(
            """() => setTimeout(() => {
              document.body.innerHTML = "<main id='main' data-symbol='late'></main>";
            }, 200)"""
        )
        await visit.wait("main.dataset.symbol === argument", "late")


async def test_no_page_asks_another_host(live_server: str, visitor: Visitor) -> None:
    for path in PAGES.values():
        async with visitor.visit("about:blank") as visit:
            asked: list[str] = []
            visit.page.on("request", partial(_note, asked))
            await visit.page.goto(live_server + path)
            await visit.page.wait_for_load_state("load")
            assert len(asked) > 5
            assert [url for url in asked if not url.startswith((live_server, "data:", "blob:"))] == []
