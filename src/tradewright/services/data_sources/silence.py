"""What it means that a venue answers with nothing: an outage, or a time without a trade."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from tradewright.domain.errors import CredentialsRequired, PluginError
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, Interval, IntervalSet
from tradewright.domain.ports import BarStore, Coverage
from tradewright.domain.timeframes import DAY_MS, MINUTE_MS, ONE_MINUTE, Timeframe
from tradewright.runtime.clock import Clock
from tradewright.services.data_sources.base import BarRequest
from tradewright.services.data_sources.door import Caller
from tradewright.services.data_sources.neighbours import Neighbours
from tradewright.services.market_service import MarketService

SECOND_LOOK_MS: Final = 10 * MINUTE_MS
"""How long after a first empty answer a second one counts."""
CLOCK_SET_MS: Final = MINUTE_MS
"""A wall clock that parts from monotonic time by more was set, or the machine slept."""
NOTED_MS_MAX: Final = 30 * DAY_MS
"""How far back the beginning of a noted silence is looked for."""


class SilenceJudge:
    """Decides, at a second empty answer at least ten minutes after the first, what the silence was: an outage
    where the others of the venue were silent too (see ``Neighbours``), else a time without a trade.

    A venue tells its status of now alone. So it is asked where there is nobody to compare with, and it counts
    for a silence that reaches up to the last ten minutes: one that goes on while the venue says that it is
    being worked on is an outage. Of a silence that has ended the status says nothing.
    """

    def __init__(
        self,
        markets: MarketService,
        store: BarStore,
        clock: Clock,
        listed_since: Callable[[BarRequest], Awaitable[int | None]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._listed_since = listed_since
        self._neighbours = Neighbours(markets, store, clock)
        self._seen = (clock.now_ms(), clock.monotonic())
        self._set_at_s = float("-inf")

    def now_ms(self) -> int:
        """The time under which an empty answer is noted."""
        return self._clock.now_ms()

    def _old_enough_ms(self) -> int:
        """The latest time of a first empty answer that a second one may follow now. What is stored has wall
        times: when our clock was set, they tell of nothing how long ago it was until ten minutes have gone by
        on a clock that can't be set."""
        (seen_ms, seen_s), (now_ms, now_s) = self._seen, (self._clock.now_ms(), self._clock.monotonic())
        if abs(now_ms - seen_ms - (now_s - seen_s) * 1000) > CLOCK_SET_MS:
            self._set_at_s = now_s
        self._seen = (now_ms, now_s)
        return now_ms - SECOND_LOOK_MS if (now_s - self._set_at_s) * 1000 >= SECOND_LOOK_MS else 0

    async def too_early(self, request: BarRequest) -> IntervalSet:
        """Where a first empty answer came so recently that asking again would prove nothing."""
        if not request.wanted:
            return NO_INTERVALS
        oldest_ms = self._old_enough_ms()
        noted = await self._store.empty_answers(request.key, *request.hull)
        return IntervalSet.of((each.start, each.end) for each in noted if each.answered_ms > oldest_ms)

    async def noted_before(self, request: BarRequest, start: int) -> int:
        """Where a silence begins that was noted long enough ago and ends at ``start``; ``start`` where there
        is none. A second look may begin there and cost no more."""
        oldest_ms = self._old_enough_ms()
        noted = await self._store.empty_answers(request.key, start - NOTED_MS_MAX, start)
        silent = IntervalSet.of((each.start, each.end) for each in noted if each.answered_ms <= oldest_ms)
        return silent.items[-1].start if silent and silent.items[-1].end == start else start

    async def judge(self, caller: Caller, request: BarRequest, silent: IntervalSet) -> Coverage:
        """What is now known of ``silent``, for which the venue has just answered nothing again; nothing
        where this was the first time. Raises ``PluginError``, ``DoorClosed`` and ``TimeoutError`` where the
        venue's other symbols could not be asked."""
        if not silent:
            return Coverage()
        oldest_ms = self._old_enough_ms()
        start, end = silent.items[0].start, silent.items[-1].end
        noted = await self._store.empty_answers(request.key, start, end)
        again = IntervalSet.of((each.start, each.end) for each in noted if each.answered_ms <= oldest_ms)
        again = again.intersect(silent)
        if not again:
            return Coverage()
        again = again.clip(await self._traded_since(request, again.items[0].start, end), end)
        expected = request.expected(start, end)
        complete, outage = again, NO_INTERVALS
        lasts = await self._lasts(request, end)
        for silence in again:
            # However many sessions it lasted: one question for all of them.
            part = expected.clip(*silence)
            if not part:
                continue
            hull = Interval(part.items[0].start, part.items[-1].end)
            if await self._was_outage(caller, request, hull, lasts=lasts):
                outage = outage.union(part)
                complete = complete.subtract(part)
        return Coverage(complete, outage)

    async def _traded_since(self, request: BarRequest, start: int, end: int) -> int:
        """Before it was listed an instrument was not silent. What is stored from before ``start`` tells that
        it was there, without a call; ``end`` where nothing tells."""
        first = end
        for key in await self._store.series(request.instrument):
            extent = await self._store.extent(key)
            if extent is not None:
                first = min(first, _traded_by(key, extent[0]))
        if first <= start:
            return first
        listed = await self._listed_since(request)
        return first if listed is None else min(first, listed)

    async def _lasts(self, request: BarRequest, end: int) -> bool:
        """Whether a silence up to ``end`` goes on: all that followed is an outage, or was empty as well."""
        last = last_silent_ms(request)
        if end >= last:
            return True
        outage = (await self._store.coverage(request.key, end, last)).outage
        noted = await self._store.empty_answers(request.key, end, last)
        return outage.union(IntervalSet.of((each.start, each.end) for each in noted)).contains(end, last)

    async def _was_outage(
        self, caller: Caller, request: BarRequest, silent: Interval, *, lasts: bool
    ) -> bool:
        all_silent = await self._neighbours.were_silent(caller, request, *silent)
        if all_silent is not None:
            return all_silent
        return lasts and await self._says_down(caller, request)

    @staticmethod
    async def _says_down(caller: Caller, request: BarRequest) -> bool:
        status = None
        with suppress(PluginError, CredentialsRequired):
            status = await caller.ask(caller.plugin.fetch_status, request.budget.deadline_s, proves=False)
        return status == "down"


def _traded_by(key: SeriesKey, opened: int) -> int:
    """Since when it was certainly there by a bar that opened then: a month tells of some time in it."""
    timeframe = Timeframe.parse(key.timeframe)
    return opened if timeframe is ONE_MINUTE else timeframe.end(opened)


def last_silent_ms(request: BarRequest) -> int:
    """Until when a silence can be noted: of the last ten minutes a second look is not possible yet."""
    return request.timeframe.floor(request.final_ms - SECOND_LOOK_MS)
