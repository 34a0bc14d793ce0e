"""The chart page in a real browser against the real server."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from playwright.async_api import WebSocket, WebSocketRoute, expect

from tests.browser.conftest import RunningServer, Visit, Visitor, serve
from tests.support.lines import Line
from tests.venues.binance import CAPTURE_FILE, BinanceVenue

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

MINUTE_MS = 60_000


class Sent:
    """The messages that a page has sent over its sockets."""

    def __init__(self) -> None:
        self.messages: list[dict[str, object]] = []

    def listen(self, opened: WebSocket) -> None:
        """Note what goes out on a socket that has just been opened."""
        opened.on("framesent", self._note)

    def subscribed(self) -> set[tuple[str, str]]:
        """Streams and timeframes that are open. What is subscribed to twice is so once."""
        found: set[tuple[str, str]] = set()
        for message in self.messages:
            if message["type"] == "subscribe":
                found.add((str(message["stream"]), str(message.get("timeframe", ""))))
            elif message["type"] == "unsubscribe":
                stream, *_, last = str(message["topic"]).split(":")
                found.discard((stream, last if stream == "ohlcv" else ""))
        return found

    def _note(self, payload: str | bytes) -> None:
        self.messages.append(json.loads(payload))


def chart_url(
    server: str, symbol: str = "BTC/USDT", timeframe: str = "1m", provider: str = "simulated"
) -> str:
    query = {"market": "crypto", "provider": provider, "symbol": symbol, "timeframe": timeframe}
    return f"{server}/chart?{urlencode(query)}"


async def ohlcv(server: str, **query: str | int) -> list[list[float]]:
    """Bars as the HTTP API answers them."""
    common = {"market": "crypto", "provider": "simulated", "symbol": "BTC/USDT", "timeframe": "1m"}
    url = f"{server}/api/v1/market/ohlcv?{urlencode(common | query)}"

    def read() -> list[list[float]]:
        with urlopen(url, timeout=30) as response:
            bars: list[list[float]] = json.load(response)["bars"]
            return bars

    return await asyncio.to_thread(read)


async def loaded(visit: Visit, symbol: str, timeframe: str, provider: str = "simulated") -> None:
    condition = (
        "main.dataset.symbol === argument[0] && main.dataset.timeframe === argument[1]"
        " && main.dataset.provider === argument[2] && Number(main.dataset.bars) > 100"
    )
    await visit.wait(condition, [symbol, timeframe, provider])


async def drag_right(visit: Visit, times: int) -> None:
    """Pull the chart to the right, which brings older bars into view."""
    box = await visit.page.locator("#chart").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 3
    for _ in range(times):
        await visit.page.mouse.move(box["x"] + 60, middle)
        await visit.page.mouse.down()
        await visit.page.mouse.move(box["x"] + box["width"] - 160, middle, steps=4)
        await visit.page.mouse.up()


async def test_it_loads_and_moves(live_server: str, visitor: Visitor) -> None:
    async with visitor.visit(chart_url(live_server)) as visit:
        await loaded(visit, "BTC/USDT", "1m")
        await visit.wait("main.dataset.connection === 'live'")
        before = await visit.main("data-last-close")
        await visit.wait("![undefined, argument].includes(main.dataset.lastClose)", before)
        await expect(visit.page.locator(".legend .tag-simulated")).to_be_visible()
        legend = await visit.page.locator(".legend-values").inner_text()
        assert all(name in legend.split() for name in "OHLCV")
        await expect(visit.page.locator(".book-asks .book-row")).to_have_count(15)
        await expect(visit.page.locator(".tape-row").first).to_be_visible()
        await visit.picture("chart-dark")


async def test_its_bars_are_those_of_the_api(live_server: str, visitor: Visitor) -> None:
    async with visitor.visit(chart_url(live_server, timeframe="5m")) as visit:
        await loaded(visit, "BTC/USDT", "5m")
        # What the socket brings at first is a part of that, and may come before the history.
        await visit.wait("Number(main.dataset.bars) >= 490")
        bars = await visit.bars()
        answered = await ohlcv(live_server, timeframe="5m", limit=500)
        final = {bar[0]: bar for bar in answered[:-1]}
        shared = [bar for bar in bars if bar[0] in final]
        assert len(shared) >= 490
        assert all(final[bar[0]] == bar for bar in shared)


async def test_it_switches_symbol_by_search(live_server: str, visitor: Visitor) -> None:
    async with visitor.visit(chart_url(live_server)) as visit:
        await loaded(visit, "BTC/USDT", "1m")
        await visit.page.locator("body").press("/")
        await visit.page.keyboard.type("eth/usdt")
        await visit.page.keyboard.press("Enter")  # at once, before the list has come
        await loaded(visit, "ETH/USDT", "1m")
        await expect(visit.page).to_have_url(re.compile("symbol=ETH/USDT"))
        await expect(visit.page).to_have_title(re.compile("ETH/USDT"))
        answered = {bar[0]: bar for bar in (await ohlcv(live_server, symbol="ETH/USDT", limit=300))[:-1]}
        assert all(answered.get(bar[0], bar) == bar for bar in await visit.bars())


async def test_it_switches_timeframe_by_button_and_by_typing(live_server: str, visitor: Visitor) -> None:
    async with visitor.visit(chart_url(live_server)) as visit:
        await loaded(visit, "BTC/USDT", "1m")
        await visit.page.locator('[data-timeframe="1h"]').click()
        await loaded(visit, "BTC/USDT", "1h")
        assert all(bar[0] % (60 * MINUTE_MS) == 0 for bar in await visit.bars())
        await visit.page.locator("#chart").click()
        await visit.page.keyboard.press("1")
        await visit.page.keyboard.type("5")
        await visit.page.keyboard.press("Enter")
        await loaded(visit, "BTC/USDT", "15m")
        await expect(visit.page).to_have_url(re.compile("timeframe=15m"))


async def test_scrolling_to_the_left_loads_history(live_server: str, visitor: Visitor) -> None:
    async with visitor.visit(chart_url(live_server)) as visit:
        await loaded(visit, "BTC/USDT", "1m")
        first = int(await visit.main("data-first-time") or 0)
        async with asyncio.timeout(60):
            while int(await visit.main("data-first-time") or 0) > first - 900 * MINUTE_MS:
                await drag_right(visit, 2)
        await visit.wait("document.querySelector('#to-latest')?.hidden === false")
        bars = await visit.bars()
        times = [bar[0] for bar in bars]
        assert times == list(range(int(times[0]), int(times[-1]) + 1, MINUTE_MS))
        answered = await ohlcv(live_server, start=int(times[0]), end=int(times[1_000]), limit=1_000)
        assert bars[:1_000] == answered
        await visit.page.locator("#to-latest").click()
        await visit.wait("document.querySelector('#to-latest')?.hidden === true")


async def test_it_survives_a_cut_connection(live_server: str, line: Line, visitor: Visitor) -> None:
    refused = ("WebSocket connection", "net::ERR_")
    async with visitor.visit("about:blank", expected=refused) as visit:
        sent = Sent()
        visit.page.on("websocket", sent.listen)
        await visit.page.goto(chart_url(line.address))
        await loaded(visit, "BTC/USDT", "1m")
        await visit.wait("main.dataset.connection === 'live'")
        line.cut()
        await visit.wait("main.dataset.connection === 'offline' && main.hasAttribute('data-stale')")
        await expect(visit.page.locator(".status-words").first).to_have_text("Offline")
        await visit.picture("chart-offline")
        await asyncio.sleep(2)  # the absence itself: prices go on meanwhile
        line.mend()
        await visit.wait("main.dataset.connection === 'live' && !main.hasAttribute('data-stale')")
        before = await visit.main("data-last-close")
        await visit.wait("![undefined, argument].includes(main.dataset.lastClose)", before)
        resumed = [message for message in sent.messages if message.get("resume")]
        assert {message["stream"] for message in resumed} == {"ohlcv", "order_book", "trades"}
        ids = [message["id"] for message in sent.messages]
        assert len(ids) >= 6
        assert ids == sorted(ids, key=lambda number: int(str(number)))
        bars = await visit.bars()
        answered = await ohlcv(live_server, limit=300)
        final = {bar[0]: bar for bar in answered[:-1]}
        held = {bar[0]: bar for bar in bars}
        assert len(held) == len(bars)
        settled = [time for time in final if time < bars[-1][0]]
        assert len(settled) >= 298
        assert {time: held.get(time) for time in settled} == {time: final[time] for time in settled}


async def test_a_venue_out_of_reach_is_said_with_a_way_to_retry(live_server: str, visitor: Visitor) -> None:
    async with visitor.visit(
        chart_url(live_server, provider="binance"), expected=("Failed to load",)
    ) as visit:
        banner = visit.page.locator(".banner")
        await banner.wait_for()
        assert len(await banner.inner_text()) > 20
        await visit.picture("chart-unreachable")
        async with visit.page.expect_request(lambda request: "/market/ohlcv" in request.url):
            await visit.page.get_by_role("button", name="Retry").click()


class Between:
    """Stands between the page and the real server's socket: loses one update, or closes with a code."""

    def __init__(self) -> None:
        self.sent: list[dict[str, object]] = []
        self.lose = False
        self.lost: list[dict[str, object]] = []
        self.asked_again = asyncio.Event()
        self._page: WebSocketRoute | None = None

    def carry(self, page: WebSocketRoute) -> None:
        """Join the page's socket, which has just been opened, to the server."""
        self._page = page
        server = page.connect_to_server()
        page.on_message(lambda payload: self._from_page(server, payload))
        server.on_message(lambda payload: self._from_server(page, payload))

    async def restart(self) -> None:
        """Say what a server says that goes away, and go."""
        assert self._page is not None
        self._page.send(json.dumps({"type": "draining", "in_ms": 100}))
        await self._page.close(code=1012, reason="restart")

    def _from_page(self, server: WebSocketRoute, payload: str | bytes) -> None:
        self.sent.append(json.loads(payload))
        if len(self.subscriptions()) > 1:
            self.asked_again.set()
        server.send(payload)

    def _from_server(self, page: WebSocketRoute, payload: str | bytes) -> None:
        message = json.loads(payload)
        if self.lose and message["type"] == "update" and "bars" in message:
            self.lose = False
            self.lost.append(message)
            return
        page.send(payload)

    def subscriptions(self) -> list[dict[str, object]]:
        """How the page has asked for bars so far."""
        return [message for message in self.sent if message.get("stream") == "ohlcv"]


async def test_a_lost_update_brings_a_fresh_snapshot(live_server: str, visitor: Visitor) -> None:
    async with visitor.visit("about:blank") as visit:
        between = Between()
        await visit.page.route_web_socket("**/api/v1/ws", between.carry)
        await visit.page.goto(chart_url(live_server))
        await visit.wait("main.dataset.connection === 'live' && Number(main.dataset.bars) > 100")
        assert len(between.subscriptions()) == 1
        between.lose = True
        await asyncio.wait_for(between.asked_again.wait(), 30)
        assert len(between.lost) == 1
        assert "resume" not in between.subscriptions()[1]
        before = await visit.main("data-last-close")
        await visit.wait("![undefined, argument].includes(main.dataset.lastClose)", before)
        assert await visit.main("data-connection") == "live"


async def test_a_restarted_server_is_asked_for_what_was_missed(live_server: str, visitor: Visitor) -> None:
    async with visitor.visit("about:blank") as visit:
        between = Between()
        await visit.page.route_web_socket("**/api/v1/ws", between.carry)
        await visit.page.goto(chart_url(live_server))
        await visit.wait("main.dataset.connection === 'live' && Number(main.dataset.bars) > 100")
        await between.restart()
        await visit.wait("main.dataset.connection === 'offline'", timeout_s=5)
        await visit.wait("main.dataset.connection === 'live'", timeout_s=5)
        resumed = between.subscriptions()[-1].get("resume")
        assert isinstance(resumed, dict)
        assert set(resumed) == {"epoch", "seq"}
        before = await visit.main("data-last-close")
        await visit.wait("![undefined, argument].includes(main.dataset.lastClose)", before)


async def test_the_legend_follows_the_cursor(live_server: str, visitor: Visitor) -> None:
    async with visitor.visit(chart_url(live_server, timeframe="1h")) as visit:
        await loaded(visit, "BTC/USDT", "1h")
        latest = await visit.page.locator(".legend-time dd").inner_text()
        box = await visit.page.locator("#chart").bounding_box()
        assert box is not None
        await visit.page.mouse.move(box["x"] + 300, box["y"] + 300)
        await visit.wait(
            "![undefined, argument].includes(document.querySelector('.legend-time dd')?.textContent)", latest
        )
        await expect(visit.page.locator(".legend.is-cursor")).to_have_count(1)
        await visit.page.mouse.move(10, 10)
        await visit.wait("document.querySelector('.legend-time dd')?.textContent === argument", latest)


async def test_switching_leaves_no_subscription_behind(live_server: str, visitor: Visitor) -> None:
    async with visitor.visit("about:blank") as visit:
        sent = Sent()
        visit.page.on("websocket", sent.listen)
        await visit.page.goto(chart_url(live_server))
        await loaded(visit, "BTC/USDT", "1m")
        for timeframe in ("5m", "15m", "1h", "4h", "1d", "5m"):
            await visit.page.locator(f'[data-timeframe="{timeframe}"]').click()
        await loaded(visit, "BTC/USDT", "5m")
        await visit.wait("main.dataset.connection === 'live'")
        await visit.page.wait_for_timeout(500)
        wanted = {("ohlcv", "5m"), ("order_book", ""), ("trades", "")}  # those of the chart that is shown
        async with asyncio.timeout(20):
            while sent.subscribed() != wanted:
                await visit.page.wait_for_timeout(50)


async def test_stored_bars_of_an_unreachable_venue_are_shown(
    running_server: RunningServer, visitor: Visitor, tmp_path: Path
) -> None:
    start = 1_564_617_600_000  # 2019-08-01
    missing = range(700, 760)
    rows = [
        f"{start + minute * MINUTE_MS},100,{105 + minute % 7},99,{100 + minute % 5},{1 + minute % 3}"
        for minute in range(1_500)
        if minute not in missing
    ]
    table = tmp_path / "ltc.csv"
    table.write_text("\n".join(["time,open,high,low,close,volume", *rows]) + "\n", encoding="utf-8")
    command = ["import", str(table), "--market", "crypto", "--provider", "binance", "--symbol", "LTC/USDT"]
    imported = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tradewright", *command, env=running_server.environment
    )
    assert await asyncio.wait_for(imported.wait(), 60) == 0
    url = chart_url(running_server.address, symbol="LTC/USDT", provider="binance")
    async with visitor.visit(url, expected=("Failed to load",)) as visit:
        await loaded(visit, "LTC/USDT", "1m", "binance")
        await expect(visit.page.locator(".banner")).to_contain_text("stored")
        await expect(visit.page.get_by_role("button", name="Retry")).to_be_visible()
        async with asyncio.timeout(60):
            while int(await visit.main("data-first-time") or 0) > start:
                await drag_right(visit, 2)
        await visit.picture("chart-stored")
        held = [bar[0] for bar in await visit.bars()]
        assert held == [start + minute * MINUTE_MS for minute in range(1_500) if minute not in missing]
        await expect(visit.page.locator(".statusbar")).to_contain_text("gap")


@pytest.mark.golden
async def test_recorded_trades_move_the_candle(recorded_data: Path, visitor: Visitor, tmp_path: Path) -> None:
    async with BinanceVenue(recorded_data / CAPTURE_FILE, lead_in_s=120) as venue:
        await _shows_the_venue(venue, visitor, tmp_path, "chart-recorded")


async def test_the_trades_of_a_venue_move_the_candle(visitor: Visitor, tmp_path: Path) -> None:
    async with BinanceVenue(7, lead_in_s=120) as venue:
        await _shows_the_venue(venue, visitor, tmp_path, "chart-venue")


async def _shows_the_venue(venue: BinanceVenue, visitor: Visitor, home: Path, name: str) -> None:
    started = serve(home, venue.provider_toml())
    server = await asyncio.to_thread(started.__enter__)
    try:
        # The first use of a venue on a busy machine may take longer than a read waits; the page recovers.
        slow = ("status of 504",)
        async with visitor.visit(chart_url(server.address, provider="binance"), expected=slow) as visit:
            await visit.wait("main.dataset.connection === 'live' && main.dataset.lastClose", timeout_s=60)
            assert await visit.page.locator(".legend .tag-simulated").count() == 0
            for _ in range(3):
                before = await visit.main("data-last-close")
                await visit.wait(
                    "![undefined, argument].includes(main.dataset.lastClose)", before, timeout_s=60
                )
            await visit.page.locator(".tape-row").first.wait_for()
            await visit.picture(name)
    finally:
        await asyncio.to_thread(started.__exit__, None, None, None)


async def test_indicators_are_added_hidden_and_remembered(live_server: str, visitor: Visitor) -> None:
    more = "document.querySelectorAll('#chart canvas').length > argument"
    async with visitor.visit(chart_url(live_server)) as visit:
        await loaded(visit, "BTC/USDT", "1m")
        canvases = visit.page.locator("#chart canvas")
        panes = await canvases.count()
        await visit.page.get_by_role("button", name="Indicators", exact=True).click()
        await visit.page.get_by_label("Search indicators").fill("relative strength")
        await visit.page.locator('[data-indicator="RSI"]').click()
        await visit.page.locator('[data-chosen="RSI"]').wait_for()
        await visit.wait(more, panes)
        await visit.page.get_by_label("Hide RSI").click()
        await visit.page.get_by_label("Show RSI").wait_for()
        await visit.page.keyboard.press("Escape")
        await visit.page.reload()
        await loaded(visit, "BTC/USDT", "1m")
        await visit.wait(more, panes)
        await visit.page.get_by_role("button", name="Indicators", exact=True).click()
        await visit.page.get_by_label("Remove RSI").click()
        await visit.page.locator('[data-chosen="RSI"]').wait_for(state="detached")
        await expect(canvases).to_have_count(panes)


async def test_chart_type_axis_and_zone_are_chosen_and_a_picture_is_saved(
    live_server: str, visitor: Visitor
) -> None:
    async with visitor.visit(chart_url(live_server)) as visit:
        await loaded(visit, "BTC/USDT", "1m")
        local = await visit.page.locator(".legend-time dd").inner_text()
        await visit.page.get_by_role("button", name="Time zone").click()
        await visit.page.locator('[data-value="utc"]').click()
        await expect(visit.page.locator(".legend-time dd")).not_to_have_text(local)
        for kind in ("ohlc", "area", "candle_up_stroke"):
            await visit.page.get_by_role("button", name="Chart type").click()
            await visit.page.locator(f'[data-value="{kind}"]').click()
        await visit.page.get_by_role("button", name="Logarithmic price axis").click()
        async with visit.page.expect_download() as download:
            await visit.page.get_by_role("button", name="Save a picture of the chart").click()
        saved = await (await download.value).path()
        assert saved.read_bytes().startswith(b"\x89PNG")
