"""Pages of a venue's bars: asked for one after the other, each kept before the next."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from tradewright.domain.bars import Bars, PageOfBars, impossible_rows, unknown_in
from tradewright.domain.errors import (
    MalformedAnswerPluginError,
    StorageUnavailable,
)
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import BarStore, SeriesBars
from tradewright.domain.streams import Problem
from tradewright.services.data_sources.base import BarRequest
from tradewright.services.data_sources.door import Caller
from tradewright.services.data_sources.silence import SilenceJudge, last_silent_ms
from tradewright.services.data_sources.unknown import Untold

_log = logging.getLogger(__name__)

LEAD_BARS_MAX: Final = 120


class OutOfTime(Exception):
    """The read's time is over, through no fault of the venue."""


@dataclass(slots=True)
class Fetched:
    """What came so far of one series. ``provisional`` says that some of it holds only for now, ``unkept``
    why some of it could not be stored."""

    bars: Bars
    answered: IntervalSet = NO_INTERVALS
    complete: IntervalSet = NO_INTERVALS
    outage: IntervalSet = NO_INTERVALS
    provisional: bool = False
    unkept: Problem | None = None


class _Surroundings(NamedTuple):
    """From where to where pages may reach, and whether that is where something known ends or begins."""

    start: int
    known_before: bool
    end: int
    known_after: bool


class Pager:
    """Reads one stretch of one series from a venue into ``fetched``, page by page."""

    def __init__(
        self,
        caller: Caller,
        store: BarStore,
        request: BarRequest,
        fetched: Fetched,
        judge: SilenceJudge,
        untold: Untold,
    ) -> None:
        self._caller = caller
        self._plugin = caller.plugin
        self._store = store
        self._request = request
        self._fetched = fetched
        self._judge = judge
        self._untold = untold

    async def read(self, start: int, end: int) -> None:
        """Page through ``[start, end)``, keeping each page before the next one is asked for.

        A time without a bar counts as one without a trade only where bars, or what is known already,
        lie on both sides of it. So the first page begins a little earlier and the last one ends
        later. A page without any bar proves nothing until the venue has been asked again, much later,
        unless the page before could have held more, and reached up to what is known already.
        Of what the venue says that it does not tell (see ``PageOfBars``) nothing is concluded.
        What follows the last bar up to now is answered, but not known for good.
        """
        request, fetched, timeframe = self._request, self._fetched, self._request.timeframe
        limit = self._plugin.ohlcv_page_limit
        present = timeframe.end(timeframe.floor(request.now_ms))
        until = min(end, present)
        around = await self._surroundings(start, until)
        cursor, connected = around.start, around.known_before
        reaches_present, asked_until = until > request.final_ms, cursor
        while cursor < until:
            if not request.traded_intervals(cursor, until):
                connected = True
                break
            served_from = await self._served_from()
            if cursor < served_from:  # what is older does not come, and that says nothing
                cursor, connected = served_from, False
                continue
            page_end = min(around.end, max(until, timeframe.shift(cursor, limit)), present)
            page = await self._page(cursor, page_end)
            if page.unknown:
                until_untold = page.unknown.items[-1].end
                if not len(page):
                    self._untold.note(request.key, IntervalSet.single(cursor, until_untold))
                    cursor, connected = until_untold, False
                    continue
                self._untold.note(request.key, page.unknown)
            if not len(page) and connected and page_end >= present:
                reaches_present = True
                break
            joins_known = around.known_after and page_end == around.end
            if not len(page) and connected and joins_known and page_end <= asked_until:
                # The page before was not full and reached as far, up to what is known: nothing lies between.
                fetched.answered = fetched.answered.union(IntervalSet.single(cursor, page_end))
                await self._keep(page, cursor, page_end)
                cursor = page_end
                continue
            if not len(page):
                judged_until = await self._keep_silence(cursor, page_end)
                if judged_until is None:  # the page reached to the end: there is no more to ask
                    connected = False
                    break
                cursor, connected = judged_until, True
                continue
            if joins_known:
                until = page_end  # no sliver is left between this page and what is known
            first = int(page.time[0])
            if connected or not request.calendar.open_intervals(cursor, first):
                first = cursor  # in the hours around a session no bar is expected
            last_end = timeframe.end(int(page.time[-1]))
            # Of a full page what follows its last bar was not asked for, however far it was to reach; nor is
            # it known of one that left something out.
            asked_until = last_end if len(page) >= limit or page.unknown else page_end
            fetched.bars = fetched.bars.merged_with(page)
            told = IntervalSet.single(first, last_end).subtract(page.unknown)
            fetched.answered = fetched.answered.union(told)
            await self._keep(page, first, last_end)
            cursor, connected = last_end, True
        if connected and reaches_present:
            # That nothing was traded since is an answer, too, if only for now.
            quiet = IntervalSet.single(max(start, cursor), end)
            fetched.answered = fetched.answered.union(quiet)
            fetched.complete = fetched.complete.union(quiet)
            fetched.provisional = True

    async def _served_from(self) -> int:
        if self._plugin.ohlcv_reach_bars is None:
            return 0
        now_ms = self._plugin.measured_time_ms()
        if now_ms is None:
            async with self._caller.door.call(self._request.budget.deadline_s, proves=False):
                now_ms = await self._plugin.venue_time_ms()
        return self._plugin.served_from(self._request.timeframe, now_ms)

    async def _surroundings(self, start: int, end: int) -> _Surroundings:
        """How far a page may reach beyond ``[start, end)`` without fetching anything twice."""
        timeframe, limit = self._request.timeframe, self._plugin.ohlcv_page_limit
        earliest = await self._judge.noted_before(self._request, start)
        if earliest == start:
            earliest = max(0, timeframe.shift(start, -min(LEAD_BARS_MAX, max(1, limit // 4))))
        latest = timeframe.shift(end, limit)
        coverage = await self._store.coverage(self._request.key, earliest, latest)
        # What is known may reach into the stretch by now: an import waits for nobody's turn.
        first = max((min(each.end, start) for each in coverage.known if each.start < start), default=earliest)
        last = min((max(each.start, end) for each in coverage.known if each.end > end), default=latest)
        return _Surroundings(
            first,
            any(each.start < first <= each.end for each in coverage.complete),
            last,
            any(each.start <= last < each.end for each in coverage.complete),
        )

    async def _page(self, start: int, end: int) -> PageOfBars:
        request = self._request
        if request.budget.spent:
            raise OutOfTime
        symbol, timeframe = request.instrument.symbol, request.timeframe
        ask = partial(self._plugin.fetch_ohlcv, symbol, timeframe, start_ms=start, end_ms=end)
        unknown = NO_INTERVALS
        try:
            answer = await self._caller.ask(ask, request.budget.deadline_s)
            unknown = unknown_in(answer).clip(start, end)
        except MalformedAnswerPluginError as error:
            unknown = error.unknown.clip(start, end)
            if not unknown:
                raise
            answer = Bars.empty()
        page = answer.between(start, end)
        if impossible_rows(page).any() or (request.timeframe.floor_array(page.time) != page.time).any():
            raise MalformedAnswerPluginError(f"{self._plugin.provider} answered bars that can't be.")
        return PageOfBars.of(page, unknown)

    async def _keep(self, page: PageOfBars, first: int, end: int) -> None:
        """Store what is final."""
        request, fetched = self._request, self._fetched
        final = min(end, request.final_end())
        if first >= final:
            return
        covered = IntervalSet.single(first, final).subtract(page.unknown)
        fetched.complete = fetched.complete.union(covered)
        await self._kept(self._store.write(SeriesBars(request.key, page.inside(covered), covered)))

    async def _keep_silence(self, start: int, end: int) -> int | None:
        """Remember that the venue had nothing; where it had nothing before, what that means, and until
        when. What happened just now every read asks for anyway."""
        request, fetched = self._request, self._fetched
        silent = IntervalSet.single(start, min(end, last_silent_ms(request)))
        found = await self._judge.judge(self._caller, request, silent)
        judged_until = found.known.items[-1].end if found.known else None
        first_time = silent.clip(start, judged_until or end).subtract(found.known)
        await self._kept(self._store.note_empty(request.key, first_time, self._judge.now_ms()))
        if judged_until is None:
            return None
        fetched.answered = fetched.answered.union(found.known)
        fetched.complete = fetched.complete.union(found.complete)
        fetched.outage = fetched.outage.union(found.outage)
        nothing = SeriesBars(request.key, Bars.empty(), found.complete)
        await self._kept(self._store.write(nothing, outage=found.outage))
        return judged_until

    async def _kept(self, writing: Awaitable[None]) -> None:
        """A store that fails costs what was to be kept, never the answer."""
        try:
            await writing
        except StorageUnavailable as error:
            if self._fetched.unkept is None:
                _log.warning(
                    "bars of %s could not be kept: %s", self._request.instrument.symbol, error.message
                )
            self._fetched.unkept = Problem("db", error.code, error.message)
