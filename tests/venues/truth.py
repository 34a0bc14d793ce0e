"""What an emulated market knows: its minutes, for good, and what of them has happened by now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import numpy as np

from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import MINUTE_MS, ONE_MINUTE, Timeframe, Times

DAY_MS: Final = 86_400_000
PRINTS_MS: Final = (0, 15_000, 30_000, 45_000)
"""When within a minute its four trades happen: at its open, its extremes and its close."""


@dataclass(frozen=True, slots=True)
class Candle:
    """One candle as a venue would answer it now; `closed` is what it says of it."""

    open_ms: int
    end_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    closed: bool = True

    @property
    def average(self) -> float:
        """A price in the middle, for the columns that venues add."""
        return (self.open + self.high + self.low + self.close) / 4


@dataclass(frozen=True, slots=True)
class Print:
    """One trade; ids count on over all minutes."""

    id: int
    time_ms: int
    price: float
    amount: float
    side: str


class Series:
    """The candles of one timeframe, all of time, and the text of each in a venue's form once asked for."""

    def __init__(self, timeframe: Timeframe, bars: Bars) -> None:
        self.timeframe = timeframe
        self.bars = bars
        self.ends: Times = (
            bars.time + timeframe.length_ms
            if timeframe.unit == "fixed"
            else np.array([timeframe.end(opened) for opened in bars.time.tolist()], dtype=np.int64)
        )
        self._texts: list[bytes | None] = [None] * len(bars)

    def candle(self, index: int) -> Candle:
        """The closed candle."""
        ((time, *values),) = self.bars[index : index + 1].rows()
        opened, high, low, close, volume = values
        return Candle(time, int(self.ends[index]), opened, high, low, close, volume)

    def texts(self, first: int, last: int, write: Callable[[Candle], bytes]) -> list[bytes]:
        """The closed candles `[first, last)` as that venue writes them; each is written once."""
        found: list[bytes] = []
        for index in range(first, last):
            text = self._texts[index]
            if text is None:
                text = self._texts[index] = write(self.candle(index))
            found.append(text)
        return found


class Market:
    """One symbol. `minutes` is the whole truth, the future too; nothing of the future is ever told.

    A minute that is missing had no trade. Candles of other timeframes are made of the minutes. The
    forming candle consists of the trades that have happened: four in each minute, and none in one
    whose volume is zero.
    """

    def __init__(
        self, base: str, quote: str, minutes: Bars, *, price_decimals: int = 2, amount_decimals: int = 8
    ) -> None:
        self.base = base
        self.quote = quote
        self.price_decimals = price_decimals
        self.amount_decimals = amount_decimals
        self._minutes = minutes
        self._series: dict[Timeframe, Series] = {}

    @property
    def symbol(self) -> str:
        """The unified symbol."""
        return f"{self.base}/{self.quote}"

    @property
    def minutes(self) -> Bars:
        """The truth."""
        return self._minutes

    def revise(self, row: BarRow) -> None:
        """The venue corrects a minute: from now on this is the truth."""
        self._minutes = self._minutes.merged_with(Bars.from_rows([row]))
        self._series.clear()

    def series(self, timeframe: Timeframe) -> Series:
        """The candles of a timeframe."""
        if timeframe not in self._series:
            self._series[timeframe] = Series(timeframe, resample(self._minutes, timeframe))
        return self._series[timeframe]

    def closed(self, timeframe: Timeframe, now_ms: int) -> int:
        """How many candles of the timeframe have ended."""
        return int(np.searchsorted(self.series(timeframe).ends, now_ms, "right"))

    def forming(self, timeframe: Timeframe, now_ms: int) -> Candle | None:
        """The candle that has begun and not ended; None where nothing was traded in it yet."""
        opened = timeframe.floor(now_ms)
        now_minute = ONE_MINUTE.floor(now_ms)
        whole = resample(self._minutes.between(opened, now_minute), timeframe).rows()
        newest = self._minutes.between(now_minute, now_minute + 1).rows()
        parts = [Candle(row[0], 0, *row[1:]) for row in whole]
        parts += [_partial(row, now_ms) for row in newest]
        if not parts:
            return None
        return Candle(
            opened,
            timeframe.end(opened),
            parts[0].open,
            max(part.high for part in parts),
            min(part.low for part in parts),
            parts[-1].close,
            sum(part.volume for part in parts),
            closed=False,
        )

    def last_price(self, now_ms: int) -> float:
        """The newest price; the first one of all where nothing has happened yet."""
        found = self.prints(now_ms, 1)
        return found[-1].price if found else float(self._minutes.open[0])

    def prints(self, now_ms: int, limit: int) -> list[Print]:
        """The newest trades, the newest last."""
        return list(islice(self._prints_backwards(now_ms), limit))[::-1]

    def _prints_backwards(self, now_ms: int) -> Iterator[Print]:
        last = int(np.searchsorted(self._minutes.time, now_ms, "right"))
        for index in range(last - 1, -1, -1):
            (row,) = self._minutes[index : index + 1].rows()
            yield from (one for one in reversed(_prints(row)) if one.time_ms <= now_ms)

    def day(self, now_ms: int) -> Candle:
        """The last 24 hours as one candle."""
        minute = ONE_MINUTE.floor(now_ms)
        rows = resample(self._minutes.between(minute - DAY_MS + MINUTE_MS, minute), ONE_MINUTE)
        last = self.last_price(now_ms)
        if not len(rows):
            return Candle(now_ms - DAY_MS, now_ms, last, last, last, last, 0.0)
        high, low = max(float(rows.high.max()), last), min(float(rows.low.min()), last)
        return Candle(now_ms - DAY_MS, now_ms, float(rows.open[0]), high, low, last, float(rows.volume.sum()))

    def book(self, now_ms: int, depth: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """Bids and asks around the newest price, a tick apart."""
        tick, last = 10.0**-self.price_decimals, self.last_price(now_ms)
        levels = range(1, depth + 1)
        bids = [(round(last - n * tick, self.price_decimals), 0.5 + n / 100) for n in levels]
        asks = [(round(last + n * tick, self.price_decimals), 0.5 + n / 100) for n in levels]
        return [one for one in bids if one[0] > 0], asks


def _prints(row: BarRow) -> Sequence[Print]:
    time_ms, opened, high, low, close, volume = row
    if volume <= 0:
        return ()
    extremes = (high, low) if close < opened else (low, high)
    quarter = round(volume / 4, 8)
    amounts = (quarter, quarter, quarter, volume - 3 * quarter)
    return [
        Print(time_ms // MINUTE_MS * 4 + number, time_ms + at, price, amount, "buy" if number % 2 else "sell")
        for number, (at, price, amount) in enumerate(
            zip(PRINTS_MS, (opened, *extremes, close), amounts, strict=True)
        )
    ]


def _partial(row: BarRow, now_ms: int) -> Candle:
    """What a minute is by now."""
    opened = Candle(row[0], row[0] + MINUTE_MS, row[1], row[1], row[1], row[1], 0.0, closed=False)
    happened = [one for one in _prints(row) if one.time_ms <= now_ms]
    if len(happened) == len(PRINTS_MS):
        return Candle(row[0], row[0] + MINUTE_MS, *row[1:], closed=False)
    prices = [one.price for one in happened] or [row[1]]
    return replace(
        opened,
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        volume=sum(one.amount for one in happened),
    )
