"""The truth of the simulated exchange: its minutes and trades, and what they look like."""

from __future__ import annotations

import hashlib
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewright.domain.bars import Bars, impossible_rows
from tradewright.domain.intervals import Interval, IntervalSet
from tradewright.domain.resampling import bars_from_trades
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS
from tradewright.plugins._simulated_listing import LISTED_MS, LISTINGS
from tradewright.plugins._simulated_market import SimulatedMarket
from tradewright.plugins._simulated_minutes import FIRST_MINUTE, MOST_TRADES
from tradewright.plugins._simulated_profile import AllHours, Hours, SessionHours
from tradewright.plugins._simulated_random import bits, exp, exponential, gauss, uniform
from tradewright.plugins._simulated_walk import Walk

MINUTE_2024 = 1_704_067_200_000 // MINUTE_MS  # a Monday
DAY = 1_440
PAIRS = tuple(symbol for symbol, listing in LISTINGS.items() if listing.instrument.market == "crypto")
STOCKS = tuple(symbol for symbol in LISTINGS if symbol not in PAIRS)


def weekday_sessions() -> SessionHours:
    """Sessions from 14:30 to 21:00 on weekdays, which is enough of an exchange's calendar here."""
    first, last = LISTED_MS // DAY_MS - 400, LISTED_MS // DAY_MS + 6_000
    return SessionHours(
        IntervalSet(
            tuple(
                Interval(day * DAY_MS + 14 * HOUR_MS + HOUR_MS // 2, day * DAY_MS + 21 * HOUR_MS)
                for day in range(first, last)
                if (day + 3) % 7 < 5
            )
        )
    )


HOURS: dict[str, Hours] = {"crypto": AllHours(), "stocks": weekday_sessions()}
MARKETS = {
    symbol: SimulatedMarket(listing, 1, HOURS[listing.instrument.market])
    for symbol, listing in LISTINGS.items()
}

symbols = st.sampled_from(sorted(LISTINGS))
minutes_since_2015 = st.integers(FIRST_MINUTE, FIRST_MINUTE + 12 * 365 * DAY)


@settings(max_examples=60, deadline=None)
@given(symbols, minutes_since_2015, st.integers(1, 300))
def test_bars_are_the_aggregation_of_the_trades_in_every_bit(symbol: str, first: int, count: int) -> None:
    market = MARKETS[symbol]
    minutes = market.minutes.minutes(first, count)
    trades = market.trades.trades(minutes)
    assert minutes.bars(market.listing).equals(bars_from_trades(trades.listed(market.listing)))
    assert not impossible_rows(minutes.bars(market.listing)).any()


@settings(max_examples=60, deadline=None)
@given(symbols, minutes_since_2015, st.integers(1, 400), st.data())
def test_no_value_depends_on_where_the_computation_began(
    symbol: str, first: int, count: int, data: st.DataObject
) -> None:
    market = MARKETS[symbol]
    start = data.draw(st.integers(0, count - 1))
    length = data.draw(st.integers(1, count - start))
    whole, part = market.minutes.minutes(first, count), market.minutes.minutes(first + start, length)
    for all_of_it, some_of_it in zip(whole.columns(), part.columns(), strict=True):
        assert np.array_equal(all_of_it[start : start + length], some_of_it)
    trades = market.trades.trades(part).listed(market.listing)
    early, late = (first + start) * MINUTE_MS - 1, (first + start + length) * MINUTE_MS - 1
    assert trades == market.trades.trades(whole).between(early, late).listed(market.listing)


@settings(max_examples=60, deadline=None)
@given(symbols, minutes_since_2015)
def test_trades_keep_the_rules_of_their_instrument(symbol: str, first: int) -> None:
    market = MARKETS[symbol]
    instrument = market.listing.instrument
    assert instrument.price_tick is not None
    assert instrument.amount_step is not None
    assert instrument.min_amount is not None
    trades = market.trades.trades(market.minutes.minutes(first, 30)).listed(market.listing)
    numbers = [int(trade.id) for trade in trades]
    assert numbers == sorted(set(numbers))
    assert [trade.time for trade in trades] == sorted(trade.time for trade in trades)
    for trade in trades:
        assert int(trade.id) // 1000 == trade.time // MINUTE_MS
        assert Decimal(str(trade.price)) % instrument.price_tick == 0
        assert Decimal(str(trade.amount)) % instrument.amount_step == 0
        assert Decimal(str(trade.amount)) >= instrument.min_amount
        assert trade.price > 0
        assert trade.side in ("buy", "sell")


def test_the_history_of_the_default_seed_stays_as_it_is() -> None:
    """Whoever changes the simulated market makes all bars that users have stored of it wrong."""
    digest = hashlib.blake2b(digest_size=8)
    for symbol in sorted(MARKETS):
        market = MARKETS[symbol]
        trades = market.trades.trades(market.minutes.minutes(MINUTE_2024 + 15 * 60, 60))
        for column in (trades.time, trades.number, trades.bought, trades.price, trades.lots):
            digest.update(np.ascontiguousarray(column).astype("<i8").tobytes())
    assert digest.hexdigest() == "86d868bdcafe631e"


def test_another_seed_is_another_market() -> None:
    listing = LISTINGS["BTC/USDT"]
    other = SimulatedMarket(listing, 2, HOURS["crypto"]).minutes.minutes(MINUTE_2024, 60)
    assert not other.bars(listing).equals(MARKETS["BTC/USDT"].minutes.minutes(MINUTE_2024, 60).bars(listing))


def test_nothing_is_traded_before_the_listing() -> None:
    minutes = MARKETS["BTC/USDT"].minutes.minutes(FIRST_MINUTE - 100, 200)
    assert not minutes.trades[:100].any()
    assert minutes.trades[100:].all()


def test_busy_markets_trade_every_minute_and_a_thin_one_does_not() -> None:
    week = 7 * DAY
    for symbol in ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT", "BTC/USD"):
        trades = MARKETS[symbol].minutes.minutes(MINUTE_2024, week).trades
        assert trades.min() >= 1
        assert 20 < trades.mean() < 120  # so the candle moves every second or so
        assert trades.max() <= MOST_TRADES
    empty = MARKETS["LTC/BTC"].minutes.minutes(MINUTE_2024, week).trades == 0
    assert 0.2 < empty.mean() < 0.8


@pytest.mark.parametrize("symbol", STOCKS)
def test_stocks_trade_in_their_sessions_only(symbol: str) -> None:
    minutes = MARKETS[symbol].minutes.minutes(MINUTE_2024, 7 * DAY)
    since_midnight = minutes.minute % DAY
    weekday = (minutes.minute // DAY + 3) % 7
    session = (weekday < 5) & (since_midnight >= 14 * 60 + 30) & (since_midnight < 21 * 60)
    assert not minutes.trades[~session].any()
    assert minutes.trades[session].all()


def _daily_closes(symbol: str, years: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    market = MARKETS[symbol]
    closes = []
    for month in range(years * 12):
        bars = market.minutes.minutes(FIRST_MINUTE + month * 30 * DAY, 30 * DAY).bars(market.listing)
        closes.append(bars.between(0, 2**62).close[:: len(bars) // 30 or 1])
    return np.concatenate(closes)


@pytest.mark.parametrize(
    ("symbol", "lowest", "highest", "calmest", "wildest"),
    [
        ("BTC/USDT", 100, 500_000, 0.3, 1.0),
        ("LTC/BTC", 0.0002, 0.05, 0.25, 1.0),
        ("SPY", 80, 2_500, 0.08, 0.35),
    ],
)
def test_years_of_prices_are_plausible(
    symbol: str, lowest: float, highest: float, calmest: float, wildest: float
) -> None:
    closes = _daily_closes(symbol, 11)
    assert lowest < closes.min()
    assert closes.max() < highest
    assert calmest < np.diff(np.log(closes)).std() * np.sqrt(365) < wildest


def _minute_bars(symbol: str, days: int) -> Bars:
    market = MARKETS[symbol]
    return market.minutes.minutes(MINUTE_2024, days * DAY).bars(market.listing)


def _correlation_at(values: np.ndarray[tuple[int], np.dtype[np.float64]], lag: int) -> float:
    return float(np.corrcoef(values[:-lag], values[lag:])[0, 1])


def test_returns_are_unpredictable_and_their_size_clusters() -> None:
    returns = np.diff(np.log(_minute_bars("BTC/USDT", 60).close))
    for lag in (2, 3, 5, 16, 60, 64, 1_024, DAY):
        assert abs(_correlation_at(returns, lag)) < 0.03, f"returns repeat after {lag} minutes"
    sizes = np.abs(returns)
    assert _correlation_at(sizes, 5) > 0.1
    assert _correlation_at(sizes, 60) > 0.05
    assert np.mean(returns**4) / np.mean(returns**2) ** 2 > 4  # fatter tails than the normal law has


def test_no_rhythm_is_left_beyond_the_day_s() -> None:
    """The walk halves its cells at powers of two; none of them may be heard."""
    returns = np.diff(np.log(_minute_bars("ETH/USDT", 64).close))
    spectrum = np.abs(np.fft.rfft(returns[: 2**16] / returns.std())) ** 2 / 2**16
    for period in (2, 4, 8, 16, 32, 64, 128, 256, 512):
        assert spectrum[2**16 // period] < 20, f"a period of {period} minutes stands out"


def test_the_afternoon_is_busier_than_the_night() -> None:
    bars = _minute_bars("BTC/USDT", 60)
    hour = bars.time // HOUR_MS % 24
    assert bars.volume[(hour >= 13) & (hour < 17)].mean() > 1.3 * bars.volume[(hour >= 1) & (hour < 5)].mean()


def test_pairs_of_the_same_coins_agree() -> None:
    day = {
        symbol: _minute_bars(symbol, 1).close[-1] for symbol in ("BTC/USDT", "ETH/USDT", "ETH/BTC", "BTC/USD")
    }
    assert day["ETH/USDT"] / day["BTC/USDT"] == pytest.approx(day["ETH/BTC"], rel=0.003)
    assert day["BTC/USD"] / day["BTC/USDT"] == pytest.approx(1.0, rel=0.02)


def test_the_walk_has_the_variance_it_says() -> None:
    path = Walk(7, "anything", AllHours()).path(MINUTE_2024, 400_000)
    scaled = np.diff(path.value) / np.sqrt(path.mass)
    assert abs(scaled.mean()) < 0.01
    assert scaled.var() == pytest.approx(1.0, rel=0.03)
    assert path.mass.min() > 0


def test_arithmetic_of_chance() -> None:
    random = bits(5, np.arange(200_000))
    assert uniform(random).mean() == pytest.approx(0.5, abs=0.005)
    assert uniform(random).max() < 1
    assert gauss(random).mean() == pytest.approx(0, abs=0.01)
    assert gauss(random).var() == pytest.approx(1, abs=0.02)
    assert np.allclose(exponential(random), -np.log(1 - uniform(random)), atol=1e-7)
    powers = np.linspace(-30, 30, 1_001)
    assert np.allclose(exp(powers), np.exp(powers), rtol=1e-10)


@given(st.lists(minutes_since_2015, min_size=2, max_size=20, unique=True))
def test_market_time_never_stands_still(minutes: list[int]) -> None:
    for hours in HOURS.values():
        assert (np.diff(hours.elapsed(np.array(sorted(minutes)))) > 0).all()


def test_the_close_is_what_a_closed_market_shows() -> None:
    hours = HOURS["stocks"]
    monday = MINUTE_2024 * MINUTE_MS
    close = monday + 21 * HOUR_MS
    assert hours.last_open_ms(close - 5) == close - 5
    assert hours.last_open_ms(close) == close - 1
    assert hours.last_open_ms(close + 17 * HOUR_MS) == close - 1
    assert hours.last_open_ms(monday + 38 * HOUR_MS + HOUR_MS // 2) == monday + 38 * HOUR_MS + HOUR_MS // 2
    assert hours.last_open_ms(0) == 0
