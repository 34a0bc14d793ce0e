"""``PluginSource``: what no store has, from the venue; everything final that it brings is kept."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar, Final

from tradewright.domain.bars import Bars, impossible_rows
from tradewright.domain.errors import MalformedAnswerPluginError, PluginError, TimeoutPluginError
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, Interval, IntervalSet
from tradewright.domain.ports import BarStore, SeriesBars
from tradewright.domain.resampling import resample
from tradewright.domain.streams import Problem
from tradewright.domain.timeframes import ONE_MINUTE, TIMEFRAMES, Timeframe
from tradewright.plugins.base import MarketPlugin
from tradewright.runtime.clock import Clock
from tradewright.services.data_sources.base import (
    BarRequest,
    DataSource,
    SourceAnswer,
    SourceName,
)
from tradewright.services.data_sources.db import DbSource, inside
from tradewright.services.market_service import FAILURE_MEMORY_S, MarketService, unreachable

MINUTE_PAGES_MAX: Final = 5
EMPTY_PAGES_MAX: Final = 3
_LOCKS_MAX: Final = 4_096


@dataclass(slots=True)
class _Fetched:
    """What came so far from the pages of one series."""

    bars: Bars
    answered: IntervalSet = NO_INTERVALS
    complete: IntervalSet = NO_INTERVALS


class PluginSource(DataSource):
    """Asks the venue for the intervals that are missing and for nothing else.

    A higher timeframe is made from minutes while five pages of them are enough; beyond that the
    venue's own bars of the timeframe are taken, or of the coarsest one that divides it, and kept
    under that timeframe with a coverage of their own. The venue's share of a read ends after
    the request's deadline: what has come until then is answered and kept.
    """

    name: ClassVar[SourceName] = "plugin"

    def __init__(self, markets: MarketService, store: BarStore, clock: Clock) -> None:
        self._markets = markets
        self._store = store
        self._clock = clock
        self._stored = DbSource(store)
        self._locks: OrderedDict[SeriesKey, asyncio.Lock] = OrderedDict()
        self._failures: dict[str, tuple[float, Problem]] = {}

    async def fetch(self, request: BarRequest) -> SourceAnswer:
        provider = request.instrument.provider
        failed = self._recent_failure(provider)
        if failed is not None:
            return SourceAnswer.nothing(failed)
        answers: list[SourceAnswer] = []
        try:
            async with (
                asyncio.timeout_at(request.deadline_s),
                self._markets.plugin(request.instrument.market, provider) as plugin,
            ):
                for interval in request.wanted:
                    await self._fetch_interval(plugin, request, interval, answers)
        except TimeoutError:
            answers.append(self._out_of_time(provider, answers))
        except PluginError as error:
            answers.append(self._failure(provider, error))
        return _joined(answers)

    def _recent_failure(self, provider: str) -> Problem | None:
        failed_at_s, problem = self._failures.get(provider, (0.0, None))
        if problem is not None and self._clock.monotonic() - failed_at_s < FAILURE_MEMORY_S:
            return problem
        return None

    def _out_of_time(self, provider: str, answers: list[SourceAnswer]) -> SourceAnswer:
        if any(part.source == self.name for answer in answers for part in answer.parts):
            detail = f"{provider} needs more time for all of this. Ask again for the rest."
            return SourceAnswer.nothing(Problem(self.name, TimeoutPluginError.code, detail))
        return self._failure(provider, TimeoutPluginError(f"{provider} did not answer in time."))

    def _failure(self, provider: str, error: PluginError) -> SourceAnswer:
        problem = Problem(self.name, error.code, error.message)
        if unreachable(error):
            self._failures[provider] = (self._clock.monotonic(), problem)
        return SourceAnswer.nothing(problem)

    async def _fetch_interval(
        self, plugin: MarketPlugin, request: BarRequest, interval: Interval, answers: list[SourceAnswer]
    ) -> None:
        narrowed = request.narrowed(IntervalSet((interval,)))
        if not request.calendar.open_intervals(*interval):
            answers.append(SourceAnswer(Bars.empty(), narrowed.wanted))
            return
        native = self._native_timeframe(plugin, narrowed)
        if native is request.timeframe:
            await self._fetch_missing(plugin, narrowed, answers)
        else:
            await self._make_from(plugin, native, narrowed, answers)

    def _native_timeframe(self, plugin: MarketPlugin, request: BarRequest) -> Timeframe:
        """The timeframe to ask the venue for."""
        offered = [timeframe for timeframe in plugin.timeframes if timeframe.nests_in(request.timeframe)]
        if not offered:
            raise MalformedAnswerPluginError(
                f"{plugin.provider} has no bars from which {request.timeframe} could be made."
            )
        start, end = request.hull
        open_ms = request.calendar.open_intervals(start, min(end, request.now_ms + 1)).length_ms
        pages = open_ms / ONE_MINUTE.length_ms / plugin.ohlcv_page_limit
        if ONE_MINUTE in offered and pages <= MINUTE_PAGES_MAX:
            return ONE_MINUTE
        return max(offered, key=lambda timeframe: timeframe.length_ms)

    async def _make_from(
        self, plugin: MarketPlugin, finer: Timeframe, request: BarRequest, answers: list[SourceAnswer]
    ) -> None:
        """Bars of the wanted timeframe out of finer ones, some of which may be stored already."""
        start, end = request.hull
        until = min(end, finer.end(finer.floor(request.now_ms)))
        finer_request = request.of(finer, IntervalSet.single(start, until))
        parts: list[SourceAnswer] = []
        try:
            await self._fetch_missing(plugin, finer_request, parts, stored_too=True)
        finally:  # a venue that fails half-way has still answered the first half
            made = _joined(parts)
            future = IntervalSet.single(until, end)
            answered = request.whole(made.answered.union(future) if made.answered else NO_INTERVALS)
            answers.append(
                SourceAnswer(
                    resample(inside(made.bars, answered), request.timeframe),
                    answered,
                    complete=request.whole(made.complete),
                    outage=made.outage.intersect(answered),
                    parts=self.parts(answered),
                )
            )

    async def _fetch_missing(
        self,
        plugin: MarketPlugin,
        request: BarRequest,
        answers: list[SourceAnswer],
        *,
        stored_too: bool = False,
    ) -> None:
        """Ask for what the store still lacks once it is this reader's turn: another one may have
        fetched the same minutes in the meantime."""
        async with self._lock(request.key):
            stored = await self._stored.fetch(request)
            if stored_too or stored.answered:
                answers.append(stored)
            for start, end in request.wanted.subtract(stored.answered):
                fetched = _Fetched(Bars.empty())
                try:
                    await self._fetch_from_plugin_with_paging(plugin, request, start, end, fetched)
                finally:
                    answers.append(
                        SourceAnswer(
                            inside(fetched.bars, fetched.answered),
                            fetched.answered,
                            complete=fetched.complete,
                            parts=self.parts(fetched.answered),
                        )
                    )

    def _lock(self, key: SeriesKey) -> asyncio.Lock:
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._locks.move_to_end(key)
        while len(self._locks) > _LOCKS_MAX:
            oldest = next(iter(self._locks))
            if self._locks[oldest].locked():
                break
            del self._locks[oldest]
        return lock

    async def _fetch_from_plugin_with_paging(
        self, plugin: MarketPlugin, request: BarRequest, start: int, end: int, fetched: _Fetched
    ) -> None:
        """Page through ``[start, end)``, keeping each page before the next one is asked for.

        A time without a bar counts as one without a trade only where the venue's answer has bars on
        both sides of it. What follows the last bar up to now is answered, but not known for good.
        """
        cursor, empty_pages = start, 0
        connected = await self._known_before(request.key, start)
        until = min(end, request.timeframe.end(request.timeframe.floor(request.now_ms)))
        while cursor < until and empty_pages < EMPTY_PAGES_MAX:
            if not request.calendar.open_intervals(cursor, until):
                cursor = until
                break
            page = await self._page(plugin, request, cursor, until)
            if not len(page):
                empty_pages += 1
                step = plugin.ohlcv_page_limit * 2 ** (empty_pages - 1)
                cursor = request.timeframe.shift(cursor, step)
                connected = False
                continue
            empty_pages = 0
            first = cursor if connected else int(page.time[0])
            last_end = request.timeframe.end(int(page.time[-1]))
            fetched.bars = fetched.bars.merged_with(page)
            fetched.answered = fetched.answered.union(IntervalSet.single(first, last_end))
            await self._keep(request, page, first, last_end, fetched)
            cursor, connected = last_end, True
        if cursor >= until > request.final_ms:
            # The stretch reaches the present: that nothing was traded since is an answer, too.
            quiet_from = fetched.answered.items[-1].end if fetched.answered else start
            fetched.answered = fetched.answered.union(IntervalSet.single(quiet_from, end))

    async def _page(self, plugin: MarketPlugin, request: BarRequest, start: int, end: int) -> Bars:
        page = await plugin.fetch_ohlcv(
            request.instrument.symbol, request.timeframe, start_ms=start, end_ms=end
        )
        page = page.between(start, end)
        if impossible_rows(page).any() or (request.timeframe.floor_array(page.time) != page.time).any():
            raise MalformedAnswerPluginError(f"{plugin.provider} answered bars that can't be.")
        return page

    async def _known_before(self, key: SeriesKey, start: int) -> bool:
        before = TIMEFRAMES[key.timeframe].shift(start, -1)
        return (await self._store.coverage(key, before, start)).complete.contains(before, start)

    async def _keep(self, request: BarRequest, page: Bars, first: int, end: int, fetched: _Fetched) -> None:
        final = min(end, request.timeframe.floor(request.final_ms))
        if first >= final:
            return
        covered = IntervalSet.single(first, final)
        await self._store.write(SeriesBars(request.key, page.between(first, final), covered))
        fetched.complete = fetched.complete.union(covered)


def _joined(answers: list[SourceAnswer]) -> SourceAnswer:
    joined = SourceAnswer.nothing()
    for answer in answers:
        joined = joined.joined(answer)
    return joined
