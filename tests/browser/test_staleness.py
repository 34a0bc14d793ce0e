"""What is not fresh is grey and says since when, each part of a page by its own feed."""

from __future__ import annotations

import json
import re

import pytest
from playwright.async_api import WebSocketRoute

from tests.browser.conftest import Visitor
from tests.browser.test_chart import chart_url, loaded
from tests.support.lines import Line

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SINCE = re.compile(r"^stale since \d\d:\d\d:\d\d$")
BOOK, TAPE = ".panel-book", ".panel-tape"


class _StaleBook:
    """Joins the page to the server, and lets the feed of the order book say what a test wants."""

    def __init__(self) -> None:
        self._page: WebSocketRoute | None = None
        self._topic: str | None = None

    def join(self, page: WebSocketRoute) -> None:
        server = page.connect_to_server()
        page.on_message(server.send)
        self._page = page

        def carry(payload: str | bytes) -> None:
            message = json.loads(payload)
            if str(message.get("topic", "")).startswith("order_book"):
                self._topic = message["topic"]
                if message["type"] == "feed":
                    return
            page.send(payload)

        server.on_message(carry)

    def say(self, state: str, age_ms: int) -> None:
        assert self._page is not None
        assert self._topic is not None
        status = {"type": "feed", "topic": self._topic, "state": state, "age_ms": age_ms}
        self._page.send(json.dumps(status))


async def test_a_stale_order_book_is_grey_beside_live_trades(live_server: str, visitor: Visitor) -> None:
    feeds = _StaleBook()
    async with visitor.visit("about:blank") as visit:
        await visit.page.route_web_socket("**/api/v1/ws", feeds.join)
        await visit.page.goto(chart_url(live_server))
        await loaded(visit, "BTC/USDT", "1m")
        await visit.wait("document.querySelectorAll('.book-row').length > 1")
        await visit.wait("document.querySelectorAll('.tape-row').length > 1")
        feeds.say("stale", 90_000)
        await visit.wait("document.querySelector('.panel-book .book.is-stale')")
        note = await visit.page.locator(f"{BOOK} .freshness").inner_text()
        assert SINCE.match(note), note
        assert await visit.page.locator(f"{TAPE} .is-stale").count() == 0
        assert await visit.main("data-connection") == "live"
        await visit.picture("chart-stale-book")
        feeds.say("live", 0)
        await visit.wait("!document.querySelector('.panel-book .is-stale')")
        assert await visit.page.locator(f"{BOOK} .freshness").inner_text() == ""


async def test_without_the_server_every_panel_is_grey(line: Line, visitor: Visitor) -> None:
    async with visitor.visit(chart_url(line.address)) as visit:
        await loaded(visit, "BTC/USDT", "1m")
        await visit.wait("document.querySelectorAll('.book-row, .tape-row').length > 2")
        line.cut()
        await visit.wait("document.querySelectorAll('.panel .is-stale').length === 2")
        words = await visit.page.locator(".panel .freshness").all_inner_texts()
        assert all(each.startswith("offline since ") for each in words), words
        line.mend()
        await visit.wait("document.querySelectorAll('.panel .is-stale').length === 0")
