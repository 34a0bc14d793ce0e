"""US stocks, which are traded in sessions, and crypto at an emulated Alpaca, behind ``AlpacaPlugin``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import ClassVar, Final

import numpy as np

from tests.support.engine_walk.world import DAYS, Hole, World
from tests.venues.alpaca import API_KEY, SECRET, AlpacaVenue
from tests.venues.alpaca.scripted import AFTER_MS, BEFORE_MS, Hours, ScriptedSecurity, new_york
from tests.venues.generated import generate_minutes
from tests.venues.impatient import ImpatientAlpaca
from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.credentials import Credentials
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.resampling import whole_bars
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, ONE_DAY, Timeframe
from tradewright.services.data_orchestrator import SESSION_DAY_FACTOR

MONDAY: Final = date(2023, 10, 30)
MONDAY_MS: Final = 1_698_624_000_000
"""Six days before New York sets its clocks back."""
SESSIONS: Final = new_york(MONDAY, DAYS, closed=(date(2023, 11, 23),), early=(date(2023, 11, 24),))
"""Thanksgiving and the half day after it among them."""
STOCK_BEGINNINGS_MS: Final = (
    20 * DAY_MS + 7 * HOUR_MS + 11 * MINUTE_MS + 5_000,
    25 * DAY_MS + 15 * HOUR_MS + 11 * MINUTE_MS + 5_000,
    22 * DAY_MS + 15 * MINUTE_MS + 5_000,
)
"""A Sunday, the session of the half day, and the hours after a session, into the next day of UTC."""
QUOTA: Final = 200
ROWS: Final = 700
"""So many bars stand in one answer of a page at most."""
PATIENT_S: Final = 2.4
"""A call may wait for a new quota, and then for its turn."""
WRONG_MS: Final = 10_000
EXTENDED_SHARES: Final = (0.15, 0.0, 0.15)
"""Which share of the minutes around the sessions has a trade, of each stock."""


class _StocksPlugin(ImpatientAlpaca):
    # Less than a page of Alpaca's, and still more than any night, weekend and holiday together.
    page_bars = 5_000


class AlpacaWorld(World):
    """What both markets have in common."""

    plugin = ImpatientAlpaca
    credentials: ClassVar = {"alpaca": Credentials({"api_key": API_KEY, "secret": SECRET})}
    start_ms = MONDAY_MS
    disturbances = 8
    hours: ClassVar[Hours]

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.clock.short_s = PATIENT_S
        holes = (self.holes, [self.outage], [self.outage])
        self._securities = {
            key: ScriptedSecurity(key.symbol, self._truth(number, part), self.hours, self._now_ms)
            for number, (key, part) in enumerate(zip(self.keys, holes, strict=True), 1)
        }
        self.alpaca = self.venue = AlpacaVenue(
            listed=tuple(self._securities.values()),
            clock=self.clock,
            requests_per_minute=QUOTA,
            live=False,
            page_limit=ROWS,
        )

    def _now_ms(self) -> int:
        return self.alpaca.now_ms()

    def _truth(self, number: int, holes: Sequence[Hole]) -> Bars:
        return generate_minutes(
            self.seed * 10 + number,
            self.start_ms,
            DAYS * 1_440,
            price=200.0 * number,
            quiet=0.05 * number,
            holes=holes,
        )

    def minutes(self, key: InstrumentKey) -> Bars:
        return self._securities[key].truth

    def bars_of(self, key: InstrumentKey, timeframe: Timeframe) -> Bars:
        return self._securities[key].all_bars(timeframe)

    def made_of(self, minutes: Bars, timeframe: Timeframe) -> Bars:
        return self.hours.bars(minutes, timeframe)

    def revise_minute(self, key: InstrumentKey, row: BarRow) -> None:
        self._securities[key].revise(row)

    def disturb(self, number: int) -> None:
        match number:
            case 5:
                self.alpaca.spent_by_others = QUOTA - self.chance.choice((0, 3))
            case 6:
                self.alpaca.faults.wrong_clock(self.chance.choice((-WRONG_MS, WRONG_MS)))
            case 7:
                self.alpaca.faults.hang(self.bars_path)
            case _:
                super().disturb(number)


class PairWorld(AlpacaWorld):
    """Crypto, which never closes."""

    main = InstrumentKey("crypto", "alpaca", "BTC/USD")
    second = InstrumentKey("crypto", "alpaca", "ETH/USD")
    keys = (main, second, InstrumentKey("crypto", "alpaca", "XRP/USD"))
    bars_path = "/v1beta3/crypto/us/bars"
    first_now_ms = MONDAY_MS + 20 * DAY_MS + 7 * HOUR_MS + 11 * MINUTE_MS + 5_000
    hours = Hours()


class StockWorld(AlpacaWorld):
    """Stocks: in sessions nearly every minute has a trade, in the hours around them some have."""

    main = InstrumentKey("stocks", "alpaca", "AAPL")
    second = InstrumentKey("stocks", "alpaca", "IBM")
    keys = (main, second, InstrumentKey("stocks", "alpaca", "SPY"))
    bars_path = "/v2/stocks/bars"
    plugin = _StocksPlugin
    hours = Hours(SESSIONS)

    def __init__(self, seed: int) -> None:
        self.first_now_ms = MONDAY_MS + STOCK_BEGINNINGS_MS[seed % len(STOCK_BEGINNINGS_MS)]
        super().__init__(seed)

    def _truth(self, number: int, holes: Sequence[Hole]) -> Bars:
        minutes = super()._truth(number, holes)
        some = np.random.default_rng([self.seed, number]).random(len(minutes)) < EXTENDED_SHARES[number - 1]
        regular = self.hours.regular(minutes.time)
        minutes = minutes.take(regular | (some & self.hours.extended(minutes.time)))
        shares = np.ceil(minutes.volume * 10)
        return Bars(minutes.time, minutes.open, minutes.high, minutes.low, minutes.close, shares)

    def forms(self, key: InstrumentKey, timeframe: Timeframe) -> list[Bars]:
        """Days that were made of minutes have the volume of the sessions alone."""
        forms = self.truths(key, timeframe)
        if timeframe.length_ms >= DAY_MS:
            sources = [self.minutes(key), *(() if key not in self._before else (self._before[key],))]
            forms += [self.hours.bars_of_sessions(minutes, timeframe) for minutes in sources]
        return forms

    def open(self, start_ms: int, end_ms: int) -> IntervalSet:
        return IntervalSet.of((one.opens_ms, one.closes_ms) for one in SESSIONS).clip(start_ms, end_ms)

    def traded(self, intervals: IntervalSet) -> IntervalSet:
        hours = ((one.opens_ms - BEFORE_MS, one.closes_ms + AFTER_MS) for one in SESSIONS)
        return intervals.intersect(IntervalSet.of(hours))

    def opening(self, timeframe: Timeframe, time_ms: int) -> int:
        return int(self.hours.openings(np.array([time_ms], dtype=np.int64), timeframe)[0])

    def whole(self, minutes: IntervalSet, timeframe: Timeframe, now_ms: int) -> IntervalSet:
        """Closed time is known to everybody, and alone is no bar; not everybody knows since when there is
        one."""
        minutes = minutes.clip(self.start_ms, timeframe.floor(now_ms))
        if not minutes:
            return minutes
        start, end = self.start_ms, timeframe.floor(now_ms)
        all_of_it = IntervalSet.single(start, end)
        by_session = timeframe.length_ms >= DAY_MS
        needed = self.open(start, end) if by_session else self.traded(all_of_it)
        whole = whole_bars(minutes.union(all_of_it.subtract(needed)), timeframe)
        return whole.intersect(
            IntervalSet.of((timeframe.floor(first), timeframe.ceil(last)) for first, last in minutes)
        )

    def final_ms(self, timeframe: Timeframe, settled_ms: int) -> int:
        """The volume of a day grows as long as its stock is traded."""
        if timeframe.length_ms >= DAY_MS:
            for one in SESSIONS:
                if one.date_ms + DAY_MS <= settled_ms < one.closes_ms + AFTER_MS:
                    return one.date_ms + DAY_MS - 1
        return settled_ms

    def look_back(self, timeframe: Timeframe, end_ms: int, bars: int) -> int:
        if timeframe.length_ms > DAY_MS:
            return timeframe.shift(end_ms, -bars)
        if timeframe is ONE_DAY:
            return timeframe.shift(end_ms, -int(bars * SESSION_DAY_FACTOR) - 7)
        left_ms = bars * timeframe.length_ms
        for start, end in reversed(self.open(self.start_ms, end_ms).items):
            if end - start >= left_ms:
                return timeframe.floor(end - left_ms)
            left_ms -= end - start
        return 0
