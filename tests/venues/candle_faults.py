"""What may be wrong in a page of candles, on command or by chance.

Of these faults, `HARMLESS` ones leave every true row in the page, so that a careful reader still finds
the truth; `LOSSY` ones keep something back or change it. Of those a reader can notice the `NOTICEABLE`
ones: `impossible` rows, and `nothing` at all. That comes once for each candle, and for each symbol and
timeframe within nine minutes, since a venue that gives nothing twice, ten minutes apart, is believed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from tests.venues.truth import Candle

Kind: TypeAlias = Literal[
    "overlap",
    "out_of_order",
    "duplicate",
    "off_grid",
    "unclosed_as_closed",
    "short",
    "missing",
    "revised",
    "nothing",
    "impossible",
]
HARMLESS: Final[tuple[Kind, ...]] = (
    "overlap",
    "out_of_order",
    "duplicate",
    "off_grid",
    "unclosed_as_closed",
    "short",
)
NOTICEABLE: Final[tuple[Kind, ...]] = ("nothing", "impossible")
LOSSY: Final[tuple[Kind, ...]] = ("missing", "revised", *NOTICEABLE)


_LIES_MS: Final = 540_000


@dataclass(frozen=True, slots=True)
class Page:
    """What a venue is about to answer: candles ascending in time, and a few from beyond either end."""

    symbol: str
    candles: list[Candle]
    before: list[Candle]
    after: list[Candle]


class CandleFaults:
    """Breaks pages of candles. `heal` ends it all; `broken` counts the pages that were broken."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._withheld: set[tuple[str, int, int]] = set()
        """Symbol, opening and end of the candles in whose place nothing came."""
        self._first_withheld: dict[tuple[str, int], int] = {}
        """Symbol and length of such candles, and when that happened first."""
        self._heal()

    def _heal(self) -> None:
        self._kinds: dict[Kind, int | None] = {}
        self._empty: set[str] = set()
        self._source = random.Random(0)
        self._rate = 1.0
        self.broken = 0

    def heal(self) -> None:
        """Answer right from now on."""
        self._heal()

    def do(self, kind: Kind, *, times: int | None = None) -> None:
        """Break pages that way, the next `times` of them or until healed."""
        self._kinds[kind] = times

    def random(self, seed: int, rate: float, kinds: Sequence[Kind] = HARMLESS) -> None:
        """Break that share of the pages, each in one way drawn from `kinds`."""
        self._source, self._rate = random.Random(seed), rate
        self._kinds = dict.fromkeys(kinds)

    def empty(self, symbol: str | None = None) -> None:
        """Give no candle at all of that symbol, or of any symbol (an outage), until healed."""
        self._empty.add(symbol or "*")

    @property
    def active(self) -> bool:
        """Whether a page may be broken now."""
        return bool(self._kinds or self._empty)

    def apply(self, page: Page) -> list[Candle]:
        """The candles to answer."""
        if self._empty & {page.symbol, "*"}:
            self.broken += 1
            return []
        if not self._kinds or self._source.random() >= self._rate:
            return page.candles
        kind = self._source.choice(list(self._kinds))
        left = self._kinds[kind]
        if left is not None:
            self._kinds[kind] = left - 1
            if left <= 1:
                del self._kinds[kind]
        if kind == "nothing":
            return self._nothing(page)
        self.broken += 1
        return _BREAK[kind](page, self._source)

    def _nothing(self, page: Page) -> list[Candle]:
        """An empty page in place of a whole one. A question for a candle or two is answered, and one that
        reaches up to now, since that nothing was traded lately is believed until it is asked for again."""
        candles = {(page.symbol, one.open_ms, one.end_ms) for one in page.candles}
        if len(candles) < 3 or not page.after or candles & self._withheld:
            return page.candles
        # A page that is empty may stand for all that follows, so its candles alone are not what it tells of.
        kind, now_ms = (page.symbol, page.candles[0].end_ms - page.candles[0].open_ms), self._now_ms()
        if abs(now_ms - self._first_withheld.setdefault(kind, now_ms)) > _LIES_MS:
            return page.candles
        self.broken += 1
        self._withheld |= candles
        return []


def _overlap(page: Page, _: random.Random) -> list[Candle]:
    return page.before + page.candles + page.after


def _out_of_order(page: Page, source: random.Random) -> list[Candle]:
    return source.sample(page.candles, len(page.candles))


def _duplicate(page: Page, source: random.Random) -> list[Candle]:
    again = [one for one in page.candles if source.random() < 0.3] or page.candles[:1]
    return sorted(page.candles + again, key=lambda one: one.open_ms)


def _off_grid(page: Page, source: random.Random) -> list[Candle]:
    """The newest candle a second time, stamped with the time of its last trade."""
    extra = [replace(one, open_ms=one.open_ms + source.randrange(1_000, 59_000)) for one in page.candles[-1:]]
    return page.candles + extra


def _unclosed_as_closed(page: Page, _: random.Random) -> list[Candle]:
    return [replace(one, closed=True) for one in page.candles]


def _short(page: Page, source: random.Random) -> list[Candle]:
    return page.candles[: source.randint(1, max(1, len(page.candles)))]


def _missing(page: Page, source: random.Random) -> list[Candle]:
    if len(page.candles) < 3:
        return page.candles
    first = source.randrange(1, len(page.candles) - 1)
    last = min(len(page.candles) - 1, first + source.randint(1, 5))
    return page.candles[:first] + page.candles[last:]


def _revised(page: Page, source: random.Random) -> list[Candle]:
    chosen = source.randrange(len(page.candles)) if page.candles else 0
    return [
        replace(one, volume=round(one.volume + 1, 8)) if index == chosen else one
        for index, one in enumerate(page.candles)
    ]


def _impossible(page: Page, source: random.Random) -> list[Candle]:
    """Some candles with a high below their low."""
    return [replace(one, high=one.low / 2) if source.random() < 0.05 else one for one in page.candles]


_BREAK: Final[Mapping[Kind, Callable[[Page, random.Random], list[Candle]]]] = {
    "overlap": _overlap,
    "out_of_order": _out_of_order,
    "duplicate": _duplicate,
    "off_grid": _off_grid,
    "unclosed_as_closed": _unclosed_as_closed,
    "short": _short,
    "missing": _missing,
    "revised": _revised,
    "impossible": _impossible,
}
