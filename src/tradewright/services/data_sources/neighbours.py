"""What the other symbols of a venue tell of a time: were they traded, or silent as well?"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from tradewright.domain.bars import unknown_in
from tradewright.domain.errors import CredentialsRequired, PluginError, UnknownSymbol
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import BarStore
from tradewright.domain.timeframes import DAY_MS, ONE_HOUR, ONE_MINUTE
from tradewright.runtime.clock import Clock
from tradewright.services.data_sources.base import BarRequest
from tradewright.services.data_sources.door import Caller
from tradewright.services.market_service import MarketService

STORED_MAX: Final = 20
ASKED_MAX: Final = 3
"""So many symbols have to be silent as well before a silence is an outage."""
RANKING_LIFETIME_S: Final = 24 * 3600.0
RANKING_RETRY_S: Final = 3600.0
HEARD_LIFETIME_S: Final = 3600.0
HEARD_MAX: Final = 256
_TIMES_MAX: Final = 256
_RANKINGS_MAX: Final = 256


@dataclass(slots=True)
class _Heard:
    """What one symbol answered lately: openings of bars that it has, and stretches without any."""

    traded: deque[int] = field(default_factory=lambda: deque(maxlen=_TIMES_MAX))
    silent: IntervalSet = NO_INTERVALS
    silent_until_s: float = 0.0


class _Ranking(NamedTuple):
    symbols: Sequence[str]
    until_s: float


class Neighbours:
    """Compares a silent symbol with the others of its venue, at the price of as few calls as can be.

    "All others" are in practice: up to ``STORED_MAX`` symbols that are stored, which costs no call; then up
    to ``ASKED_MAX`` that are most traded of the same kind (spot, swap, stock), by the venue's own figures of
    the last day; where the venue does not tell those, stored ones first, then in the order of the listing.
    One bar of one of them ends the comparison, so that only an outage costs more than one call. What a
    symbol answered is remembered for an hour, so that the silence of many is found out once.

    That is evidence and no proof: at a small venue the few that are asked may happen to rest together.
    """

    def __init__(self, markets: MarketService, store: BarStore, clock: Clock) -> None:
        self._markets = markets
        self._store = store
        self._clock = clock
        self._heard: OrderedDict[SeriesKey, _Heard] = OrderedDict()
        self._rankings: OrderedDict[tuple[str, str], _Ranking] = OrderedDict()

    async def were_silent(self, caller: Caller, request: BarRequest, start: int, end: int) -> bool | None:
        """Whether all others were silent in ``[start, end)``; None where there is nobody to compare with.
        Raises ``PluginError``, ``DoorClosed`` and ``TimeoutError`` where they could not be asked."""
        stored = await self._stored(request.instrument)
        for other in stored:
            if await self._has_bars(other, start, end):
                return False
        others = await self._to_ask(caller, request, {other.symbol for other in stored})
        silent = False
        for symbol in others:
            traded = await self._traded(caller, request, symbol, start, end)
            if traded:
                return False
            silent = silent or traded is False
        return silent or None

    async def _stored(self, key: InstrumentKey) -> tuple[InstrumentKey, ...]:
        before_all = InstrumentKey(key.market, key.provider, "")
        found = await self._store.stored_instruments(after=before_all, limit=STORED_MAX)
        here = (key.market, key.provider)
        return tuple(each for each in found if each != key and (each.market, each.provider) == here)

    async def _has_bars(self, other: InstrumentKey, start: int, end: int) -> bool:
        """Whether anything of it is stored there; hours tell of a long stretch at the cost of few rows."""
        if end - start > DAY_MS:
            hours = await self._store.read_resampled(
                other, ONE_HOUR, ONE_HOUR.ceil(start), ONE_HOUR.floor(end)
            )
            return len(hours) > 0
        return len(await self._store.read(other.series(ONE_MINUTE), start, end)) > 0

    # Whom to ask

    async def _to_ask(self, caller: Caller, request: BarRequest, stored: set[str]) -> list[str]:
        key = request.instrument
        listed = await self._markets.known_instruments(key.market, key.provider)
        kind = next((each.type for each in listed if each.symbol == key.symbol), "spot")
        others = [each for each in listed if each.active and each.symbol != key.symbol]
        alike = {each.symbol for each in others if each.type == kind}
        if len(others) > 1:
            ranking = await self._ranking(caller, request)
            most_traded = [symbol for symbol in ranking if symbol in alike][:ASKED_MAX]
            if most_traded:
                return most_traded
        others.sort(key=lambda each: (each.symbol not in stored, each.symbol not in alike))
        return [each.symbol for each in others[:ASKED_MAX]]

    async def _ranking(self, caller: Caller, request: BarRequest) -> Sequence[str]:
        """The venue's symbols, the most traded first; none where it does not tell."""
        place = request.instrument.market, request.instrument.provider
        known = self._rankings.get(place)
        if known is not None and self._clock.monotonic() < known.until_s:
            return known.symbols
        symbols: Sequence[str] = ()
        ask = caller.plugin.fetch_most_traded
        # Without it the next ones in line are asked, and tell if the venue can't be reached.
        with suppress(PluginError, CredentialsRequired, TimeoutError):
            symbols = await caller.ask(ask, request.budget.deadline_s, proves=False)
        lifetime_s = RANKING_LIFETIME_S if symbols else RANKING_RETRY_S
        self._rankings[place] = _Ranking(symbols, self._clock.monotonic() + lifetime_s)
        while len(self._rankings) > _RANKINGS_MAX:
            self._rankings.popitem(last=False)
        return symbols

    # What it said

    async def _traded(
        self, caller: Caller, request: BarRequest, symbol: str, start: int, end: int
    ) -> bool | None:
        """Whether there is a bar of it; None where the venue does not tell."""
        instrument = InstrumentKey(request.instrument.market, request.instrument.provider, symbol)
        heard = self._heard_of(instrument.series(request.timeframe))
        if any(start <= time < end for time in heard.traded):
            return True
        if heard.silent.contains(start, end):
            return False
        ask = partial(
            caller.plugin.fetch_ohlcv, symbol, request.timeframe, start_ms=start, end_ms=end, limit=1
        )
        try:
            answer = await caller.ask(ask, request.budget.deadline_s)
        except UnknownSymbol:  # delisted since the venue's symbols were read
            return None
        page = answer.between(start, end)
        if len(page):
            heard.traded.append(int(page.time[0]))
            return True
        if unknown_in(answer).clip(start, end):
            return None
        if len(heard.silent.items) >= _TIMES_MAX:
            heard.silent = NO_INTERVALS
        heard.silent = heard.silent.union(IntervalSet.single(start, end))
        return False

    def _heard_of(self, key: SeriesKey) -> _Heard:
        heard = self._heard.setdefault(key, _Heard())
        self._heard.move_to_end(key)
        while len(self._heard) > HEARD_MAX:
            self._heard.popitem(last=False)
        now_s = self._clock.monotonic()
        if now_s >= heard.silent_until_s:
            heard.silent, heard.silent_until_s = NO_INTERVALS, now_s + HEARD_LIFETIME_S
        return heard
