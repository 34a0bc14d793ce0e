"""Names, secrets and messages: what is allowed, what goes over the wire, and what never shows."""

from __future__ import annotations

import pickle
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewright.domain import errors
from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import InvalidInput, TradewrightError
from tradewright.domain.instruments import Instrument, InstrumentKey, check_identifier, check_symbol
from tradewright.domain.streams import StreamKey, Update
from tradewright.domain.ticks import OrderBook, PriceLevel, Trade
from tradewright.domain.timeframes import ONE_HOUR


@pytest.mark.parametrize(
    "symbol", ["BTC/USDT", "AAPL", "BRK.B", "BTC/USDT:USDT", "$WIF/USD", "1INCH/BTC", "A" * 64]
)
def test_symbols(symbol: str) -> None:
    assert check_symbol(symbol) == symbol


@pytest.mark.parametrize(
    "symbol",
    [
        "",
        "../etc",
        "BTC/../USD",
        "a'b",
        'a"b',
        "a b",
        "a\n",
        "/BTC",
        ".A",
        "A" * 65,
        "BTC;DROP",
        "ß",
        "a\x00",
    ],
)
def test_what_can_t_be_a_symbol(symbol: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_symbol(symbol)
    assert caught.value.fields == {"symbol": "not a valid symbol"}


@given(st.text(max_size=70))
def test_no_symbol_climbs_out_of_a_directory_or_a_quotation(text: str) -> None:
    try:
        check_symbol(text)
    except InvalidInput:
        return
    assert ".." not in text
    assert not set(text) & set("'\"`\\;<>%&\n\r\t \x00")


@pytest.mark.parametrize("name", ["", "Binance", "a-b", "a.b", "_a", "a" * 41, "a\n", "é"])
def test_what_can_t_be_an_identifier(name: str) -> None:
    with pytest.raises(InvalidInput, match="provider"):
        check_identifier("provider", name)


def test_identifiers() -> None:
    assert check_identifier("provider", "kraken_futures2") == "kraken_futures2"


def test_steps_of_an_instrument_are_strings_on_the_wire() -> None:
    instrument = Instrument(
        market="crypto", symbol="A/B", base="A", quote="B", price_tick=Decimal("0.00000001")
    )
    told = msgspec.json.decode(msgspec.json.encode(instrument))
    assert isinstance(told["price_tick"], str)
    assert Decimal(told["price_tick"]) == instrument.price_tick
    assert told["amount_step"] is None


def test_keys_name_their_series_and_topics() -> None:
    key = InstrumentKey("crypto", "binance", "BTC/USDT")
    assert key.series(ONE_HOUR).timeframe == "1h"
    assert key.series(ONE_HOUR).instrument == key
    stream = StreamKey(
        kind="ohlcv", market="crypto", provider="binance", symbol="BTC/USDT:USDT", timeframe="1m"
    )
    assert stream.topic == "ohlcv:crypto:binance:BTC/USDT:USDT:1m"
    assert stream.instrument.symbol == "BTC/USDT:USDT"
    assert StreamKey(kind="ticker", market="m", provider="p", symbol="S").topic == "ticker:m:p:S"


def test_an_update_carries_one_payload_and_leaves_out_the_rest() -> None:
    update = Update(topic="t", epoch="e", seq=1, trades=(Trade(5, "7", "buy", 1.5, 2.0),))
    assert msgspec.json.decode(msgspec.json.encode(update)) == {
        "type": "update",
        "topic": "t",
        "epoch": "e",
        "seq": 1,
        "trades": [[5, "7", "buy", 1.5, 2.0]],
    }


def test_a_crossed_book_is_seen() -> None:
    assert OrderBook(t=0, bids=((2.0, 1.0),), asks=((2.0, 1.0),)).crossed
    assert not OrderBook(t=0, bids=((1.0, 1.0), (0.5, 1.0)), asks=((2.0, 1.0),)).crossed
    assert not OrderBook(t=0, bids=(), asks=((2.0, 1.0),)).crossed
    assert OrderBook(t=0, bids=((1.0, 1.0), (0.5, 1.0)), asks=()).top(1).bids == ((1.0, 1.0),)


def test_credentials_show_nothing() -> None:
    credentials = Credentials({"api_key": "AKIA123", "secret": "hunter2"})
    assert credentials.reveal("secret") == "hunter2"
    assert credentials.reveal("password") is None
    for shown in (repr(credentials), str(credentials), f"{credentials}", credentials.fingerprint()):
        assert "hunter2" not in shown
        assert "AKIA123" not in shown
    with pytest.raises(TypeError):
        pickle.dumps(credentials)


def test_a_fingerprint_tells_keys_apart() -> None:
    one = Credentials({"api_key": "ab", "secret": "c"}).fingerprint()
    assert one == Credentials({"secret": "c", "api_key": "ab"}).fingerprint()
    assert one != Credentials({"api_key": "a", "secret": "bc"}).fingerprint()
    assert one != Credentials({"api_key": "ab"}).fingerprint()


def test_every_error_is_exported_documented_and_has_a_code() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, TradewrightError)
    ]
    assert {kind.__name__ for kind in kinds} == set(errors.__all__)
    codes = [kind.code for kind in kinds]
    assert len(codes) == len(set(codes))
    for kind in kinds:
        assert kind.__doc__
        assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize(
    ("bids", "asks", "sound"),
    [
        (((1.0, 1.0), (0.5, 1.0)), ((2.0, 1.0), (3.0, 1.0)), True),
        ((), ((2.0, 1.0),), True),
        (((2.0, 1.0),), ((2.0, 1.0),), False),
        (((0.5, 1.0), (1.0, 1.0)), ((2.0, 1.0),), False),
        (((1.0, 1.0), (1.0, 2.0)), ((2.0, 1.0),), False),
        (((1.0, 1.0),), ((3.0, 1.0), (2.0, 1.0)), False),
        (((1.0, 0.0),), ((2.0, 1.0),), False),
        (((1.0, float("nan")),), ((2.0, 1.0),), False),
        (((float("nan"), 1.0),), ((2.0, 1.0),), False),
        (((1.0, 1.0),), ((float("inf"), 1.0),), False),
    ],
)
def test_a_book_that_no_market_can_have_is_not_sound(
    bids: tuple[PriceLevel, ...], asks: tuple[PriceLevel, ...], sound: bool
) -> None:
    assert OrderBook(t=0, bids=bids, asks=asks).sound is sound
