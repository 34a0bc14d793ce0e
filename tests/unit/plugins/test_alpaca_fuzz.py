"""Whatever Alpaca may send becomes ours or one of our errors, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import PluginError
from tradewright.domain.timeframes import ONE_MINUTE, TIMEFRAMES
from tradewright.plugins import _alpaca_orders as orders
from tradewright.plugins import _alpaca_parse as parse
from tradewright.plugins._alpaca_feeds import (
    bars_feed,
    order_book_feed,
    quote_book_feed,
    ticker_feed,
    trades_feed,
)
from tradewright.plugins._alpaca_listing import _instruments
from tradewright.plugins._alpaca_market_stream import MarketStream
from tradewright.plugins._alpaca_order_stream import OrderStream, orders_feed
from tradewright.plugins._alpaca_socket import Box, Feed, Watched
from tradewright.testing import DrivenClock

CLOCK: Final = DrivenClock()

_NAMES: Final = (
    *("t", "o", "h", "l", "c", "v", "n", "p", "s", "i", "x", "tks", "bp", "bs", "ap", "as", "a", "b", "r"),
    *("id", "symbol", "side", "type", "qty", "filled_qty", "limit_price", "status", "client_order_id"),
    *("class", "tradable", "price_increment", "ex_date", "new_rate", "old_rate", "forward_splits"),
    *("corporate_actions", "order", "cash", "currency", "price", "order_id", "transaction_time"),
)
_SCALARS: Final = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ("2024-08-08T14:01:00Z", "2024-08-08", "buy", "limit", "1e400", "NaN", "-1", "0.5", "AAPL", "BTC/USD")
    )
)
_JSON: Final = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=8),
    max_leaves=24,
)
_TYPED: Final = st.fixed_dictionaries(
    {"T": st.sampled_from(("t", "q", "b", "u", "d", "o", "error", "subscription", "success")) | _JSON},
    optional={
        "S": st.just("AAPL") | _JSON,
        "code": st.integers(400, 410) | _JSON,
        "trades": _JSON,
        "p": _JSON,
    },
)
_OBJECTS: Final = st.dictionaries(st.sampled_from(_NAMES), _JSON, max_size=12)


def _nothing() -> Any:
    raise AssertionError("nothing is dialled here")


_KEY: Final = Credentials({"api_key": "key", "secret": "not a word of any log"})


def _takes() -> list[Callable[[Any], object]]:
    day = parse.DayFigures()
    made: tuple[Feed[Any], ...] = (
        bars_feed("AAPL", CLOCK.now_ms),
        trades_feed("AAPL"),
        trades_feed("BTC/USD"),
        ticker_feed("AAPL", None, None, day, CLOCK),
        quote_book_feed("AAPL"),
        order_book_feed("BTC/USD"),
        orders_feed(),
    )
    return [partial(feed.take, channel) for feed in made for channel in feed.channels]


@settings(max_examples=100, deadline=None)
@given(answer=_JSON)
def test_any_answer_is_read_or_refused(answer: object) -> None:
    readers: tuple[Callable[[], object], ...] = (
        lambda: parse.bar_rows(parse.rows(answer, "it"), ONE_MINUTE, stock=True),
        lambda: parse.bar_rows(parse.rows(answer, "it"), TIMEFRAMES["1M"], stock=True),
        lambda: parse.trades(parse.rows(answer, "it"), stock=True),
        lambda: parse.trades(parse.rows(answer, "it"), stock=False),
        lambda: parse.quote(answer),
        lambda: parse.order_book(answer),
        lambda: parse.splits([parse.table(answer, "it")], "AAPL", CLOCK.now_ms()),
        lambda: parse.DayFigures.of(answer, answer),
        lambda: orders.order(answer),
        lambda: orders.cash(answer),
        lambda: orders.position(parse.table(answer, "it")),
        lambda: orders.holding(parse.table(answer, "it"), "BTC/USD"),
        lambda: orders.fill(parse.table(answer, "it"), "AAPL"),
        lambda: _instruments([answer]),
    )
    for read in readers:
        with suppress(PluginError):
            read()


@settings(max_examples=100, deadline=None)
@given(messages=st.lists(_OBJECTS, min_size=1, max_size=4))
def test_any_message_is_taken_or_refused(messages: list[dict[str, object]]) -> None:
    for take in _takes():
        for message in messages:
            with suppress(PluginError):
                take(message)


@settings(max_examples=100, deadline=None)
@given(frame=_JSON | st.lists(_TYPED, max_size=4))
def test_any_frame_is_taken_or_ends_the_streams(frame: object) -> None:
    market = MarketStream("stocks", "ws://nowhere", _nothing, _KEY, CLOCK)
    account = OrderStream("ws://nowhere", _nothing, _KEY, CLOCK)
    feeds: tuple[Feed[Any], ...] = (
        trades_feed("AAPL"),
        bars_feed("AAPL", CLOCK.now_ms),
        quote_book_feed("AAPL"),
    )
    for feed in feeds:
        watched: Watched[Any] = Watched(feed)
        watched.boxes.append(Box(feed.merge))
        market.watched[feed.kind, feed.symbol] = watched
    for stream in (market, account):
        with suppress(PluginError):
            stream.handle(frame)
