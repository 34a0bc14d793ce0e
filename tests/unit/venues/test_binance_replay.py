"""The replay: what the emulated venue shows at any moment, with time driven by hand."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.venues.binance import CAPTURE_FILE, XRPETH_FILE, Capture, generate_capture, load_capture
from tests.venues.binance.klines import INTERVALS, Kline, kline_span
from tests.venues.binance.market import Book, SpotMarket, VenueTrade
from tests.venues.binance.recorded import load_candles
from tests.venues.binance.replay import PAUSE_MS, Replay
from tests.venues.time import VenueTime
from tradewright.testing.clock import DrivenClock

NOON_MS = 1_730_980_800_000 + 12 * 3_600_000  # a Thursday


class Recorder:
    """Takes every event of every stream."""

    def __init__(self) -> None:
        self.events: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def wanted(self, stream: str) -> bool:
        return not re.search(r"@depth\d", stream)  # these cost a sorted book each

    def publish(self, stream: str, event: Any) -> None:
        self.events[stream.partition("@")[2]].append(event)


class Scene:
    """A replay with its clock, its market and what it sent."""

    def __init__(self, capture: Capture, *, lead_in_s: float = 0, **options: Any) -> None:
        self.clock = DrivenClock(NOON_MS)
        self.market = SpotMarket("BTCUSDT", "BTC", "USDT", "0.01", "0.00001")
        self.sent = Recorder()
        self.time = VenueTime(self.clock)
        origin_ms = NOON_MS - lead_in_s * 1000
        self.replay = Replay(self.market, capture, self.time, self.sent, origin_ms=origin_ms, **options)

    async def advance(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        self.replay.advance(self.time.exact_ms())


def aggregated(trades: Iterable[VenueTrade], interval: str) -> list[list[Any]]:
    """Klines by the book: every field computed apart from the emulator's own arithmetic."""
    groups: dict[tuple[int, int], list[VenueTrade]] = defaultdict(list)
    for trade in trades:
        groups[kline_span(interval, trade.time_ms)].append(trade)
    rows: list[list[Any]] = []
    for (start, end), group in groups.items():
        taken = [trade for trade in group if not trade.buyer_is_maker]
        prices = [trade.price for trade in group]
        figures = (
            sum((trade.amount for trade in group), Decimal(0)),
            sum((trade.price * trade.amount for trade in group), Decimal(0)),
            sum((trade.amount for trade in taken), Decimal(0)),
            sum((trade.price * trade.amount for trade in taken), Decimal(0)),
        )
        volume, quote, taker, taker_quote = (f"{figure:.8f}" for figure in figures)
        extremes = (prices[0], max(prices), min(prices), prices[-1])
        row = [start, *(f"{price:.8f}" for price in extremes), volume, end - 1, quote, len(group)]
        rows.append([*row, taker, taker_quote, "0"])
    return rows


def rows(klines: Iterable[Kline]) -> list[list[int | str]]:
    return [kline.row() for kline in klines]


@dataclass(frozen=True, slots=True)
class Looks:
    """Klines of every interval, looked at twice, and the trades they are made of."""

    halfway: dict[str, list[list[int | str]]]
    whole: dict[str, list[list[int | str]]]
    trades: list[VenueTrade]


@pytest.fixture(scope="module")
def looks() -> Looks:
    """One replay for the tests of all intervals."""
    return asyncio.run(_looks())


async def _looks() -> Looks:
    scene = Scene(generate_capture(5, 150))

    def shown() -> dict[str, list[list[int | str]]]:
        klines = scene.market.klines
        return {each: rows(klines.series(each).select(None, None, 1000)) for each in INTERVALS}

    await scene.advance(100.05)
    halfway = shown()
    await scene.advance(100)
    return Looks(halfway, shown(), list(scene.market.trades))


@pytest.mark.parametrize("interval", INTERVALS)
def test_klines_of_every_interval_equal_the_trades(looks: Looks, interval: str) -> None:
    before = [trade for trade in looks.trades if trade.time_ms <= NOON_MS + 100_030]
    assert len(before) > 300
    if interval != "1s":  # what happened in the last milliseconds may be on its way
        assert looks.halfway[interval][:-1] == aggregated(before, interval)[:-1]
    assert looks.whole[interval] == aggregated(looks.trades, interval)


async def test_nothing_is_shown_before_its_time() -> None:
    scene = Scene(generate_capture(5, 30))
    for _ in range(100):
        await scene.advance(0.33)
        now_ms = scene.time.now_ms()
        assert all(trade.event_ms <= now_ms for trade in scene.market.trades)
        for events in scene.sent.events.values():
            assert events[-1].get("E", 0) <= now_ms


async def test_the_first_event_comes_at_the_start_and_the_lead_in_has_happened() -> None:
    capture = generate_capture(5, 60)
    fresh, led = Scene(capture), Scene(capture, lead_in_s=40)
    assert not fresh.market.trades
    assert led.market.trades
    assert led.sent.events["trade"]
    await fresh.advance(40)
    ids = [[trade.id for trade in scene.market.trades] for scene in (fresh, led)]
    assert ids[0] == ids[1]
    assert fresh.market.book.top(50) == led.market.book.top(50)
    shift = {a.time_ms - b.time_ms for a, b in zip(fresh.market.trades, led.market.trades, strict=True)}
    assert shift == {40_000}


async def test_speed_compresses_all_times() -> None:
    capture = generate_capture(5, 60)
    slow, fast = Scene(capture, restart=False), Scene(capture, speed=10, restart=False)
    await slow.advance(60.5)
    await fast.advance(6.05)
    assert slow.replay.ended
    assert fast.replay.ended
    pairs = zip(slow.market.trades, fast.market.trades, strict=True)
    assert all(-0.2 < (a.time_ms - NOON_MS) / 10 - (b.time_ms - NOON_MS) < 1.1 for a, b in pairs)


async def test_a_jump_of_the_wall_clock_does_not_move_the_venue() -> None:
    scene = Scene(generate_capture(5, 60))
    await scene.advance(10)
    scene.clock.jump_wall(-3_600_000)
    await scene.advance(1)
    assert scene.time.now_ms() == NOON_MS + 11_000
    assert scene.market.trades[-1].time_ms > NOON_MS + 9_000


async def test_kline_events_add_up_to_the_klines() -> None:
    scene = Scene(generate_capture(9, 200))
    await scene.advance(190)
    for interval in ("1s", "1m", "3m", "1h"):
        events = [event["k"] for event in scene.sent.events[f"kline_{interval}"]]
        closed = [event for event in events if event["x"]]
        expected = {row[0]: row for row in aggregated(scene.market.trades, interval)}
        ended = [start for start in expected if kline_span(interval, start)[1] <= scene.time.now_ms() - 1000]
        assert [event["t"] for event in closed][: len(ended)] == ended
        for event in closed:
            row = expected[event["t"]]
            names = ("o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")
            assert [event["t"], *(event[name] for name in names)] == row
            assert event["i"] == interval
    minutes = [event["k"] for event in scene.sent.events["kline_1m"]]
    assert minutes[-1]["L"] - minutes[-1]["f"] + 1 == minutes[-1]["n"]
    times = [event["E"] for event in scene.sent.events["kline_1m"]]
    assert times == sorted(times)
    assert len(times) > 180


async def test_no_kline_changes_after_it_was_closed() -> None:
    scene = Scene(generate_capture(9, 200))
    await scene.advance(195)
    closed: set[int] = set()
    for event in (event["k"] for event in scene.sent.events["kline_1s"]):
        assert event["t"] not in closed
        if event["x"]:
            closed.add(event["t"])
    assert len(closed) > 100


async def test_a_restart_is_seamless_for_who_follows() -> None:
    capture = generate_capture(3, 20)
    scene = Scene(capture)
    await scene.advance(1)
    book = Book()
    bids, asks = scene.market.book.top(5_000)
    book.apply(bids, asks, scene.market.book.last_id)
    seen = {name: len(events) for name, events in scene.sent.events.items()}
    await scene.advance(70)
    assert scene.replay.rounds == 3
    for event in scene.sent.events["depth@100ms"][seen["depth@100ms"] :]:
        assert event["U"] == book.last_id + 1
        book.apply(event["b"], event["a"], event["u"])
    assert book.top(5_000) == scene.market.book.top(5_000)
    trades = scene.sent.events["trade"]
    assert [trade["t"] for trade in trades] == list(range(trades[0]["t"], trades[0]["t"] + len(trades)))
    assert all(a["T"] <= b["T"] for a, b in pairwise(trades))
    quotes = [event["u"] for event in scene.sent.events["bookTicker"]]
    assert quotes == sorted(quotes)
    round_trades = [trade for trade in trades if trade["t"] < trades[0]["t"] + capture.trade_ids]
    again = trades[len(round_trades)]
    assert again["p"] == trades[0]["p"]
    assert abs(again["T"] - trades[0]["T"] - capture.duration_ms - PAUSE_MS) <= 1


async def test_the_slow_depth_stream_leads_to_the_same_book() -> None:
    capture, book = generate_capture(3, 20), Book()
    book.reset(capture.snapshot, capture.snapshot.last_id)
    scene = Scene(capture)
    await scene.advance(50)
    for event in scene.sent.events["depth"]:
        assert event["U"] == book.last_id + 1
        book.apply(event["b"], event["a"], event["u"])
    fast = [e for e in scene.sent.events["depth@100ms"] if e["u"] > book.last_id]
    for event in fast:
        book.apply(event["b"], event["a"], event["u"])
    assert book.top(5_000) == scene.market.book.top(5_000)
    assert 40 <= len(scene.sent.events["depth"]) <= 50


async def test_without_a_restart_the_end_is_silent_but_the_last_kline_closes() -> None:
    scene = Scene(generate_capture(3, 10), restart=False)
    await scene.advance(15)
    count = len(scene.sent.events["depth@100ms"])
    await scene.advance(60)
    assert scene.replay.ended
    assert len(scene.sent.events["depth@100ms"]) == count
    assert scene.sent.events["kline_1m"][-1]["k"]["x"] is True


async def test_aggregate_trades_hold_all_trades_once() -> None:
    scene = Scene(generate_capture(3, 30))
    await scene.advance(25)
    aggregates = scene.market.aggregates
    ids = [i for one in aggregates for i in range(one.first_id, one.last_id + 1)]
    trades = {trade.id: trade for trade in scene.market.trades}
    assert ids == sorted(trades)[: len(ids)]
    for one in aggregates:
        parts = [trades[i] for i in range(one.first_id, one.last_id + 1)]
        assert sum(part.amount for part in parts) == one.amount
        assert {(part.price, part.time_ms) for part in parts} == {(one.price, one.time_ms)}
    assert any(one.first_id < one.last_id for one in aggregates)
    sent = [event["a"] for event in scene.sent.events["aggTrade"]]
    assert sent == [one.id for one in aggregates]


async def test_tickers_agree_with_the_trades() -> None:
    scene = Scene(generate_capture(3, 90))
    await scene.advance(80)
    event = scene.sent.events["ticker"][-1]
    trades = [trade for trade in scene.market.trades if trade.event_ms <= event["E"]]
    assert event["o"] == f"{trades[0].price:.8f}"
    assert event["c"] == f"{trades[-1].price:.8f}"
    assert event["h"] == f"{max(trade.price for trade in trades):.8f}"
    assert event["v"] == f"{sum(trade.amount for trade in trades):.8f}"
    assert event["n"] == len(trades)
    mini = scene.sent.events["miniTicker"][-1]
    assert all(mini[name] == event[name] for name in ("o", "h", "l", "c", "v", "q"))


def test_months_and_weeks_are_the_calendars() -> None:
    assert kline_span("1w", NOON_MS) == (1_730_678_400_000, 1_731_283_200_000)
    assert kline_span("1M", NOON_MS) == (1_730_419_200_000, 1_733_011_200_000)
    december_ms = 1_733_011_200_000
    assert kline_span("1M", december_ms + 5) == (december_ms, 1_735_689_600_000)


@pytest.mark.golden
async def test_klines_of_the_recorded_capture_equal_its_trades(recorded_data: Path) -> None:
    scene = Scene(load_capture(recorded_data / CAPTURE_FILE), lead_in_s=400)
    for interval in ("1s", "1m", "5m"):
        shown = rows(scene.market.klines.series(interval).select(None, None, 1000))
        assert shown == aggregated(scene.market.trades, interval)
    assert len(scene.market.trades) > 9_757


@pytest.mark.golden
def test_recorded_candles_are_served_as_they_are_and_equal_their_trades(recorded_data: Path) -> None:
    import pyarrow.parquet as pq

    market = SpotMarket("XRPETH", "XRP", "ETH", "0.00000001", "1")
    load_candles(market, recorded_data / XRPETH_FILE)
    served = rows(market.klines.series("1m").select(None, None, 10_000))
    table = pq.read_table(recorded_data / XRPETH_FILE)
    names = ("time_ms", "open", "high", "low", "close", "volume")
    recorded = list(zip(*(table[name].to_pylist() for name in names), strict=True))
    assert [(row[0], *map(float, row[1:6])) for row in served] == recorded
    assert len(served) == 2_469
    assert served == aggregated(market.trades, "1m")
