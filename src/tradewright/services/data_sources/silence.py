"""What it means that a venue answers with nothing: an outage, or a time without a trade."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from tradewright.domain.instruments import Instrument, InstrumentKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import BarStore, Coverage
from tradewright.domain.timeframes import DAY_MS, MINUTE_MS, ONE_HOUR, ONE_MINUTE
from tradewright.plugins.base import MarketPlugin
from tradewright.runtime.clock import Clock
from tradewright.services.data_sources.base import BarRequest
from tradewright.services.market_service import MarketService

SECOND_LOOK_MS: Final = 10 * MINUTE_MS
"""How long after a first empty answer a second one counts."""
OTHERS_IN_STORE_MAX: Final = 20
OTHERS_ASKED_MAX: Final = 3
_MUCH_TRADED: Final = ("BTC", "XBT", "ETH", "SPY", "AAPL")


class SilenceJudge:
    """Decides, at a second empty answer at least ten minutes after the first, what the silence was:
    an outage where all other symbols of the venue were silent too, else a time without a trade."""

    def __init__(
        self,
        markets: MarketService,
        store: BarStore,
        clock: Clock,
        listed_since: Callable[[BarRequest], Awaitable[int | None]],
    ) -> None:
        self._markets = markets
        self._store = store
        self._clock = clock
        self._listed_since = listed_since

    def now_ms(self) -> int:
        """The time under which an empty answer is noted."""
        return self._clock.now_ms()

    async def too_early(self, request: BarRequest) -> IntervalSet:
        """Where a first empty answer came so recently that asking again would prove nothing."""
        if not request.wanted:
            return NO_INTERVALS
        oldest_ms = self.now_ms() - SECOND_LOOK_MS
        noted = await self._store.empty_answers(request.key, *request.hull)
        return IntervalSet.of((each.start, each.end) for each in noted if each.answered_ms > oldest_ms)

    async def judge(
        self, plugin: MarketPlugin, calls: asyncio.Semaphore, request: BarRequest, silent: IntervalSet
    ) -> Coverage:
        """What is now known of ``silent``, for which the venue has just answered nothing again; nothing
        where this was the first time. Raises ``PluginError`` and ``TimeoutError`` where the venue's other
        symbols could not be asked."""
        if not silent:
            return Coverage()
        oldest_ms = self.now_ms() - SECOND_LOOK_MS
        start, end = silent.items[0].start, silent.items[-1].end
        noted = await self._store.empty_answers(request.key, start, end)
        again = IntervalSet.of((each.start, each.end) for each in noted if each.answered_ms <= oldest_ms)
        if not again.intersect(silent):
            return Coverage()
        again = again.intersect(silent).clip(await self._traded_since(request, end), end)
        expected = again.intersect(request.open_intervals(start, end))
        complete, outage = again.subtract(expected), NO_INTERVALS
        for interval in expected:
            part = IntervalSet((interval,))
            if await self._all_others_were_silent(plugin, calls, request, *interval):
                outage = outage.union(part)
            else:
                complete = complete.union(part)
        return Coverage(complete, outage)

    async def _traded_since(self, request: BarRequest, end: int) -> int:
        """Before it was listed an instrument was not silent; where nobody knows when that was, what is
        stored tells that it was there. ``end`` where nothing tells."""
        stored = [await self._store.extent(key) for key in await self._store.series(request.instrument)]
        beginnings = [extent[0] for extent in stored if extent is not None]
        listed = await self._listed_since(request)
        if listed is not None:
            beginnings.append(listed)
        return min(beginnings, default=end)

    async def _all_others_were_silent(
        self, plugin: MarketPlugin, calls: asyncio.Semaphore, request: BarRequest, start: int, end: int
    ) -> bool:
        stored = await self._others_in_store(request.instrument)
        for other in stored:
            if await self._has_bars(other, start, end):
                return False
        others = await self._others_to_ask(request.instrument, {other.symbol for other in stored})
        for symbol in others:
            async with asyncio.timeout_at(request.budget.deadline_s), calls:
                page = await plugin.fetch_ohlcv(
                    symbol, request.timeframe, start_ms=start, end_ms=end, limit=1
                )
            if len(page.between(start, end)):
                return False
        return bool(others)  # a venue of one symbol has nobody to compare it with

    async def _has_bars(self, other: InstrumentKey, start: int, end: int) -> bool:
        """Whether anything of it is stored there; hours tell of a long stretch at the cost of few rows."""
        if end - start > DAY_MS:
            hours = await self._store.read_resampled(
                other, ONE_HOUR, ONE_HOUR.ceil(start), ONE_HOUR.floor(end)
            )
            return len(hours) > 0
        return len(await self._store.read(other.series(ONE_MINUTE), start, end)) > 0

    async def _others_in_store(self, key: InstrumentKey) -> tuple[InstrumentKey, ...]:
        before_all = InstrumentKey(key.market, key.provider, "")
        found = await self._store.stored_instruments(after=before_all, limit=OTHERS_IN_STORE_MAX)
        here = (key.market, key.provider)
        return tuple(each for each in found if each != key and (each.market, each.provider) == here)

    async def _others_to_ask(self, key: InstrumentKey, stored: set[str]) -> list[str]:
        """The symbols that are most likely to be traded at any time."""

        def rank(each: Instrument) -> tuple[int, bool, bool, str]:
            traded = _MUCH_TRADED.index(each.base) if each.base in _MUCH_TRADED else len(_MUCH_TRADED)
            return traded, each.symbol not in stored, each.type != "spot", each.symbol

        listed = await self._markets.known_instruments(key.market, key.provider)
        others = [each for each in listed if each.active and each.symbol != key.symbol]
        return [each.symbol for each in sorted(others, key=rank)[:OTHERS_ASKED_MAX]]
