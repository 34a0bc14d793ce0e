"""What the pages say of connections, feeds and links: never more than is known."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from playwright.async_api import ViewportSize, WebSocketRoute, expect

from tests.browser.conftest import DESKTOP, RunningServer, Visitor
from tests.browser.test_chart import chart_url, loaded

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PHONE = ViewportSize(width=390, height=844)


def _all_down(page: WebSocketRoute) -> None:
    """Join the page to the server, and have every feed say that it is down."""
    server = page.connect_to_server()
    page.on_message(server.send)

    def carry(payload: str | bytes) -> None:
        message = json.loads(payload)
        if message["type"] == "feed":
            message |= {"state": "down", "detail": "The venue is gone."}
        page.send(json.dumps(message))

    server.on_message(carry)


async def test_the_dashboard_is_no_better_than_its_feeds(live_server: str, visitor: Visitor) -> None:
    async with visitor.visit("about:blank") as visit:
        await visit.page.route_web_socket("**/api/v1/ws", _all_down)
        await visit.page.goto(f"{live_server}/")
        await visit.wait("document.querySelectorAll('#watch tbody tr[data-last].is-stale').length > 1")
        await visit.wait("main.dataset.connection === 'down'")
        await expect(visit.page.locator("#watch-note .status-words")).to_have_text("Feed down")
        await visit.wait("document.querySelector('#watch-note .status').title === 'The venue is gone.'")


async def test_a_browser_that_believes_itself_offline_is_served_all_the_same(
    live_server: str, visitor: Visitor
) -> None:
    async with visitor.visit("about:blank") as visit:
        await visit.page.add_init_script(
            "Object.defineProperty(Navigator.prototype, 'onLine', { get: () => false });"
        )
        opened: list[str] = []
        visit.page.on("websocket", lambda socket: opened.append(socket.url))
        await visit.page.goto(chart_url(live_server))
        await loaded(visit, "BTC/USDT", "1m")
        await visit.wait("main.dataset.connection === 'live'")
        await visit.page.evaluate("window.dispatchEvent(new Event('offline'))")
        assert await visit.main("data-connection") == "live"
        before = await visit.main("data-last-close")
        await visit.wait("![undefined, argument].includes(main.dataset.lastClose)", before)
        assert await visit.main("data-connection") == "live"
        assert len(opened) == 1


@pytest.mark.parametrize("label", ["Indicators", "All timeframes", "Chart type", "Time zone"])
async def test_a_panel_is_whole_on_a_phone(live_server: str, visitor: Visitor, label: str) -> None:
    async with visitor.visit(chart_url(live_server), viewport=PHONE) as visit:
        await loaded(visit, "BTC/USDT", "1m")
        await visit.page.get_by_role("button", name=label, exact=True).click()
        panel = visit.page.get_by_role("dialog", name=label, exact=True)
        box = await panel.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]
        await visit.picture(f"chart-phone-{label.lower().replace(' ', '-')}")


async def test_a_wrong_link_is_not_remembered(live_server: str, visitor: Visitor) -> None:
    long = "X" * 300
    async with visitor.visit(
        chart_url(live_server, symbol=long), viewport=PHONE, expected=("Failed to load",)
    ) as visit:
        await visit.page.locator("#chart-note:not([hidden])").wait_for()
        overflow = "document.documentElement.scrollWidth - innerWidth"
        assert await visit.page.evaluate(overflow) <= 0
        legend = await visit.page.locator(".legend-symbol").bounding_box()
        assert legend is not None
        assert legend["x"] + legend["width"] <= PHONE["width"]
        await visit.page.goto(f"{live_server}/chart")
        await loaded(visit, "BTC/USDT", "1m")
        await visit.wait("JSON.parse(localStorage['tradewright.preferences']).recent.length === 1")
        stored = await visit.page.evaluate("JSON.parse(localStorage['tradewright.preferences']).recent")
        assert [one["symbol"] for one in stored] == ["BTC/USDT"]
        stored[0]["symbol"] = long
        await visit.page.evaluate(
            "(recent) => { localStorage['tradewright.preferences'] = JSON.stringify({ recent }); }", stored
        )
        await visit.page.goto(f"{live_server}/")
        await visit.page.locator("#recent a").wait_for()
        assert await visit.page.evaluate(overflow) <= 0


@pytest.mark.parametrize(
    ("query", "words", "said"),
    [
        ("market=nope", "No such market", "There is no market “nope”."),
        ("provider=nope", "No such provider", "There is no provider “nope”"),
    ],
)
async def test_a_link_to_nowhere_is_said_and_another_place_chosen(
    live_server: str, visitor: Visitor, query: str, words: str, said: str
) -> None:
    async with visitor.visit(f"{live_server}/chart?{query}") as visit:
        await visit.wait("document.querySelector('.status-words').textContent === argument", words)
        await expect(visit.page.locator("#chart-note")).to_contain_text(said)
        assert not await visit.page.get_by_role("button", name="Retry").is_visible()
        await visit.page.get_by_role("combobox", name="Provider").click()
        await visit.page.keyboard.type("simulated")
        await visit.page.keyboard.press("Enter")
        await loaded(visit, "BTC/USDT", "1m")
        await visit.wait("main.dataset.connection === 'live'")


@pytest.fixture(scope="module")
def imported(running_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    """The running server, which was given bars of a provider that no plugin knows."""
    table = tmp_path_factory.mktemp("imported") / "mine.csv"
    rows = [f"{1_564_617_600_000 + 60_000 * minute},100,105,99,101,1" for minute in range(300)]
    table.write_text("\n".join(["time,open,high,low,close,volume", *rows]) + "\n", encoding="utf-8")
    command = ["import", str(table), "--market", "crypto", "--provider", "mydesk", "--symbol", "BTC/USDT"]
    subprocess.run(
        [sys.executable, "-m", "tradewright", *command],
        env=running_server.environment,
        check=True,
        timeout=60,
    )
    return running_server


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_imported_history_is_quiet_about_its_missing_feed(
    imported: RunningServer, visitor: Visitor, viewport: ViewportSize
) -> None:
    url = chart_url(imported.address, provider="mydesk")
    async with visitor.visit(url, viewport=viewport) as visit:
        await visit.wait("main.dataset.connection === 'closed' && Number(main.dataset.bars) === 300")
        await expect(visit.page.locator("#statusbar .status-words")).to_have_text("Imported history")
        await expect(visit.page.locator("#statusbar .status-age")).to_have_text("no live feed")
        assert not await visit.page.locator(".banner").is_visible()
        await visit.picture(f"chart-imported-{viewport['width']}")


async def test_a_venue_out_of_reach_is_not_offline(live_server: str, visitor: Visitor) -> None:
    async with visitor.visit(f"{live_server}/chart?provider=binance", expected=("Failed to load",)) as visit:
        await expect(visit.page.locator(".banner")).to_contain_text("Binance could not be reached")
        await visit.wait("main.dataset.connection === 'down'")
        await expect(visit.page.get_by_role("button", name="Retry")).to_be_visible()
        await visit.picture("chart-venue-away")


@pytest.mark.parametrize("symbol", ["NOPE", "X" * 300])
async def test_an_unknown_symbol_is_said_and_another_one_searched(
    live_server: str, visitor: Visitor, symbol: str
) -> None:
    async with visitor.visit(chart_url(live_server, symbol=symbol), expected=("Failed to load",)) as visit:
        search = visit.page.get_by_role("button", name="Search symbols")
        await search.wait_for()
        await expect(visit.page.locator(".status-words")).to_have_text("Not listed")
        note = await visit.page.locator("#chart-note").inner_text()
        assert note.startswith(symbol[:30])
        assert "is not listed at" in note
        assert not await visit.page.get_by_role("button", name="Retry").is_visible()
        assert "Expected" not in await visit.page.locator("main").inner_text()
        await visit.picture("chart-unlisted")
        await search.click()
        await visit.page.keyboard.type("eth/usdt")
        await visit.page.keyboard.press("Enter")
        await loaded(visit, "ETH/USDT", "1m")


@pytest.mark.parametrize("timeframe", ["7m", "constructor"])
async def test_a_timeframe_that_is_not_offered_is_said(
    live_server: str, visitor: Visitor, timeframe: str
) -> None:
    async with visitor.visit(chart_url(live_server, timeframe=timeframe)) as visit:
        await loaded(visit, "BTC/USDT", "1m")
        notice = visit.page.locator(".notice")
        assert await notice.inner_text() == f"There is no timeframe “{timeframe}”; 1m is shown."
        await visit.page.get_by_label("Close this notice").click()
        assert not await notice.is_visible()


async def test_the_chart_is_reached_in_its_turn_and_moved_by_keyboard(
    live_server: str, visitor: Visitor
) -> None:
    async with visitor.visit(chart_url(live_server)) as visit:
        await loaded(visit, "BTC/USDT", "1m")
        await visit.page.keyboard.press("Tab")
        focused = "document.activeElement"
        assert await visit.page.evaluate(f"{focused}.className") == "skip-link"
        ranks = "[...document.querySelectorAll('[tabindex]')].filter((one) => one.tabIndex > 0).length"
        assert await visit.page.evaluate(ranks) == 0
        for _ in range(60):
            if await visit.page.evaluate(f"{focused}.id") == "chart":
                break
            await visit.page.keyboard.press("Tab")
        assert "Price chart" in await visit.page.evaluate(f"{focused}.getAttribute('aria-label')")
        ring = await visit.page.evaluate(f"getComputedStyle({focused}, '::after').borderTopWidth")
        assert ring == "2px"
        for _ in range(5):
            await visit.page.keyboard.press("ArrowLeft")
        await visit.wait("document.querySelector('#to-latest').hidden === false")
        await visit.page.keyboard.press("End")
        await visit.wait("document.querySelector('#to-latest').hidden === true")


async def test_the_trend_says_what_the_change_says(live_server: str, visitor: Visitor) -> None:
    async with visitor.visit(f"{live_server}/") as visit:
        await visit.wait("document.querySelectorAll('#watch .sparkline').length > 1")
        rows = await visit.page.evaluate(
            """() => [...document.querySelectorAll("#watch tbody tr")].map((row) => ({
              change: row.children[2].textContent,
              line: row.querySelector(".sparkline")?.getAttribute("class"),
              label: row.querySelector(".sparkline")?.getAttribute("aria-label"),
            })).filter((row) => row.line)"""
        )
        for row in rows:
            tone = {"+": "up", "\u2212": "down"}.get(row["change"][0], "")
            assert tone in row["line"]
            assert row["change"] in row["label"]
