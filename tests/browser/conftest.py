"""The real server as a process of its own, a line to it that can be cut, and a real browser."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, async_playwright, expect

from tests.support.lines import Line, open_line

START_DEADLINE_S = 60
STOP_DEADLINE_S = 15
RESULTS = Path(__file__).parents[2] / "test-results"
DESKTOP = ViewportSize(width=1440, height=900)

expect.set_options(timeout=30_000)  # what is expected of a page may be late on a busy machine

# Tells of what the policy has refused, where the browser would only write it to its console.
REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy violation: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`);
});
"""


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server of its own process, and what a command beside it needs to share its data."""

    address: str
    environment: dict[str, str]


@contextmanager
def serve(home: Path, providers_toml: str) -> Iterator[RunningServer]:
    """Run `tradewright serve` on a free port over the data directory `home / "data"`.

    Raises:
        RuntimeError: it did not start.
        AssertionError: it wrote a stack trace into its log.
    """
    port = _free_port()
    settings = home / "tradewright.toml"
    settings.write_text(providers_toml, encoding="utf-8")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("TRADEWRIGHT_")
    } | {
        "TRADEWRIGHT_PORT": str(port),
        "TRADEWRIGHT_DATA_DIR": str(home / "data"),
        "TRADEWRIGHT_CONFIG": str(settings),
    }
    log = home / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tradewright", "serve"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_DEADLINE_S
        while not _answers(f"{address}/readyz"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{log.read_text(encoding='utf-8')}")
            time.sleep(0.1)
        yield RunningServer(address, environment)
        assert "Traceback" not in log.read_text(encoding="utf-8"), log.read_text(encoding="utf-8")
    finally:
        process.terminate()
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_DEADLINE_S)


@pytest.fixture(scope="session")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A running server with its own empty data directory.

    The provider `binance` is pointed at a port where nothing listens: what a page does when a venue can't
    be reached is then the same with a network and without.
    """
    dead = f"http://127.0.0.1:{_free_port()}"
    unreachable = f"""
[providers.binance.urls.api]
public = "{dead}/api/v3"
private = "{dead}/api/v3"
[providers.binance.options]
defaultType = "spot"
fetchMarkets = {{ types = ["spot"] }}
fetchCurrencies = false
fetchMargins = false
"""
    with serve(tmp_path_factory.mktemp("server"), unreachable) as server:
        yield server


@pytest.fixture(scope="session")
def live_server(running_server: RunningServer) -> str:
    """The address of that server."""
    return running_server.address


@pytest_asyncio.fixture(loop_scope="session")
async def line(live_server: str) -> AsyncIterator[Line]:
    """A line to the running server."""
    async with open_line(int(live_server.rpartition(":")[2])) as opened:
        yield opened


@asynccontextmanager
async def launched_browser() -> AsyncIterator[Browser]:
    """Debian's Chromium without a window."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert executable, "chromium is missing: apt-get install -y chromium"
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=executable)
        yield running
        await running.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium without a window, one for all tests: each visit has a context of its own.

    It belongs to the event loop of the session, in which therefore every test of a page runs.
    """
    async with launched_browser() as running:
        yield running


@dataclass(slots=True)
class Visit:
    """A page and all that it has complained about."""

    page: Page
    complaints: list[str]

    async def main(self, name: str) -> str | None:
        """An attribute of the page's main element."""
        return await self.page.get_attribute("#main", name)

    async def wait(self, condition: str, argument: object = None, timeout_s: float = 30) -> None:
        """Wait until a JavaScript condition over `main`, the main element, holds.

        A page that is still being loaded has no main element yet, so nothing holds there.
        """
        script = (
            "(argument) => {"
            f" const main = document.querySelector('#main'); return main !== null && ({condition}); "
            "}"
        )
        await self.page.wait_for_function(script, arg=argument, timeout=timeout_s * 1000)

    async def bars(self) -> list[list[float]]:
        """The bars that the page holds, after checking that the chart draws the same ones."""
        answer = await self.page.evaluate(
            """() => {
              const detail = {};
              const event = new CustomEvent("tradewright:inspect", { detail });
              document.querySelector("#main").dispatchEvent(event);
              return detail;
            }"""
        )
        bars: list[list[float]] = answer["bars"]
        assert [bar[0] for bar in bars] == answer["shown"]
        return bars

    async def picture(self, name: str) -> None:
        """Keep what is seen for a person to look at."""
        RESULTS.mkdir(exist_ok=True)
        await self.page.screenshot(path=RESULTS / f"{name}.png")


async def _complaining(context: BrowserContext) -> Visit:
    page = await context.new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.add_init_script(REPORT_VIOLATIONS)
    return Visit(page, complaints)


class Visitor:
    """Opens pages in fresh browser contexts; a page that has complained fails its test."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    @asynccontextmanager
    async def visit(
        self,
        url: str,
        *,
        viewport: ViewportSize = DESKTOP,
        dark: bool = True,
        expected: tuple[str, ...] = (),
    ) -> AsyncIterator[Visit]:
        """Open a page; complaints that hold one of `expected` are part of what is tested."""
        context = await self._browser.new_context(
            viewport=viewport, color_scheme="dark" if dark else "light", timezone_id="Europe/Berlin"
        )
        try:
            visit = await _complaining(context)
            await visit.page.goto(url)
            yield visit
            unexpected = [text for text in visit.complaints if not any(part in text for part in expected)]
            assert unexpected == []
        finally:
            await context.close()


@pytest.fixture
def visitor(browser: Browser) -> Visitor:
    """Opens pages."""
    return Visitor(browser)
