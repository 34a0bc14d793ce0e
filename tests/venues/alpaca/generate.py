"""Makes securities with a past, and goes on trading them, from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Final

from tests.venues.alpaca.securities import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    NEW_YORK,
    Bar,
    Print,
    Security,
    SplitAction,
    session_date,
)
from tradewright.domain.intervals import IntervalSet
from tradewright.runtime.calendars import SessionCalendar, load_session_calendar

LISTED: Final = (  # symbol, name, price in cents
    ("AAPL", "Apple Inc.", 21_000),
    ("IBM", "International Business Machines", 19_000),
    ("SPLT", "Splitting Company", 40_000),
    ("BTC/USD", "Bitcoin", 6_000_000),
    ("ETH/USD", "Ethereum", 250_000),
)
LEVELS: Final = 30
_EXTENDED_SHARE: Final = 0.15
_BEFORE_MS: Final = 5 * HOUR_MS + 30 * MINUTE_MS
_AFTER_MS: Final = 4 * HOUR_MS


class Sessions:
    """When stocks are traded: regular sessions, and the hours before and after."""

    def __init__(self, calendar: SessionCalendar) -> None:
        self._calendar = calendar

    def regular(self, start_ms: int, end_ms: int) -> IntervalSet:
        """The regular sessions."""
        return self._calendar.open_intervals(start_ms, end_ms)

    def share(self, at_ms: int) -> float:
        """How much of the regular trading goes on: all, some in extended hours, or none."""
        if self.regular(at_ms, at_ms + 1):
            return 1.0
        around = self.regular(at_ms - _AFTER_MS, at_ms + _BEFORE_MS)
        return _EXTENDED_SHARE if around else 0.0


@lru_cache(maxsize=4)
def sessions_around(day: int) -> Sessions:
    """The sessions as they are known on that day since the epoch."""
    return Sessions(load_session_calendar("XNYS", day * DAY_MS))


def securities(seed: int, now_ms: int, days: int, sessions: Sessions) -> list[Security]:
    """All of them, with minutes of the last `days` days up to now."""
    return [_copy(security) for security in _made(seed, now_ms, days, sessions)]


@lru_cache(maxsize=4)
def _made(seed: int, now_ms: int, days: int, sessions: Sessions) -> tuple[Security, ...]:
    start_ms = now_ms // DAY_MS * DAY_MS - days * DAY_MS
    found = tuple(Security(symbol, name) for symbol, name, _ in LISTED)
    for security, (_, _, cents) in zip(found, LISTED, strict=True):
        chance = random.Random(f"{seed} {security.symbol}")
        if security.symbol == "SPLT":
            dates = _session_dates(sessions, start_ms, now_ms)
            security.splits += [SplitAction(date, 4, 1) for date in dates[-3:-2]]
        security.minutes = list(_minutes(security, cents, chance, start_ms, now_ms, sessions))
    return found


def _copy(made: Security) -> Security:
    minutes = [Bar(one.t, one.o, one.h, one.l, one.c, one.v, one.n) for one in made.minutes]
    return Security(made.symbol, made.name, minutes, splits=list(made.splits))


def _session_dates(sessions: Sessions, start_ms: int, now_ms: int) -> list[str]:
    opens = [opened for opened, _ in sessions.regular(start_ms, now_ms)]
    return [datetime.fromtimestamp(opened / 1000, NEW_YORK).strftime("%Y-%m-%d") for opened in opens]


def _minutes(
    security: Security, cents: int, chance: random.Random, start_ms: int, now_ms: int, sessions: Sessions
) -> Iterator[Bar]:
    split = {action.date for action in security.splits}
    before = session_date(start_ms)
    for at in _trading_minutes(security, chance, start_ms, now_ms, sessions):
        date = session_date(at)
        if split and date != before and date.strftime("%Y-%m-%d") in split:
            cents //= 4
        before = date
        opened = max(100, cents + chance.randrange(-4, 5))
        closed = max(100, opened + chance.randrange(-9, 10))
        high, low = max(opened, closed) + chance.randrange(5), min(opened, closed) - chance.randrange(5)
        volume = chance.randrange(100, 9_000) if security.stock else chance.randrange(1, 10**8) / 10**7
        yield Bar(
            at, opened / 100, high / 100, max(low, 1) / 100, closed / 100, volume, chance.randrange(1, 90)
        )
        cents = closed


def _trading_minutes(
    security: Security, chance: random.Random, start_ms: int, now_ms: int, sessions: Sessions
) -> Iterator[int]:
    last_ms = now_ms // MINUTE_MS * MINUTE_MS
    if not security.stock:
        yield from range(start_ms, last_ms, MINUTE_MS)
        return
    for opens, closes in sessions.regular(start_ms, now_ms + DAY_MS):
        for at in range(opens - _BEFORE_MS, closes + _AFTER_MS, MINUTE_MS):
            share = 0.99 if opens <= at < closes else _EXTENDED_SHARE
            if at < last_ms and chance.random() < share:
                yield at


class Walk:
    """One security's trading from now on."""

    def __init__(self, security: Security, seed: int) -> None:
        self.security = security
        self._chance = random.Random(f"{seed} {security.symbol} live")
        self._cents = round(security.last * 100)
        self._id = self._chance.randrange(10**6, 10**7)
        self._quote(0)

    def step(self, now_ms: int, share: float) -> list[Print]:
        """What is traded in a quarter of a second; the quote and the book move along."""
        chance = self._chance
        self._cents = max(100, self._cents + chance.choice((-2, -1, 0, 0, 0, 1, 2)))
        self._quote(now_ms)
        prints = []
        for _ in range(chance.choice((0, 1, 2)) if chance.random() < share else 0):
            self._id += 1
            buys = chance.random() < 0.5
            price = (self._cents + (1 if buys else -1)) / 100
            size = chance.randrange(1, 500) if self.security.stock else chance.randrange(1, 10**7) / 10**8
            conditions = ("@", "I") if self.security.stock and size < 100 else ("@",)
            trade = Print(self._id, now_ms, price, size, "B" if buys else "S", conditions)
            self.security.add(trade)
            prints.append(trade)
        return prints

    def late(self, minute: Bar) -> bool:
        """Whether a trade of that minute is reported late, which changes it."""
        if self._chance.random() < 0.5:
            return False
        minute.v += 1
        minute.n += 1
        return True

    def _quote(self, now_ms: int) -> None:
        one, chance = self.security, self._chance
        bid, ask = self._cents - 1, self._cents + 1
        unit = 1 if one.stock else 10**5
        sizes = [chance.randrange(1, 900) / unit for _ in range(2 * LEVELS)]
        one.bid, one.ask, one.quoted_ms = (bid / 100, sizes[0]), (ask / 100, sizes[LEVELS]), now_ms
        if not one.stock:
            one.bids = {(bid - gap) / 100: sizes[gap] for gap in range(LEVELS)}
            one.asks = {(ask + gap) / 100: sizes[LEVELS + gap] for gap in range(LEVELS)}
