"""Pages of a venue's bars: asked for one after the other, each kept before the next."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final, NamedTuple

from tradewright.domain.bars import Bars, impossible_rows
from tradewright.domain.errors import MalformedAnswerPluginError, StorageUnavailable, TimeoutPluginError
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import BarStore, SeriesBars
from tradewright.domain.streams import Problem
from tradewright.plugins.base import MarketPlugin
from tradewright.services.data_sources.base import BarRequest

_log = logging.getLogger(__name__)

EMPTY_PAGES_MAX: Final = 3
LEAD_BARS_MAX: Final = 120
PATIENCE_S: Final = 4.0
"""A call that was given this long and gave nothing is the venue's failure, not the reader's haste."""


class OutOfTime(Exception):
    """The read's time is over, through no fault of the venue."""


@dataclass(slots=True)
class Fetched:
    """What came so far of one series. ``unkept`` says why some of it could not be stored."""

    bars: Bars
    answered: IntervalSet = NO_INTERVALS
    complete: IntervalSet = NO_INTERVALS
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
        plugin: MarketPlugin,
        calls: asyncio.Semaphore,
        store: BarStore,
        request: BarRequest,
        fetched: Fetched,
    ) -> None:
        self._plugin = plugin
        self._calls = calls
        self._store = store
        self._request = request
        self._fetched = fetched

    async def read(self, start: int, end: int) -> None:
        """Page through ``[start, end)``, keeping each page before the next one is asked for.

        A time without a bar counts as one without a trade only where bars, or what is known already,
        lie on both sides of it. So the first page begins a little earlier and the last one ends
        later. What follows the last bar up to now is answered, but not known for good.
        """
        request, fetched, timeframe = self._request, self._fetched, self._request.timeframe
        limit = self._plugin.ohlcv_page_limit
        present = timeframe.end(timeframe.floor(request.now_ms))
        until = min(end, present)
        around = await self._surroundings(start, until)
        cursor, connected, empty_pages = around.start, around.known_before, 0
        while cursor < until and empty_pages < EMPTY_PAGES_MAX:
            if not request.open_intervals(cursor, until):
                cursor = until
                break
            page_end = min(around.end, max(until, timeframe.shift(cursor, limit)), present)
            page = await self._page(cursor, page_end)
            if not len(page):
                empty_pages += 1
                cursor = timeframe.shift(cursor, limit * 2 ** (empty_pages - 1))
                connected = False
                continue
            empty_pages = 0
            first = cursor if connected else int(page.time[0])
            last_end = timeframe.end(int(page.time[-1]))
            if around.known_after and page_end == around.end and len(page) < limit:
                last_end = page_end
            fetched.bars = fetched.bars.merged_with(page)
            fetched.answered = fetched.answered.union(IntervalSet.single(first, last_end))
            await self._keep(page, first, last_end)
            cursor, connected = last_end, True
        if cursor >= until > request.final_ms:
            # The stretch reaches the present: that nothing was traded since is an answer, too.
            quiet_from = fetched.answered.items[-1].end if fetched.answered else start
            fetched.answered = fetched.answered.union(IntervalSet.single(quiet_from, end))

    async def _surroundings(self, start: int, end: int) -> _Surroundings:
        """How far a page may reach beyond ``[start, end)`` without fetching anything twice."""
        timeframe, limit = self._request.timeframe, self._plugin.ohlcv_page_limit
        earliest = max(0, timeframe.shift(start, -min(LEAD_BARS_MAX, max(1, limit // 4))))
        latest = timeframe.shift(end, limit)
        known = (await self._store.coverage(self._request.key, earliest, latest)).complete
        before = [interval.end for interval in known if interval.end <= start]
        after = [interval.start for interval in known if interval.start >= end]
        return _Surroundings(
            before[-1] if before else earliest, bool(before), after[0] if after else latest, bool(after)
        )

    async def _page(self, start: int, end: int) -> Bars:
        request = self._request
        loop = asyncio.get_running_loop()
        if request.budget.spent:
            raise OutOfTime
        async with asyncio.timeout_at(request.budget.deadline_s):
            await self._calls.acquire()
        began_s = loop.time()
        try:
            async with asyncio.timeout_at(request.budget.deadline_s):
                page = await self._plugin.fetch_ohlcv(
                    request.instrument.symbol, request.timeframe, start_ms=start, end_ms=end
                )
        except TimeoutError:
            if loop.time() - began_s < PATIENCE_S:
                raise OutOfTime from None
            raise TimeoutPluginError(f"{self._plugin.provider} did not answer in time.") from None
        finally:
            self._calls.release()
        page = page.between(start, end)
        if impossible_rows(page).any() or (request.timeframe.floor_array(page.time) != page.time).any():
            raise MalformedAnswerPluginError(f"{self._plugin.provider} answered bars that can't be.")
        return page

    async def _keep(self, page: Bars, first: int, end: int) -> None:
        """Store what is final. A store that fails costs what was to be kept, never the answer."""
        request, fetched = self._request, self._fetched
        final = min(end, request.timeframe.floor(request.final_ms))
        if first >= final:
            return
        covered = IntervalSet.single(first, final)
        fetched.complete = fetched.complete.union(covered)
        if fetched.unkept is not None:
            return
        try:
            await self._store.write(SeriesBars(request.key, page.between(first, final), covered))
        except StorageUnavailable as error:
            _log.warning("bars of %s could not be kept: %s", request.instrument.symbol, error.message)
            fetched.unkept = Problem("db", error.code, error.message)
