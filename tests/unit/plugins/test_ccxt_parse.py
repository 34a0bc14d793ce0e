"""What is made of CCXT's structures, and what is refused."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewright.domain.bars import Bars, unknown_in
from tradewright.domain.errors import MalformedAnswerPluginError
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.timeframes import Timeframe
from tradewright.plugins import _ccxt_parse as parse

MINUTE = Timeframe.parse("1m")
T0 = 1_700_000_040_000
GOOD = [T0, 10.0, 12.0, 9.0, 11.0, 5.0]


@pytest.mark.parametrize(
    "bad",
    [
        [T0 + 60_000, None, 12, 9, 11, 5],
        [T0 + 60_000, 10, 12, 9, 11, None],
        [T0 + 60_000, 10, 8, 9, 11, 5],
        [T0 + 60_000, 10, 12, 9, 11, -5],
        [T0 + 60_000, 10, 12, 9, 11, math.nan],
        [T0 + 60_000, "10", 12, 9, 11, 5],
        [T0 + 60_000, True, 12, 9, 11, 5],
        [T0 + 60_001, 10, 12, 9, 11, 5],
        [math.inf, 10, 12, 9, 11, 5],
        [-60_000, 10, 12, 9, 11, 5],
        [10**18, 10, 12, 9, 11, 5],
        [T0 + 60_000, 10, 12],
        "a row",
        None,
        {},
    ],
)
def test_a_row_that_can_not_be_right_is_dropped_and_counted(bad: Any) -> None:
    assert parse.bar_rows([GOOD, bad], MINUTE) == ([tuple(GOOD)], 1)
    with pytest.raises(MalformedAnswerPluginError):
        parse.bar_rows([bad], MINUTE)


@pytest.mark.parametrize("answer", [None, "text", 5, {"rows": []}])
def test_bars_that_are_no_list_are_refused(answer: Any) -> None:
    with pytest.raises(MalformedAnswerPluginError):
        parse.bar_rows(answer, MINUTE)


def test_no_bars_are_no_bars() -> None:
    assert parse.bar_rows([], MINUTE) == ([], 0)
    bars, dropped = parse.page_of_bars([], MINUTE)
    assert (len(bars), dropped) == (0, 0)


NUMBERS = st.one_of(
    st.integers(0, 5).map(lambda n: T0 + n * 60_000),
    st.sampled_from([1, 2, 2.5, 3.0, 0, -1, math.nan, math.inf, 10**400, T0 + 1, None, True, "2", [1]]),
)
ROWS = st.one_of(
    st.tuples(st.integers(0, 5), st.floats(1, 9)).map(
        lambda row: [T0 + row[0] * 60_000, row[1], row[1], row[1], row[1], row[1]]
    ),
    st.lists(NUMBERS, max_size=7),
)


@given(st.lists(ROWS, max_size=8))
def test_a_page_holds_the_sound_rows_sorted_and_each_time_once(answer: list[list[Any]]) -> None:
    try:
        rows, dropped = parse.bar_rows(answer, MINUTE)
    except MalformedAnswerPluginError:
        with pytest.raises(MalformedAnswerPluginError):
            parse.page_of_bars(answer, MINUTE)
        return
    bars, dropped_too = parse.page_of_bars(answer, MINUTE)
    assert bars.equals(Bars.from_unordered(rows))
    assert dropped_too == dropped


MINUTE_MS = 60_000


def holes(*minutes: int) -> IntervalSet:
    return IntervalSet.of((T0 + n * MINUTE_MS, T0 + (n + 1) * MINUTE_MS) for n in minutes)


def sound(minute: int) -> list[float]:
    return [T0 + minute * MINUTE_MS, *GOOD[1:]]


@pytest.mark.parametrize(
    ("bad", "unknown"),
    [
        ([T0 + 3 * MINUTE_MS, 10.0, 8.0, 9.0, 11.0, 5.0], holes(3)),
        ([T0 + 3 * MINUTE_MS, None, 12.0, 9.0, 11.0, 5.0], holes(3)),
        ([T0 + 3 * MINUTE_MS], holes(3)),
        ([T0 + 3 * MINUTE_MS + 17, *GOOD[1:]], holes(3)),
        ([T0 + 2 * MINUTE_MS + 17, *GOOD[1:]], IntervalSet()),  # a sound row tells of that minute
        ([T0 + 2 * MINUTE_MS, 10.0, 8.0, 9.0, 11.0, 5.0], IntervalSet()),
        ([None, *GOOD[1:]], IntervalSet.single(0, T0).union(holes(1, 3))),
        ("a row", IntervalSet.single(0, T0).union(holes(1, 3))),
    ],
)
def test_a_page_tells_which_bars_were_left_out(bad: Any, unknown: IntervalSet) -> None:
    page, dropped = parse.page_of_bars([sound(0), sound(2), bad, sound(4)], MINUTE)
    assert (len(page), dropped) == (3, 1)
    assert unknown_in(page) == unknown


def test_where_no_row_is_sound_the_error_tells_which_bars_there_were() -> None:
    bad = [[T0 + n * MINUTE_MS, 10.0, 8.0, 9.0, 11.0, 5.0] for n in (0, 2)]
    for answer in (bad, [*bad, None]):
        with pytest.raises(MalformedAnswerPluginError) as caught:
            parse.page_of_bars(answer, MINUTE)
        assert caught.value.unknown == holes(0, 2)


def test_a_ticker_keeps_what_is_a_number() -> None:
    answer = {"timestamp": T0, "last": 10, "bid": math.nan, "ask": "11", "percentage": -1.5, "baseVolume": 0}
    ticker = parse.ticker(answer, 7)
    assert (ticker.t, ticker.last, ticker.bid, ticker.ask) == (T0, 10.0, None, None)
    assert (ticker.change_percent, ticker.volume) == (-1.5, 0.0)
    assert parse.ticker({"bid": 1.0}, 7).t == 7


@pytest.mark.parametrize("answer", [{}, {"last": None}, {"last": "x", "volume": 3}])
def test_a_ticker_without_a_price_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswerPluginError):
        parse.ticker(answer, 7)


def test_a_book_is_cut_to_its_best_levels() -> None:
    answer = {"timestamp": None, "bids": [[9, 1], [8, 2]], "asks": [[10, 1, 77], [11, 2, 78]]}
    book = parse.order_book(answer, 7, 1)
    assert (book.t, book.bids, book.asks) == (7, ((9.0, 1.0),), ((10.0, 1.0),))


@pytest.mark.parametrize("level", [[None, 1], [1, None], [0, 1], [1, 0], [-1, 1], [1, math.inf]])
def test_a_book_with_an_impossible_level_is_refused(level: list[Any]) -> None:
    with pytest.raises(MalformedAnswerPluginError):
        parse.order_book({"bids": [level], "asks": []}, 7, 5)


def test_a_book_without_a_side_is_refused() -> None:
    with pytest.raises(MalformedAnswerPluginError):
        parse.order_book({"bids": []}, 7, 5)


def test_trades_keep_their_order_and_lose_what_can_not_be_right() -> None:
    good = {"timestamp": T0, "id": 5, "side": "buy", "price": 10.0, "amount": 1.0}
    found, dropped = parse.trades([good, {**good, "price": None}, {**good, "id": "6", "side": "both"}, None])
    assert [(trade.id, trade.side) for trade in found] == [("5", "buy"), ("6", None)]
    assert dropped == 2
    with pytest.raises(MalformedAnswerPluginError):
        parse.trades([{**good, "amount": 0}])


def test_trades_without_ids_get_the_same_ones_again_and_twins_differ() -> None:
    row = {"timestamp": T0, "id": None, "side": "sell", "price": 10.0, "amount": 1.0}
    first, _ = parse.trades([row, row, {**row, "amount": 2.0}])
    again, _ = parse.trades([row, row, {**row, "amount": 2.0}])
    assert len({trade.id for trade in first}) == 3
    assert first == again


@pytest.mark.parametrize(
    ("value", "mode", "expected"),
    [
        (0.01, 4, Decimal("0.01")),
        (1e-08, 4, Decimal("1e-8")),
        ("0.5", 4, Decimal("0.5")),
        (8, 2, Decimal("1e-8")),
        (0, 2, Decimal(1)),
        (-1, 2, Decimal(10)),
        (5, 3, None),
        (0, 4, None),
        (None, 4, None),
        (None, 2, None),
        (math.nan, 4, None),
        ("x", 4, None),
        (True, 4, None),
    ],
)
def test_steps_follow_the_venues_way_of_counting(value: Any, mode: int, expected: Decimal | None) -> None:
    assert parse.step(value, mode) == expected


class Listing:
    """The part of CCXT's exchange that instruments are made of."""

    id = "kraken"
    precisionMode = 4  # noqa: N815 -- CCXT's name
    has = {"createLimitOrder": True, "createMarketOrder": "emulated"}  # noqa: RUF012

    def __init__(self, *markets: dict[str, Any]) -> None:
        self.markets = {market["symbol"]: market for market in markets}


def test_instruments_are_spot_and_swaps_with_names_we_can_carry() -> None:
    spot = {
        "symbol": "B/USDT",
        "base": "B",
        "quote": "USDT",
        "type": "spot",
        "active": None,
        "precision": {"price": 0.1, "amount": None},
        "limits": {"amount": {"min": 0.001}, "cost": None},
    }
    swap = {"symbol": "A/USDT:USDT", "base": "A", "quote": "USDT", "type": "swap", "active": False}
    strange = {**spot, "symbol": "币/USDT"}
    future = {**spot, "symbol": "B/USDT:USDT-261225", "type": "future"}
    first, second = parse.instruments(Listing(spot, swap, strange, future))
    assert (first.symbol, first.type, first.active, first.price_tick) == ("A/USDT:USDT", "swap", False, None)
    assert (second.symbol, second.active, second.price_tick) == ("B/USDT", True, Decimal("0.1"))
    assert (second.min_amount, second.min_cost, second.amount_step) == (Decimal("0.001"), None, None)
    assert second.order_types == ("limit",)
