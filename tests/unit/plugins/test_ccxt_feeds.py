"""What streams make of one answer after another."""

from __future__ import annotations

from typing import Any

import pytest

from tradewright.domain.errors import MalformedAnswerPluginError, PluginError
from tradewright.domain.timeframes import Timeframe
from tradewright.plugins import _ccxt_feeds as feeds
from tradewright.plugins.base import BarUpdate
from tradewright.testing.clock import DrivenClock

T0 = 1_700_000_040_000
M = 60_000


def bar(minute: int, close: float) -> list[float]:
    return [T0 + minute * M, 10.0, 20.0, 5.0, close, 1.0]


def closes(update: BarUpdate | None) -> list[tuple[int, float]]:
    assert update is not None
    assert update.final is None
    return [(int(row[0] - T0) // M, row[4]) for row in update.bars.rows()]


def trade(number: int) -> dict[str, Any]:
    return {"timestamp": T0 + number, "id": number, "side": "buy", "price": 1.0, "amount": 1.0}


def ignore(_: int) -> None:
    pass


def test_when_a_bar_opens_the_one_before_comes_along() -> None:
    feed = feeds.ohlcv_feed("X/Y", Timeframe.parse("1m"), ignore)
    assert closes(feed.take([bar(0, 11)])) == [(0, 11)]
    assert closes(feed.take([bar(0, 12)])) == [(0, 12)]
    assert closes(feed.take([bar(1, 13)])) == [(0, 12), (1, 13)]
    assert closes(feed.take([bar(1, 14)])) == [(1, 14)]
    assert closes(feed.take([bar(1, 15), bar(2, 16)])) == [(1, 15), (2, 16)]


def test_a_late_correction_comes_with_the_newest_bar_last() -> None:
    feed = feeds.ohlcv_feed("X/Y", Timeframe.parse("1m"), ignore)
    feed.take([bar(0, 11)])
    feed.take([bar(1, 12)])
    assert closes(feed.take([bar(0, 19)])) == [(0, 19), (1, 12)]


def test_waiting_bars_keep_the_last_state_of_each() -> None:
    feed = feeds.ohlcv_feed("X/Y", Timeframe.parse("1m"), ignore)
    waiting = feed.take([bar(0, 11)])
    for rows in ([bar(0, 12)], [bar(1, 13)], [bar(1, 14)]):
        newer = feed.take(rows)
        assert waiting is not None
        assert newer is not None
        waiting = feed.merge(waiting, newer)
    assert closes(waiting) == [(0, 12), (1, 14)]


def test_each_trade_comes_once() -> None:
    feed = feeds.trades_feed("X/Y", ignore)
    assert [one.id for one in feed.take([trade(1), trade(2)]) or ()] == ["1", "2"]
    assert [one.id for one in feed.take([trade(2), trade(4), trade(3), trade(4)]) or ()] == ["4", "3"]
    assert feed.take([trade(1), trade(3)]) is None


def test_ids_are_forgotten_in_the_end() -> None:
    feed = feeds.trades_feed("X/Y", ignore)
    for number in range(feeds.IDS_REMEMBERED + 1):
        feed.take([trade(number)])
    assert feed.take([trade(feeds.IDS_REMEMBERED)]) is None
    assert feed.take([trade(0)]) is not None


def test_who_falls_too_far_behind_is_told() -> None:
    feed = feeds.trades_feed("X/Y", ignore)
    full = tuple((feed.take([trade(1)]) or ()) * feeds.TRADES_WAITING_MAX)
    with pytest.raises(PluginError, match="wait"):
        feed.merge(full, full[:1])


def fill(number: int, symbol: str = "X/Y") -> dict[str, Any]:
    return {**trade(number), "symbol": symbol, "order": "1", "price": "1.5", "amount": "2"}


def test_each_execution_comes_once() -> None:
    feed = feeds.fills_feed()
    assert [one.trade_id for one in feed.take([fill(1), fill(2)]) or ()] == ["1", "2"]
    again = feed.take([fill(2), fill(3), fill(2, "X/Z")])
    assert [(one.symbol, one.trade_id) for one in again or ()] == [("X/Z", "2"), ("X/Y", "3")]
    assert feed.take([fill(1), fill(3)]) is None
    with pytest.raises(PluginError, match="wait"):
        feed.merge((again or ())[:1] * feeds.FILLS_WAITING_MAX, (again or ())[:1])


@pytest.mark.parametrize(
    "bad",
    [
        {"bids": [[10, 1]], "asks": [[10, 1]]},
        {"bids": [[8, 1], [9, 1]], "asks": [[10, 1]]},
        {"bids": [[9, 1]], "asks": [[11, 1], [10, 1]]},
        {"bids": [[9, 1], [9, 2]], "asks": [[10, 1]]},
    ],
)
async def test_a_bad_book_is_left_out_and_a_lasting_one_ends_the_stream(bad: dict[str, Any]) -> None:
    clock = DrivenClock()
    feed = feeds.order_book_feed("X/Y", clock, clock.now_ms)
    sound = {"bids": [[9, 1]], "asks": [[10, 1]]}
    for _ in range(feeds.BAD_BOOKS_MAX):
        assert feed.take(bad) is None
    assert feed.take(sound) is not None
    for _ in range(feeds.BAD_BOOKS_MAX):
        feed.take(bad)
    with pytest.raises(MalformedAnswerPluginError, match="crossed"):
        feed.take(bad)
    assert feed.take(sound) is not None
    assert feed.take(bad) is None
    await clock.advance(feeds.BAD_BOOK_S_MAX + 0.1)
    with pytest.raises(MalformedAnswerPluginError, match="crossed"):
        feed.take(bad)
