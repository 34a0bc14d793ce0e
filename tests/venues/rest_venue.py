"""What emulated venues of candles share: markets on a clock, pages with faults, counted requests.

A venue names its paths in `routes` and writes its own shapes; times, selection and faults are here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Final, Self, TypeAlias

import msgspec
import numpy as np
from aiohttp import web

from tests.venues.candle_faults import CandleFaults, Page
from tests.venues.faults import Rule
from tests.venues.server import Handler, LocalServer
from tests.venues.time import VenueTime
from tests.venues.truth import Candle, Market
from tradewright.domain.timeframes import Timeframe
from tradewright.runtime.clock import Clock, SystemClock

Query: TypeAlias = Mapping[str, str]
Answer: TypeAlias = Callable[[Query], bytes]

REMEMBERED: Final = 10_000
_BEYOND: Final = 3
"""How many candles a page that overlaps reaches beyond what was asked."""


class Refusal(Exception):
    """The venue's own words for a request that it does not take."""

    def __init__(self, body: object, status: int = 200) -> None:
        super().__init__(str(body))
        self.body = body
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request that reached the venue: its path, its arguments, and when it came."""

    path: str
    arguments: Mapping[str, str]
    at_ms: int


class RestVenue(LocalServer):
    """A venue that tells of its `markets` what has happened until now on the `clock`.

    Use it by `async with`; `provider_options()` is what an operator writes to reach it.
    """

    provider: ClassVar[str]
    maintenance_words: ClassVar[tuple[int, str]] = (503, "Service Unavailable")
    """Status and body with which the venue refuses everything while it is being worked on."""
    too_many_words: ClassVar[tuple[int, str]] = (429, "Too Many Requests")
    """Status and body with which it refuses who asks too often."""

    def __init__(self, markets: Sequence[Market], *, clock: Clock | None = None, port: int = 0) -> None:
        super().__init__(port)
        self.markets = {market.symbol: market for market in markets}
        self.time = VenueTime(clock or SystemClock())
        self.candle_faults = CandleFaults(self.time.now_ms)
        self.counts: Counter[str] = Counter()
        self.log: deque[Request] = deque(maxlen=REMEMBERED)

    async def __aenter__(self) -> Self:
        await self.open(self._add_routes)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.shut()

    # what a venue says

    @abstractmethod
    def routes(self) -> Mapping[str, Answer]:
        """The answer to each path."""

    @abstractmethod
    def provider_options(self) -> dict[str, Any]:
        """What an operator writes under `[providers.<id>]` to reach this server."""

    def provider_toml(self) -> str:
        """The same as text of a configuration file."""
        return "\n".join(_toml(f"providers.{self.provider}", self.provider_options()))

    # what tests look at

    def requests(self, path: str) -> list[Request]:
        """The requests that the venue itself answered whose path ends so, the newest last."""
        return [one for one in self.log if one.path.endswith(path)]

    def maintenance(self, *, from_ms: int | None = None, until_ms: int | None = None) -> Rule:
        """Refuse every request between two times of the venue, in its own words."""
        status, body = self.maintenance_words
        return self.faults.maintenance(from_ms=from_ms, until_ms=until_ms, status=status, body=body)

    async def heal(self) -> None:
        """Behave from now on."""
        self.candle_faults.heal()
        await self.faults.heal()

    # what venues build their answers from

    def chosen(
        self,
        market: Market,
        timeframe: Timeframe,
        write: Callable[[Candle], bytes],
        *,
        first_ms: int | None = None,
        last_ms: int | None = None,
        limit: int,
        newest: bool = False,
        forming: bool = True,
    ) -> list[bytes]:
        """The candles that open in `[first_ms, last_ms]`, ascending: the earliest `limit` of them, or
        the newest; where only an end or nothing is said, always the newest."""
        now_ms = self.now_ms()
        series, closed = market.series(timeframe), market.closed(timeframe, now_ms)
        times = series.bars.time[:closed]
        first = 0 if first_ms is None else int(np.searchsorted(times, first_ms, "left"))
        last = closed if last_ms is None else int(np.searchsorted(times, last_ms, "right"))
        now = market.forming(timeframe, now_ms) if forming else None
        if now is not None and (
            (last_ms is not None and now.open_ms > last_ms)
            or (first_ms is not None and now.open_ms < first_ms)
        ):
            now = None
        if newest or first_ms is None:
            first = max(first, last - limit + (now is not None))
        elif last - first >= limit:
            last, now = first + limit, None
        if self.candle_faults.active:
            return [write(one) for one in self._broken(market, series.candle, first, last, closed, now)]
        found = series.texts(first, last, write)
        if now is not None:
            found.append(write(now))
        return found

    def _broken(
        self,
        market: Market,
        candle: Callable[[int], Candle],
        first: int,
        last: int,
        closed: int,
        now: Candle | None,
    ) -> list[Candle]:
        page = Page(
            market.symbol,
            [candle(index) for index in range(first, last)] + ([now] if now is not None else []),
            [candle(index) for index in range(max(0, first - _BEYOND), first)],
            [candle(index) for index in range(last, min(closed, last + _BEYOND))] if now is None else [],
        )
        return self.candle_faults.apply(page)

    # serving

    def _add_routes(self, app: web.Application) -> None:
        for path, answer in self.routes().items():
            app.router.add_get(path, self._handler(answer))

    def _handler(self, answer: Answer) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            path = request.path
            self.counts[path] += 1
            self.log.append(Request(path, dict(request.query), self.now_ms()))
            try:
                body, status = answer(request.query), 200
            except Refusal as refusal:
                body, status = msgspec.json.encode(refusal.body), refusal.status
            return web.Response(body=body, status=status, content_type="application/json")

        return handle


def joined(rows: Sequence[bytes]) -> bytes:
    """A JSON list of rows that are JSON already."""
    return b"[" + b",".join(rows) + b"]"


def plain(value: float) -> str:
    """A number as venues write it: exact, without an exponent."""
    return np.format_float_positional(value, trim="0")


def integer(query: Query, name: str, otherwise: int | None = None) -> int | None:
    """A whole number of the query; what is none counts as not said."""
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else otherwise


def _toml(name: str, table: Mapping[str, Any]) -> list[str]:
    lines = [f"[{name}]"]
    plain_values = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines += [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in plain_values.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines += _toml(f"{name}.{key}", value)
    return lines
