"""The data page in a real browser: the strip over a prepared store, files, and a backfill to its end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from playwright.async_api import ViewportSize, expect

from tests.browser.conftest import RunningServer, Visit, Visitor, serve
from tests.support.lines import Line
from tradewright.app_extensions.stores import BARS_FILE
from tradewright.domain.bars import Bars
from tradewright.domain.instruments import Instrument, InstrumentKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, ONE_MINUTE
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PHONE = ViewportSize(width=390, height=844)
PREPARED = InstrumentKey("crypto", "binance", "BTC/USDT")
DAYS = 20
MISSING = (8, 11)
OUTAGE = (14, 15)
QUIET = (4, 6)


async def _prepare(data: Path, start: int) -> None:
    """Twenty days of which three are missing, one is an outage and two had no trades."""
    database = SQLiteDatabase(data / BARS_FILE)
    await database.open()
    bars = SQLiteBarStore(database)
    day = [start + index * DAY_MS for index in range(DAYS + 1)]
    end = start + DAYS * DAY_MS
    covered = IntervalSet.of(
        [(start, day[MISSING[0]]), (day[MISSING[1]], day[OUTAGE[0]]), (day[OUTAGE[1]], end)]
    )
    times = start + np.arange(DAYS * 1440, dtype=np.int64) * MINUTE_MS
    prices = 100 + np.arange(len(times)) % 7 / 10
    minutes = Bars(times, prices, prices + 1, prices - 1, prices, prices)
    traded = minutes.take((minutes.time < day[QUIET[0]]) | (minutes.time >= day[QUIET[1]]))
    held = Bars.concat([traded.between(*part) for part in covered])
    listed = Instrument(market="crypto", symbol=PREPARED.symbol, base="BTC", quote="USDT")
    key = PREPARED.series(ONE_MINUTE)
    await bars.import_bars([SeriesBars(key, held, covered)], replace=False, instruments=[listed])
    down = IntervalSet.single(day[OUTAGE[0]], day[OUTAGE[1]])
    await bars.write(SeriesBars(key, Bars.empty(), IntervalSet()), outage=down)
    await database.close()


@pytest.fixture(scope="module")
def prepared_start() -> int:
    """When the prepared history begins: twenty days before the last hour but one.

    Between its end and now an hour or more is missing, whenever the tests run.
    """
    now = int(time.time() * 1000)
    return now // HOUR_MS * HOUR_MS - HOUR_MS - DAYS * DAY_MS


@pytest.fixture(scope="module")
def data_server(tmp_path_factory: pytest.TempPathFactory, prepared_start: int) -> Iterator[RunningServer]:
    """A server over the prepared store; the venue of its bars can't be reached."""
    home = tmp_path_factory.mktemp("data-page")
    (home / "data").mkdir()
    asyncio.run(_prepare(home / "data", prepared_start))
    nowhere = '[providers.binance.urls.api]\npublic = "http://127.0.0.1:9"\nprivate = "http://127.0.0.1:9"\n'
    with serve(home, nowhere) as server:
        yield server


def data_url(server: RunningServer, provider: str = "binance", symbol: str = "BTC/USDT") -> str:
    query = {"market": "crypto", "provider": provider, "symbol": symbol}
    return f"{server.address}/data?{urlencode(query)}"


async def shown(visit: Visit) -> None:
    await visit.wait(
        "Number(main.dataset.shown) > 0 && document.querySelectorAll('.strip-track path').length >= 4"
    )


async def stretches(visit: Visit) -> list[str]:
    """What the keyboard reads, from the first stretch of the minutes to the last."""
    track = visit.page.locator(".strip-track").first
    await track.focus()
    await track.press("Home")
    said = []
    for _ in range(int(await track.get_attribute("aria-valuemax") or 0)):
        said.append(str(await track.get_attribute("aria-valuetext")).split(": ", 1)[1])
        await track.press("ArrowRight")
    return said


@pytest.mark.parametrize("dark", [True, False], ids=["dark", "light"])
@pytest.mark.parametrize("viewport", [None, PHONE], ids=["desktop", "phone"])
async def test_the_strip_shows_what_is_known(
    data_server: RunningServer, visitor: Visitor, dark: bool, viewport: ViewportSize | None
) -> None:
    size = viewport or ViewportSize(width=1440, height=900)
    async with visitor.visit(data_url(data_server), dark=dark, viewport=size) as visit:
        await shown(visit)
        drawn = await visit.page.evaluate(
            "() => [...document.querySelectorAll('.strip-track path')]"
            ".filter((path) => path.getAttribute('d') !== '').map((path) => path.dataset.kind)"
        )
        assert sorted(drawn) == ["have", "missing", "no_trades", "outage"]
        fills = await visit.page.evaluate(
            "() => [...document.querySelectorAll('.strip-track path')].map((one) => one.getAttribute('fill'))"
        )
        assert len(set(fills)) == 4
        words = await stretches(visit)
        kinds = [text.split()[0] for text in words]
        assert [kind for kind in kinds if kind not in ("Have", "Not")] == [
            "No",
            "Missing",
            "Outage",
            "Missing",
        ]
        assert any("Missing 3 d" in text for text in words)
        overflow = await visit.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0
        await visit.picture(f"data-{'phone' if viewport else 'desktop'}-{'dark' if dark else 'light'}")


async def test_a_missing_stretch_fills_the_form_and_a_drag_looks_closer(
    data_server: RunningServer, visitor: Visitor, prepared_start: int
) -> None:
    async with visitor.visit(data_url(data_server)) as visit:
        await shown(visit)
        track = visit.page.locator(".strip-track").first
        box = await track.bounding_box()
        assert box is not None
        middle = box["x"] + box["width"] * (MISSING[0] + MISSING[1]) / 2 / DAYS
        await visit.page.mouse.move(middle, box["y"] + 10)
        await expect(visit.page.locator(".strip-readout")).to_contain_text("Missing")
        await visit.page.mouse.click(middle, box["y"] + 10)
        await expect(visit.page.locator("input[value=exact]")).to_be_checked()
        times = await visit.page.evaluate(
            "() => ['start', 'end'].map((name) => Date.parse(document.querySelector(`[name=${name}]`).value))"
        )
        part = DAYS * DAY_MS / 500
        wanted = [prepared_start + index * DAY_MS for index in MISSING]
        assert all(abs(found - right) < part for found, right in zip(times, wanted, strict=True))
        await visit.page.mouse.move(box["x"] + box["width"] * 0.38, box["y"] + 10)
        await visit.page.mouse.down()
        await visit.page.mouse.move(box["x"] + box["width"] * 0.42, box["y"] + 10, steps=4)
        await visit.page.mouse.up()
        await visit.wait(
            "document.querySelector('[data-window=all]').getAttribute('aria-pressed') === 'false'"
        )
        words = await stretches(visit)
        assert [text.split()[0] for text in words] == ["Have", "Missing"]
        for name in ("Year", "Month", "Week", "Day", "Look closer", "Earlier"):
            await visit.page.get_by_role("button", name=name, exact=True).click()
            await visit.wait("document.querySelector('.strip').getAttribute('aria-busy') === 'false'")
        assert "Show" not in await visit.page.locator(".strip-readout").inner_text()
        await visit.page.get_by_role("button", name="All", exact=True).click()
        await visit.wait(
            "document.querySelector('[data-window=all]').getAttribute('aria-pressed') === 'true'"
        )
        await visit.page.get_by_text("As a table").click()
        await visit.page.get_by_role("cell", name="Outage", exact=True).first.wait_for()


async def test_times_are_in_the_zone_that_is_chosen(data_server: RunningServer, visitor: Visitor) -> None:
    async with visitor.visit(data_url(data_server)) as visit:
        await shown(visit)
        field = visit.page.locator("[name=end]")
        local = await field.input_value()
        await visit.page.get_by_role("button", name="Time zone").click()
        await visit.page.locator('[data-value="utc"]').click()
        await expect(field).not_to_have_value(local)
        await visit.page.reload()
        await shown(visit)
        await expect(visit.page.get_by_role("button", name="Time zone")).to_have_text("UTC")


async def test_a_file_is_saved(data_server: RunningServer, visitor: Visitor) -> None:
    async with visitor.visit(data_url(data_server)) as visit:
        await shown(visit)
        async with visit.page.expect_download() as download:
            await visit.page.get_by_role("link", name="CSV").click()
        saved = await download.value
        assert saved.suggested_filename == "binance-BTC-USDT-1m.csv"
        lines = (await saved.path()).read_text("ascii").splitlines()
        assert lines[0] == "time,open,high,low,close,volume"
        assert len(lines) == 1 + (DAYS - 3 - 1 - 2) * 1440
        await visit.page.get_by_label("Timeframe").select_option("1d")
        async with visit.page.expect_download() as download:
            await visit.page.get_by_role("link", name="Parquet").click()
        saved = await download.value
        assert saved.suggested_filename == "binance-BTC-USDT-1d.parquet"
        assert (await saved.path()).read_bytes()[:4] == b"PAR1"


async def test_a_file_is_saved_where_the_server_wants_a_login(
    tmp_path: Path, visitor: Visitor, prepared_start: int
) -> None:
    (tmp_path / "data").mkdir()
    await _prepare(tmp_path / "data", prepared_start)
    anna = {"username": "anna", "email": "anna@example.com", "password": "seven quiet lamps at noon"}
    login = {"login": "anna", "password": anna["password"]}
    with serve(tmp_path, "require_login = true\n") as server:
        async with visitor.visit("about:blank", expected=("401",)) as visit:
            for call, form in (("register", anna), ("login", login)):
                answer = await visit.page.context.request.post(
                    f"{server.address}/api/v1/auth/{call}", data=form
                )
                assert answer.ok, await answer.text()
            await visit.page.goto(data_url(server))
            await shown(visit)
            async with visit.page.expect_download() as download:
                await visit.page.get_by_role("link", name="CSV").click()
            saved = await download.value
            assert saved.suggested_filename == "binance-BTC-USDT-1m.csv"
            lines = (await saved.path()).read_text("ascii").splitlines()
            assert len(lines) == 1 + (DAYS - 3 - 1 - 2) * 1440


async def test_an_instrument_without_bars_says_so_and_one_that_has_some_is_a_click_away(
    data_server: RunningServer, visitor: Visitor
) -> None:
    async with visitor.visit(data_url(data_server, "simulated", "ETH/USDT")) as visit:
        await visit.wait("main.dataset.shown === '0'")
        assert (
            "Nothing is stored of this instrument yet" in await visit.page.locator("#coverage").inner_text()
        )
        assert await visit.page.get_by_role("link", name="CSV").count() == 0
        await visit.picture("data-empty")
        await visit.page.get_by_role("button", name="Choose a range to fetch").click()
        assert await visit.page.evaluate("document.activeElement.name") == "range"
        await visit.page.locator("#stored").get_by_role("link", name="BTC/USDT").first.click()
        await shown(visit)
        assert "provider=binance" in visit.page.url
        await expect(visit.page.locator("#stored tr[aria-current=true]")).to_have_count(1)


async def test_a_link_to_nowhere_is_said(data_server: RunningServer, visitor: Visitor) -> None:
    async with visitor.visit(f"{data_server.address}/data?provider=nope") as visit:
        await visit.page.get_by_text("There is no provider “nope”").wait_for()
        await visit.page.locator("#stored").get_by_role("link", name="BTC/USDT").first.click()
        await shown(visit)


async def test_a_backfill_is_started_watched_and_done(data_server: RunningServer, visitor: Visitor) -> None:
    async with visitor.visit(data_url(data_server, "simulated", "SOL/USDT")) as visit:
        await visit.wait("main.dataset.shown === '0'")
        await visit.page.get_by_label("Last month").check()
        await visit.page.get_by_role("button", name="Fetch", exact=True).click()
        row = visit.page.locator("#backfills tbody tr").filter(has_text="SOL/USDT")
        await row.locator(".state[data-state=done]").wait_for(timeout=60_000)
        assert "100%" in await row.inner_text()
        await shown(visit)
        words = await stretches(visit)
        assert "Have" in {text.split()[0] for text in words}
        await visit.page.locator("#stored").get_by_role("link", name="SOL/USDT").wait_for()
        await visit.picture("data-backfilled")


async def test_a_backfill_is_cancelled_after_a_second_word(
    data_server: RunningServer, visitor: Visitor
) -> None:
    async with visitor.visit(data_url(data_server, "simulated", "BTC/USDT")) as visit:
        await visit.wait("main.dataset.shown !== undefined")
        await visit.page.get_by_label("All since listing").check()
        await visit.page.get_by_label("Oldest first").check()
        await visit.page.get_by_role("button", name="Fetch", exact=True).click()
        row = visit.page.locator("#backfills tbody tr").filter(has_text="since listing")
        assert "oldest first" in await row.inner_text()
        await row.get_by_role("button", name="Cancel").click()
        assert "What it has fetched is kept." in await row.inner_text()
        await row.get_by_role("button", name="Go on").click()
        await row.get_by_role("button", name="Cancel").click()
        await row.get_by_role("button", name="Stop fetching").click()
        await row.locator(".state[data-state=cancelled]").wait_for()
        assert await row.get_by_role("button", name="Cancel").count() == 0


async def test_a_range_that_cannot_be_is_said_beside_the_form(
    data_server: RunningServer, visitor: Visitor
) -> None:
    async with visitor.visit(data_url(data_server)) as visit:
        await shown(visit)
        await visit.page.get_by_label("To", exact=True).fill("2001-01-01T00:00")
        await visit.page.get_by_role("button", name="Fetch", exact=True).click()
        assert "ends before it begins" in await visit.page.locator("#fetch").inner_text()
        assert await visit.page.evaluate("document.activeElement.name") == "start"
        assert await visit.page.locator("#backfills tbody tr").filter(has_text="2001").count() == 0


async def test_a_failure_is_said_with_its_request_and_a_way_to_retry(
    data_server: RunningServer, visitor: Visitor
) -> None:
    problem = {
        "type": "about:blank",
        "title": "Unavailable",
        "status": 503,
        "detail": "The database does not answer.",
        "code": "storage_unavailable",
        "request_id": "abc123",
    }
    async with visitor.visit("about:blank", expected=("Failed to load",)) as visit:
        answer = json.dumps(problem)
        await visit.page.route(
            "**/coverage/strip*",
            lambda route: route.fulfill(status=503, content_type="application/problem+json", body=answer),
        )
        await visit.page.goto(data_url(data_server))
        place = visit.page.locator("#coverage")
        await place.get_by_text("The database does not answer.").wait_for()
        assert "Request abc123" in await place.inner_text()
        await visit.page.unroute("**/coverage/strip*")
        await place.get_by_role("button", name="Retry").click()
        await shown(visit)


async def test_a_server_that_is_away_is_said_until_it_is_back(line: Line, visitor: Visitor) -> None:
    url = f"{line.address}/data?{urlencode({'market': 'crypto', 'provider': 'simulated'})}"
    async with visitor.visit(url, expected=("WebSocket connection", "net::ERR_")) as visit:
        await visit.wait("main.dataset.connection === 'live'")
        line.cut()
        banner = visit.page.locator("#banner-slot .banner")
        await expect(banner).to_contain_text("cannot be reached")
        await visit.wait("main.dataset.connection === 'offline'")
        line.mend()
        await banner.get_by_role("button", name="Retry").click()
        await banner.wait_for(state="hidden")
        await visit.wait("main.dataset.connection === 'live'")
