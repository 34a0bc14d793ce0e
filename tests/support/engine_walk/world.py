"""What is true: emulated markets with holes, the clock they stand on, and what the venue corrects."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import ClassVar, Final, Protocol

import numpy as np

from tests.venues.candle_faults import HARMLESS, NOTICEABLE, CandleFaults
from tests.venues.candle_venue import CandleVenue
from tests.venues.clock import HastyClock
from tests.venues.faults import Faults, Rule
from tests.venues.generated import generate_minutes
from tests.venues.impatient import ImpatientPlugin
from tests.venues.truth import Market
from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.credentials import Credentials
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.resampling import resample, whole_bars
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, Timeframe
from tradewright.plugins.base import MarketPlugin

START_MS: Final = 1_704_067_200_000  # 2024-01-01, a Monday
DAYS: Final = 40
FIRST_NOW_MS: Final = START_MS + 20 * DAY_MS + 7 * HOUR_MS + 11 * MINUTE_MS + 5_000
BTC: Final = InstrumentKey("crypto", "binance", "BTC/USDT")
ETH: Final = InstrumentKey("crypto", "binance", "ETH/USDT")
Hole = tuple[int, int]


class Venue(Protocol):
    """An emulated venue, as a walk breaks it."""

    faults: Faults

    @property
    def candle_faults(self) -> CandleFaults: ...

    def maintenance(self, *, until_ms: int) -> Rule: ...

    async def heal(self) -> None: ...

    def provider_options(self) -> dict[str, object]: ...

    async def __aenter__(self) -> object: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class World(ABC):
    """The markets of one seed, behind an emulated venue.

    ``main`` is what most is asked of, ``second`` what some is. Unless a kind of world says otherwise, its
    markets never close.
    """

    main: ClassVar[InstrumentKey]
    second: ClassVar[InstrumentKey]
    plugin: ClassVar[type[MarketPlugin]]
    """The plugin under test."""
    credentials: ClassVar[Mapping[str, Credentials]] = {}
    bars_path: ClassVar[str]
    """Where the venue is asked for bars."""
    start_ms: ClassVar[int] = START_MS
    first_now_ms: int = FIRST_NOW_MS
    disturbances: ClassVar[int] = 5
    venue: Venue

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.clock = HastyClock(self.first_now_ms)
        self.outage = self._stretch(2_000, 3_000)
        alone = self._stretch(2_000, 3_000)
        self.holes = [self.outage, alone, *(self._stretch(1, 400) for _ in range(12))]
        """Of the main market; the others have the outage in common with it."""
        self._before: dict[InstrumentKey, Bars] = {}

    def _stretch(self, shortest: int, longest: int) -> Hole:
        start = self.start_ms + self.chance.randrange(1_440, 18 * 1_440) * MINUTE_MS
        return start, start + self.chance.randrange(shortest, longest) * MINUTE_MS

    # The truth

    @property
    @abstractmethod
    def keys(self) -> Sequence[InstrumentKey]:
        """All that is listed."""

    @abstractmethod
    def minutes(self, key: InstrumentKey) -> Bars:
        """All true minutes, those of the future too."""

    @abstractmethod
    def bars_of(self, key: InstrumentKey, timeframe: Timeframe) -> Bars:
        """The true bars, as the venue tells them."""

    @abstractmethod
    def made_of(self, minutes: Bars, timeframe: Timeframe) -> Bars:
        """The same if these were the minutes."""

    @abstractmethod
    def revise_minute(self, key: InstrumentKey, row: BarRow) -> None:
        """The venue says another minute from now on."""

    def truths(self, key: InstrumentKey, timeframe: Timeframe) -> list[Bars]:
        """The true bars; while a correction is on its way, what was true before it as well."""
        truths = [self.bars_of(key, timeframe)]
        if key in self._before:
            truths.append(self.made_of(self._before[key], timeframe))
        return truths

    def forms(self, key: InstrumentKey, timeframe: Timeframe) -> list[Bars]:
        """The true bars in every form in which a reader may be told them."""
        return self.truths(key, timeframe)

    def revise(self, key: InstrumentKey, row: BarRow) -> Callable[[], None]:
        """The venue says another minute from now on. Both are right until what is returned is called."""
        self._before[key] = self.minutes(key)
        self.revise_minute(key, row)
        return lambda: self._before.clear()

    def all_silent(self, start_ms: int, end_ms: int) -> bool:
        """Whether no market had a trade there; of minutes that were corrected just now the old one counts."""
        return not any(len(minutes.between(start_ms, end_ms)) for minutes in self._before_correction())

    def some_silent(self, start_ms: int, end_ms: int) -> bool:
        """Whether in some minute of it, of those in which one expects trades, no market had one."""
        traded = np.concatenate([each.between(start_ms, end_ms).time for each in self._before_correction()])
        expected = [
            np.arange(start, end, MINUTE_MS, dtype=np.int64) for start, end in self.open(start_ms, end_ms)
        ]
        return bool(expected) and not np.isin(np.concatenate(expected), traded).all()

    def _before_correction(self) -> list[Bars]:
        return [self._before.get(key, self.minutes(key)) for key in self.keys]

    # When there is something to tell

    def open(self, start_ms: int, end_ms: int) -> IntervalSet:
        """When in ``[start_ms, end_ms)`` each minute is expected to have a bar."""
        return IntervalSet.single(start_ms, end_ms)

    def traded(self, intervals: IntervalSet) -> IntervalSet:
        """Of the intervals those parts in which there may be trades."""
        return intervals

    def opening(self, timeframe: Timeframe, time_ms: int) -> int:
        """When the bar opens to which a trade at that time belongs."""
        return timeframe.floor(time_ms)

    def whole(self, minutes: IntervalSet, timeframe: Timeframe, now_ms: int) -> IntervalSet:
        """The bars that could be made then where these minutes were known."""
        return whole_bars(minutes, timeframe)

    def look_back(self, timeframe: Timeframe, end_ms: int, bars: int) -> int:
        """The opening before which so many timeframes of trading time lie up to ``end_ms``."""
        return timeframe.shift(end_ms, -bars)

    def final_ms(self, timeframe: Timeframe, settled_ms: int) -> int:
        """Bars that ended by then can't change, if trades from before ``settled_ms`` can't."""
        return settled_ms

    # What may be wrong

    def disturb(self, number: int) -> None:
        """One of as many ways to misbehave as there are ``disturbances``."""
        venue = self.venue
        match number:
            case 0:
                venue.faults.random(self.chance.randrange(2**31), 0.3, path=self.bars_path)
            case 1:
                seed = self.chance.randrange(2**31)
                venue.candle_faults.random(seed, 0.5, NOTICEABLE if seed % 2 else HARMLESS + NOTICEABLE)
            case 2:
                venue.maintenance(until_ms=self.clock.now_ms() + 3 * MINUTE_MS)
            case 3:
                venue.faults.refuse_connections()
            case 4:
                venue.faults.too_many(self.chance.choice((2, 30)))


class BinanceWorld(World):
    """Markets of crypto at an emulated Binance, behind real CCXT code."""

    main = BTC
    second = ETH
    plugin = ImpatientPlugin
    bars_path = "/api/v3/klines"

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        holes = {"BTC": self.holes, "ETH": [self.outage], "XRP": [self.outage]}
        markets = [self._market(base, number, part) for number, (base, part) in enumerate(holes.items(), 1)]
        self._markets = {InstrumentKey("crypto", "binance", market.symbol): market for market in markets}
        self.venue = CandleVenue(markets, clock=self.clock)

    def _market(self, base: str, number: int, holes: Sequence[Hole]) -> Market:
        minutes = generate_minutes(
            self.seed * 10 + number, START_MS, DAYS * 1_440, quiet=0.05 * number, holes=holes
        )
        return Market(base, "USDT", minutes)

    @property
    def keys(self) -> Sequence[InstrumentKey]:
        return tuple(self._markets)

    def minutes(self, key: InstrumentKey) -> Bars:
        return self._markets[key].minutes

    def bars_of(self, key: InstrumentKey, timeframe: Timeframe) -> Bars:
        return self._markets[key].series(timeframe).bars

    def made_of(self, minutes: Bars, timeframe: Timeframe) -> Bars:
        return resample(minutes, timeframe)

    def revise_minute(self, key: InstrumentKey, row: BarRow) -> None:
        self._markets[key].revise(row)
