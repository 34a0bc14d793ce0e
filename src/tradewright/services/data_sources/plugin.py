"""``PluginSource``: what no store has, from the venue; everything final that it brings is kept."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from tradewright.domain.bars import Bars, impossible_rows
from tradewright.domain.errors import (
    MalformedAnswerPluginError,
    PluginError,
    PluginFeatureNotSupportedError,
    TimeoutPluginError,
)
from tradewright.domain.instruments import InstrumentKey, SeriesKey
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
LEAD_BARS_MAX: Final = 120
_LOCKS_MAX: Final = 4_096
_LISTINGS_MAX: Final = 4_096


@dataclass(slots=True)
class _Fetched:
    """What came so far from the pages of one series."""

    bars: Bars
    answered: IntervalSet = NO_INTERVALS
    complete: IntervalSet = NO_INTERVALS


class _Surroundings(NamedTuple):
    """From where to where pages may reach, and whether that is where something known ends or begins."""

    start: int
    known_before: bool
    end: int
    known_after: bool


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
        self._listed_since: OrderedDict[InstrumentKey, int] = OrderedDict()
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
        until_s, problem = self._failures.get(provider, (0.0, None))
        return problem if problem is not None and self._clock.monotonic() < until_s else None

    def _out_of_time(self, provider: str, answers: list[SourceAnswer]) -> SourceAnswer:
        if any(part.source == self.name for answer in answers for part in answer.parts):
            detail = f"{provider} needs more time for all of this. Ask again for the rest."
            return SourceAnswer.nothing(Problem(self.name, TimeoutPluginError.code, detail))
        return self._failure(provider, TimeoutPluginError(f"{provider} did not answer in time."))

    def _failure(self, provider: str, error: PluginError) -> SourceAnswer:
        problem = Problem(self.name, error.code, error.message)
        if unreachable(error):
            left_alone_s = max(FAILURE_MEMORY_S, error.retry_after_s or 0.0)
            self._failures[provider] = (self._clock.monotonic() + left_alone_s, problem)
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
            raise PluginFeatureNotSupportedError(
                f"{plugin.provider} has no bars of its own from which {request.timeframe} could be made."
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
                    answered = fetched.answered.clip(start, end)
                    answers.append(
                        SourceAnswer(
                            inside(fetched.bars, answered),
                            answered,
                            complete=fetched.complete.clip(start, end),
                            parts=self.parts(answered),
                        )
                    )

    async def listed_since(self, request: BarRequest) -> int | None:
        """When the venue's first minute of the instrument opened, to the finest timeframe that it serves;
        None where it does not tell or can't be asked. Kept once known."""
        key = request.instrument
        if key in self._listed_since:
            return self._listed_since[key]
        if self._recent_failure(key.provider) is not None:
            return None
        try:
            async with (
                asyncio.timeout_at(request.deadline_s),
                self._markets.plugin(key.market, key.provider) as plugin,
            ):
                since = await self._first_bar(plugin, key.symbol, request.now_ms)
        except (PluginError, TimeoutError):
            return None  # reading on will meet the same failure and report it
        if since is not None:
            self._listed_since[key] = since
            while len(self._listed_since) > _LISTINGS_MAX:
                self._listed_since.popitem(last=False)
        return since

    @staticmethod
    async def _first_bar(plugin: MarketPlugin, symbol: str, now_ms: int) -> int | None:
        """From the coarsest timeframe to the finest, so that few bars are looked at."""
        start, end = 0, now_ms + 1
        steps = [item for item in reversed(TIMEFRAMES.values()) if item in plugin.timeframes]
        for timeframe in steps:
            page = await plugin.fetch_ohlcv(symbol, timeframe, start_ms=start, end_ms=end, limit=1)
            page = page.between(start, end)
            if not len(page):
                return None
            start = int(page.time[0])
            end = min(end, timeframe.end(start))
        return start if steps else None

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

        A time without a bar counts as one without a trade only where bars, or what is known already,
        lie on both sides of it. So the first page begins a little earlier and the last one ends
        later. What follows the last bar up to now is answered, but not known for good.
        """
        timeframe = request.timeframe
        present = timeframe.end(timeframe.floor(request.now_ms))
        until = min(end, present)
        around = await self._surroundings(plugin, request, start, until)
        cursor, connected, empty_pages = around.start, around.known_before, 0
        while cursor < until and empty_pages < EMPTY_PAGES_MAX:
            if not request.calendar.open_intervals(cursor, until):
                cursor = until
                break
            ahead = timeframe.shift(cursor, plugin.ohlcv_page_limit)
            page_end = min(around.end, max(until, ahead), present)
            page = await self._page(plugin, request, cursor, page_end)
            if not len(page):
                empty_pages += 1
                cursor = timeframe.shift(cursor, plugin.ohlcv_page_limit * 2 ** (empty_pages - 1))
                connected = False
                continue
            empty_pages = 0
            first = cursor if connected else int(page.time[0])
            last_end = timeframe.end(int(page.time[-1]))
            if around.known_after and page_end == around.end and len(page) < plugin.ohlcv_page_limit:
                last_end = page_end
            fetched.bars = fetched.bars.merged_with(page)
            fetched.answered = fetched.answered.union(IntervalSet.single(first, last_end))
            await self._keep(request, page, first, last_end, fetched)
            cursor, connected = last_end, True
        if cursor >= until > request.final_ms:
            # The stretch reaches the present: that nothing was traded since is an answer, too.
            quiet_from = fetched.answered.items[-1].end if fetched.answered else start
            fetched.answered = fetched.answered.union(IntervalSet.single(quiet_from, end))

    async def _surroundings(
        self, plugin: MarketPlugin, request: BarRequest, start: int, end: int
    ) -> _Surroundings:
        """How far a page may reach beyond ``[start, end)`` without fetching anything twice."""
        timeframe, limit = request.timeframe, plugin.ohlcv_page_limit
        earliest = max(0, timeframe.shift(start, -min(LEAD_BARS_MAX, max(1, limit // 4))))
        latest = timeframe.shift(end, limit)
        known = (await self._store.coverage(request.key, earliest, latest)).complete
        before = [interval.end for interval in known if interval.end <= start]
        after = [interval.start for interval in known if interval.start >= end]
        return _Surroundings(
            before[-1] if before else earliest, bool(before), after[0] if after else latest, bool(after)
        )

    async def _page(self, plugin: MarketPlugin, request: BarRequest, start: int, end: int) -> Bars:
        page = await plugin.fetch_ohlcv(
            request.instrument.symbol, request.timeframe, start_ms=start, end_ms=end
        )
        page = page.between(start, end)
        if impossible_rows(page).any() or (request.timeframe.floor_array(page.time) != page.time).any():
            raise MalformedAnswerPluginError(f"{plugin.provider} answered bars that can't be.")
        return page

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
