"""What the simulated exchange lists, and the character of each of its markets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from tradewright.domain.instruments import ALWAYS_OPEN, Instrument, OrderType

LISTED_MS: Final = 1_420_070_400_000  # 2015-01-01
STOCK_CALENDAR: Final = "XNYS"
_ORDER_TYPES: Final[tuple[OrderType, ...]] = ("market", "limit", "stop", "stop_limit")
_MINUTES_PER_YEAR: Final = 525_960


@dataclass(frozen=True, slots=True)
class Listing:
    """An instrument with what its trades are made from.

    ``lot`` is a power of two, and every traded amount a multiple of it: sums of amounts are then exact
    in floats, in whichever order they are taken. ``volatility`` is per year and per factor; markets that
    share a factor move together.
    """

    instrument: Instrument
    early_price: float
    late_price: float
    volatility: Mapping[str, float]
    lot: float
    trades_per_minute: float
    trade_value: float
    """The mean value of a trade in the quote currency."""
    spread: float = 0.00002
    """Between the best bid and the best ask, as a part of the price."""
    growth_per_year: float = 0.03
    ticks_per_unit: int = field(init=False)

    def __post_init__(self) -> None:
        tick = self.instrument.price_tick
        if tick is None:
            raise ValueError("a simulated instrument needs a price tick")
        object.__setattr__(self, "ticks_per_unit", int(1 / tick))

    @property
    def symbol(self) -> str:
        """The instrument's symbol."""
        return self.instrument.symbol

    @property
    def loads(self) -> tuple[tuple[str, float], ...]:
        """The factors with their volatility per square root of a minute."""
        root = math.sqrt(_MINUTES_PER_YEAR)
        return tuple((factor, volatility / root) for factor, volatility in self.volatility.items())

    @property
    def log_prices(self) -> tuple[float, float]:
        """Logarithms of the early and the late price, rounded so that they are the same everywhere."""
        return round(math.log(self.early_price), 9), round(math.log(self.late_price), 9)


def _pair(symbol: str, *, tick: str, step: str, min_cost: str, name: str) -> Instrument:
    base, quote = symbol.split("/")
    return Instrument(
        market="crypto",
        symbol=symbol,
        base=base,
        quote=quote,
        price_tick=Decimal(tick),
        amount_step=Decimal(step),
        min_amount=Decimal(step),
        min_cost=Decimal(min_cost),
        order_types=_ORDER_TYPES,
        calendar=ALWAYS_OPEN,
        name=f"{name} (simulated)",
    )


def _stock(symbol: str, name: str, *, etf: bool = False) -> Instrument:
    return Instrument(
        market="stocks",
        symbol=symbol,
        base=symbol,
        quote="USD",
        type="etf" if etf else "stock",
        price_tick=Decimal("0.01"),
        amount_step=Decimal(1),
        min_amount=Decimal(1),
        min_cost=Decimal(1),
        order_types=_ORDER_TYPES,
        calendar=STOCK_CALENDAR,
        name=f"{name} (simulated)",
    )


_LISTINGS: Final = (
    Listing(
        _pair("BTC/USDT", tick="0.01", step="0.00000001", min_cost="5", name="Bitcoin / Tether"),
        early_price=300,
        late_price=68_000,
        volatility={"BTC": 0.55},
        lot=2**-8,
        trades_per_minute=80,
        trade_value=1_500,
        spread=0.000002,
    ),
    Listing(
        _pair("BTC/USD", tick="0.01", step="0.00000001", min_cost="5", name="Bitcoin / US dollar"),
        early_price=300,
        late_price=68_000,
        volatility={"BTC": 0.55, "USDT": 0.004},
        lot=2**-8,
        trades_per_minute=30,
        trade_value=1_200,
        spread=0.00001,
    ),
    Listing(
        _pair("ETH/USDT", tick="0.01", step="0.000001", min_cost="5", name="Ether / Tether"),
        early_price=6,
        late_price=3_000,
        volatility={"BTC": 0.5, "ETH": 0.45},
        lot=2**-6,
        trades_per_minute=70,
        trade_value=900,
        spread=0.000005,
    ),
    Listing(
        _pair("ETH/BTC", tick="0.00001", step="0.000001", min_cost="0.0001", name="Ether / Bitcoin"),
        early_price=0.02,
        late_price=0.0441,
        volatility={"ETH": 0.45, "BTC": -0.05},
        lot=2**-6,
        trades_per_minute=7,
        trade_value=0.02,
        spread=0.0003,
        growth_per_year=0.0,
    ),
    Listing(
        _pair("SOL/USDT", tick="0.01", step="0.0001", min_cost="5", name="Solana / Tether"),
        early_price=8,
        late_price=150,
        volatility={"BTC": 0.6, "SOL": 0.6},
        lot=2**-4,
        trades_per_minute=45,
        trade_value=500,
        spread=0.00008,
    ),
    Listing(
        _pair("XRP/USDT", tick="0.0001", step="0.1", min_cost="5", name="XRP / Tether"),
        early_price=0.05,
        late_price=0.8,
        volatility={"BTC": 0.5, "XRP": 0.6},
        lot=2**-1,
        trades_per_minute=45,
        trade_value=400,
        spread=0.0001,
    ),
    Listing(
        _pair("LTC/BTC", tick="0.000001", step="0.0001", min_cost="0.0001", name="Litecoin / Bitcoin"),
        early_price=0.009,
        late_price=0.0015,
        volatility={"LTC": 0.5},
        lot=2**-4,
        trades_per_minute=1.2,
        trade_value=0.004,
        spread=0.001,
        growth_per_year=0.0,
    ),
    Listing(
        _stock("AAPL", "Apple"),
        early_price=27,
        late_price=230,
        volatility={"US": 0.18, "AAPL": 0.19},
        lot=1.0,
        trades_per_minute=65,
        trade_value=18_000,
    ),
    Listing(
        _stock("MSFT", "Microsoft"),
        early_price=45,
        late_price=430,
        volatility={"US": 0.17, "MSFT": 0.16},
        lot=1.0,
        trades_per_minute=50,
        trade_value=20_000,
    ),
    Listing(
        _stock("SPY", "S&P 500 ETF", etf=True),
        early_price=200,
        late_price=580,
        volatility={"US": 0.16},
        lot=1.0,
        trades_per_minute=80,
        trade_value=60_000,
    ),
    Listing(
        _stock("TSLA", "Tesla"),
        early_price=15,
        late_price=270,
        volatility={"US": 0.25, "TSLA": 0.45},
        lot=1.0,
        trades_per_minute=75,
        trade_value=16_000,
    ),
)

LISTINGS: Final[Mapping[str, Listing]] = {listing.symbol: listing for listing in _LISTINGS}
