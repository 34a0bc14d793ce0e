"""The captures the emulated venue replays: their format, and what is refused."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from tests.venues.binance import CAPTURE_FILE, generate_capture, load_capture, write_capture
from tests.venues.binance.capture import Capture, CapturedDepth, CapturedQuote, parse_capture
from tests.venues.binance.generate import capture_lines
from tests.venues.binance.market import Book


def test_a_seed_always_gives_the_same_capture_and_another_seed_another() -> None:
    assert generate_capture(7, 5) == generate_capture(7, 5)
    assert generate_capture(7, 5) != generate_capture(8, 5)


def test_a_written_capture_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "made.jsonl.gz"
    write_capture(path, 3, 5)
    assert load_capture(path) == generate_capture(3, 5)


def test_a_generated_capture_is_sound() -> None:
    _check_sound(generate_capture(11, 60))


@pytest.mark.golden
def test_the_recorded_capture_is_sound(recorded_data: Path) -> None:
    capture = load_capture(recorded_data / CAPTURE_FILE)
    _check_sound(capture)
    assert capture.symbol == "BTCUSDT"
    assert capture.trade_ids == len(list(capture.trades)) == 9_757


def _check_sound(capture: Capture) -> None:
    """Ids without a gap, no event before its time, and quotes that agree with the book."""
    trades = list(capture.trades)
    assert [trade.id for trade in trades] == list(range(trades[0].id, trades[-1].id + 1))
    assert all(a.at_ms <= b.at_ms for a, b in zip(capture.events, capture.events[1:], strict=False))
    assert all(e.event_ms <= e.at_ms for e in capture.events if not isinstance(e, CapturedQuote))
    book = Book()
    book.reset(capture.snapshot, capture.snapshot.last_id)
    expected, quotes = capture.snapshot.last_id + 1, {}
    for event in capture.events:
        if isinstance(event, CapturedQuote):
            quotes[event.update_id] = event
        elif isinstance(event, CapturedDepth):
            assert event.first_id == expected
            expected = event.last_id + 1
            book.apply(event.bids, event.asks, event.last_id)
            (bid,), (ask,) = book.top(1)
            assert Decimal(bid[0]) < Decimal(ask[0])
            if event.last_id in quotes:
                assert (quotes[event.last_id].bid, quotes[event.last_id].ask) == (bid, ask)
    assert len(quotes) > 10


def test_a_capture_without_a_snapshot_is_refused() -> None:
    lines = [line for line in capture_lines(1, 2) if "lastUpdateId" not in line]
    with pytest.raises(ValueError, match="snapshot"):
        parse_capture(lines)


def test_a_capture_that_lacks_a_book_update_is_refused() -> None:
    lines = [line for line in capture_lines(1, 2) if "lastUpdateId" in line or "depthUpdate" in line]
    parse_capture(lines)
    with pytest.raises(ValueError, match="lacks"):
        parse_capture(lines[:5] + lines[6:])


def test_a_capture_with_a_stranger_in_it_is_refused() -> None:
    lines = list(capture_lines(1, 2))
    stranger = json.dumps({"stream": "x", "data": {"e": "executionReport", "E": 1}})
    with pytest.raises(ValueError, match="executionReport"):
        parse_capture([*lines, f"1 {stranger}"])
