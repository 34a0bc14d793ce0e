"""Servers of one deployment, charts in a real browser, and everything between them that can be cut."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, Page

from tests.support.lines import Line, open_line
from tests.support.postgres_schemas import own_database
from tests.support.server_units import ServerUnit, server_units
from tests.venues.binance import BinanceVenue
from tests.venues.binance.klines import Kline
from tools.private_servers import OwnRedis, PrivatePostgres
from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import MINUTE_MS, ONE_MINUTE, Timeframe

LEAD_IN_S: Final = 400.0
QUESTIONS: Final = "/api/"
WHOLE_DEADLINE_S: Final = 75.0
"""By then after the last cut every chart must be live and whole again."""

# Collects trades as a page's own module gives them: what came, what came twice, and what never came.
_FOLLOW_TRADES: Final = """
async () => {
  const { Socket } = await import("/static/assets/js/modules/net/socket.js");
  const seen = { first: 0, last: 0, count: 0, twice: 0, skipped: 0, lost: 0, snapshots: 0, holes: [] };
  const take = (trades, told) => {
    for (const [, id] of trades) {
      const number = Number(id);
      if (number <= seen.last) { if (!told) seen.twice += 1; continue; }
      if (seen.last && number !== seen.last + 1) {
        seen[told ? "lost" : "skipped"] += number - seen.last - 1;
        if (seen.holes.length < 100) seen.holes.push([seen.last, number, told ? "snapshot" : "update"]);
      }
      seen.first ||= number;
      seen.last = number;
      seen.count += 1;
    }
  };
  const socket = new Socket(`${location.origin.replace(/^http/, "ws")}/api/v1/ws`);
  const query = { stream: "trades", market: "crypto", provider: "binance", symbol: "BTC/USDT" };
  socket.subscribe(query, {
    onSnapshot: ({ trades }) => { seen.snapshots += 1; take(trades ?? [], true); },
    onUpdate: ({ trades }) => take(trades ?? [], false),
  });
  globalThis.seenTrades = seen;
}
"""
_LIVE: Final = "() => document.querySelector('#main')?.dataset.connection === 'live'"
_BARS: Final = """
() => {
  const main = document.querySelector("#main");
  const detail = {};
  main.dispatchEvent(new CustomEvent("tradewright:inspect", { detail }));
  return { ...detail, connection: main.dataset.connection, trades: globalThis.seenTrades };
}
"""


@dataclass(slots=True)
class Chart:
    """One chart of one server, over a line of its own."""

    page: Page
    line: Line
    unit: ServerUnit
    timeframe: str
    complaints: list[str] = field(default_factory=list)

    async def look(self) -> dict[str, Any]:
        """What the page holds, draws and says."""
        seen: dict[str, Any] = await self.page.evaluate(_BARS)
        return seen


@dataclass(slots=True)
class Verdict:
    """What is wrong with what the charts have, counted."""

    duplicates: int = 0
    disorder: int = 0
    undrawn: int = 0
    missing: int = 0
    different: int = 0
    invented: int = 0
    bars: int = 0
    trades: int = 0
    trades_twice: int = 0
    trades_skipped: int = 0
    trades_lost: int = 0
    trades_unasked: int = 0
    """Left out by a stream while the venue answered no question: a page is told, and begins anew."""
    examples: list[str] = field(default_factory=list)
    """Some of the bars that are not as they should be."""

    @property
    def faults(self) -> int:
        """All that must be nought."""
        bars = self.duplicates + self.disorder + self.undrawn + self.missing + self.different + self.invented
        return bars + self.trades_twice + self.trades_skipped + self.trades_lost

    def __str__(self) -> str:
        return (
            f"{self.bars} bars compared: {self.duplicates} twice, {self.disorder} out of order, "
            f"{self.undrawn} not drawn, {self.missing} missing, {self.different} different, "
            f"{self.invented} invented; {self.trades:,} trades: {self.trades_twice} twice, "
            f"{self.trades_skipped} left out, {self.trades_lost} lost, "
            f"{self.trades_unasked} told to be lost while nobody could be asked"
        )


Cut = Callable[[random.Random], Awaitable[None]]


class CutHouse:
    """What can be cut, and what must be the same afterwards."""

    def __init__(
        self,
        venue: BinanceVenue,
        redis: OwnRedis,
        postgres: PrivatePostgres | None,
        units: list[ServerUnit],
        charts: list[Chart],
    ) -> None:
        self.venue = venue
        self.redis = redis
        self.postgres = postgres
        self.units = units
        self.charts = charts
        self._unasked: list[tuple[int, int]] = []
        """From and to which trade the venue answered no question."""
        self.cuts: dict[str, Cut] = {
            "the venue's sockets are cut": self._cut_upstream,
            "the venue's sockets fall silent": self._silence_upstream,
            "the venue refuses connections": self._refuse_upstream,
            "the venue answers no question": self._refuse_questions,
            "a malformed frame": self._malformed,
            "a browser's line is cut": self._cut_line,
            "Redis is killed": self._kill_redis,
            "Redis is frozen": self._freeze_redis,
            "a server is killed": self._kill_server,
            "a server is frozen": self._freeze_server,
            "a server is restarted in order": self._restart_server,
        }
        if postgres is not None:
            self.cuts["PostgreSQL is killed"] = self._kill_postgres

    async def _cut_upstream(self, _chance: random.Random) -> None:
        self.venue.faults.cut_sockets()

    async def _silence_upstream(self, _chance: random.Random) -> None:
        self.venue.faults.silence_sockets()

    async def _refuse_upstream(self, chance: random.Random) -> None:
        self.venue.faults.refuse_connections()
        await asyncio.sleep(chance.uniform(1, 8))
        await self.venue.faults.accept_connections()

    async def _refuse_questions(self, chance: random.Random) -> None:
        await self.whole()
        since = self._newest_trade
        self.venue.faults.unavailable(QUESTIONS)
        await asyncio.sleep(chance.uniform(0, 2))
        await chance.choice((self._cut_upstream, self._cut_line))(chance)
        await asyncio.sleep(chance.uniform(1, 8))
        await self.venue.faults.heal()
        self._unasked.append((since, self._newest_trade))

    async def _malformed(self, _chance: random.Random) -> None:
        self.venue.faults.inject('{"stream":"btcusdt@kline_1m","data":{"e":"kline","k":')

    async def _cut_line(self, chance: random.Random) -> None:
        line = chance.choice(self.charts).line
        line.cut()
        await asyncio.sleep(chance.uniform(0.2, 6))
        line.mend()

    async def _kill_redis(self, chance: random.Random) -> None:
        self.redis.kill()
        await asyncio.sleep(chance.uniform(0.2, 6))
        self.redis.start()

    async def _freeze_redis(self, chance: random.Random) -> None:
        self.redis.freeze()
        await asyncio.sleep(chance.uniform(0.5, 8))
        self.redis.thaw()

    async def _kill_postgres(self, chance: random.Random) -> None:
        assert self.postgres is not None
        self.postgres.kill()
        await asyncio.sleep(chance.uniform(0.2, 6))
        self.postgres.launch()
        await asyncio.to_thread(self.postgres.wait)

    async def _kill_server(self, chance: random.Random) -> None:
        unit = chance.choice(self.units)
        unit.kill()
        await asyncio.sleep(chance.uniform(0, 2))
        unit.start()
        await unit.ready()

    async def _freeze_server(self, chance: random.Random) -> None:
        unit = chance.choice(self.units)
        unit.freeze()
        await asyncio.sleep(chance.uniform(1, 8))
        unit.thaw()

    async def _restart_server(self, chance: random.Random) -> None:
        unit = chance.choice(self.units)
        await unit.stop()
        unit.start()
        await unit.ready()

    # The truth, and what the charts have of it

    def _truth(self, timeframe: str) -> dict[int, BarRow]:
        """What has ended, made of the venue's minutes."""
        klines = self.venue.markets["BTCUSDT"].klines.series("1m").select(None, None, 10_000)
        minutes = Bars.from_rows([_row(kline) for kline in klines if kline.closed])
        frame = Timeframe.parse(timeframe)
        ended_ms = int(minutes.time[-1]) + MINUTE_MS
        made = minutes if frame is ONE_MINUTE else resample(minutes, frame)
        return {row[0]: row for row in made.rows() if frame.end(row[0]) <= ended_ms}

    @property
    def _newest_trade(self) -> int:
        return self.venue.markets["BTCUSDT"].trades[-1].id

    async def whole(self, deadline_s: float = WHOLE_DEADLINE_S) -> float:
        """Wait until every chart is live and shows what the venue says; for how long that took."""
        began_s = time.monotonic()
        while True:
            verdict, live = await self._compare()
            if live and not verdict.faults:
                return time.monotonic() - began_s
            if time.monotonic() - began_s > deadline_s:
                seen = [await chart.look() for chart in self.charts]
                states = [(each["connection"], each["trades"]) for each in seen]
                raise AssertionError(f"after {deadline_s:.0f} s: {verdict}; {verdict.examples}; {states}")
            await asyncio.sleep(0.5)

    async def verdict(self) -> Verdict:
        """How the charts differ from the venue now."""
        return (await self._compare())[0]

    async def _compare(self) -> tuple[Verdict, bool]:
        verdict, live = Verdict(), True
        newest = self._newest_trade
        for chart in self.charts:
            truth = self._truth(chart.timeframe)
            seen = await chart.look()
            live = live and seen["connection"] == "live" and _follows(seen["trades"], newest)
            _judge_bars(verdict, truth, seen["bars"], seen["shown"])
            _judge_trades(verdict, seen["trades"], self._unasked)
        return verdict, live


def _write_config(home: Path, venue: BinanceVenue) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    config = home / "tradewright.toml"
    config.write_text(venue.provider_toml(), encoding="utf-8")
    return config


def _row(kline: Kline) -> BarRow:
    values = (kline.open, kline.high, kline.low, kline.close, kline.volume)
    return (kline.open_ms, *(float(value) for value in values))  # type: ignore[return-value]


def _alike(bar: Sequence[float], true: BarRow) -> bool:
    """Equal but for the order in which volumes were added up."""
    return [*bar[:5]] == [*true[:5]] and abs(bar[5] - true[5]) <= 1e-9 * true[5]


def _follows(trades: dict[str, Any] | None, newest: int) -> bool:
    """Whether a page that follows trades has come as far as the venue, but for a moment."""
    return trades is None or newest - trades["last"] < 100


def _judge_bars(
    verdict: Verdict, truth: dict[int, BarRow], bars: list[list[float]], shown: list[int]
) -> None:
    """Compare the final bars, those before the newest one that the page has."""
    times = [int(bar[0]) for bar in bars]
    verdict.duplicates += len(times) - len(set(times))
    verdict.disorder += sum(later < earlier for earlier, later in pairwise(times))
    verdict.undrawn += times != shown
    newest = max(truth, default=0)
    held = {int(bar[0]): bar for bar in bars if bar[0] <= newest}
    verdict.bars += len(truth)
    verdict.missing += len(truth.keys() - held.keys())
    verdict.invented += len(held.keys() - truth.keys())
    different = [time for time in truth.keys() & held.keys() if not _alike(held[time], truth[time])]
    verdict.different += len(different)
    for wrong in sorted({*different, *(truth.keys() ^ held.keys())})[:3]:
        verdict.examples.append(f"{held.get(wrong)} in place of {truth.get(wrong)}")


def _judge_trades(verdict: Verdict, seen: dict[str, Any] | None, unasked: list[tuple[int, int]]) -> None:
    if seen is None:
        return
    # What a stream leaves out while nobody can be asked for it can't be had, and a snapshot says so.
    excused = sum(
        following - last - 1
        for last, following, told_by in seen["holes"]
        if told_by == "snapshot" and any(since <= last and following <= until for since, until in unasked)
    )
    verdict.trades += seen["count"]
    verdict.trades_twice += seen["twice"]
    verdict.trades_skipped += seen["skipped"]
    verdict.trades_lost += seen["lost"] - excused
    verdict.trades_unasked += excused


@asynccontextmanager
async def cut_house(
    home: Path,
    venue: BinanceVenue,
    redis: OwnRedis,
    postgres: str | PrivatePostgres,
    browser: Browser,
    *,
    servers: int = 2,
) -> AsyncIterator[CutHouse]:
    """Servers on one Redis and one PostgreSQL database before an emulated venue, and two charts of each.

    A PostgreSQL server that is given whole, and not by its address alone, is one of what can be cut.
    """
    own = postgres if isinstance(postgres, PrivatePostgres) else None
    url = postgres if isinstance(postgres, str) else postgres.url
    config = await asyncio.to_thread(_write_config, home, venue)
    async with AsyncExitStack() as stack:
        settings = {
            "TRADEWRIGHT_CONFIG": str(config),
            "TRADEWRIGHT_REDIS_URL": redis.url,
            "TRADEWRIGHT_DATABASE_URL": await stack.enter_async_context(own_database(url)),
        }
        units = await stack.enter_async_context(server_units(home, servers, settings))
        charts = [
            await _open_chart(stack, browser, unit, timeframe) for unit in units for timeframe in ("1m", "5m")
        ]
        yield CutHouse(venue, redis, own, units, charts)


async def _open_chart(stack: AsyncExitStack, browser: Browser, unit: ServerUnit, timeframe: str) -> Chart:
    line = await stack.enter_async_context(open_line(unit.port))
    context = await browser.new_context(viewport={"width": 1000, "height": 600})
    stack.push_async_callback(context.close)
    page = await context.new_page()
    chart = Chart(page, line, unit, timeframe)
    page.on("pageerror", lambda error: chart.complaints.append(str(error)))
    query = f"market=crypto&provider=binance&symbol=BTC/USDT&timeframe={timeframe}"
    await page.goto(f"{line.address}/chart?{query}")
    await page.wait_for_function(_LIVE, timeout=60_000)
    if timeframe == "1m":
        await page.evaluate(_FOLLOW_TRADES)
    return chart
