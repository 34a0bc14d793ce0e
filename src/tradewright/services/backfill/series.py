"""One series at one venue: what it still lacks, and the reading of a chunk of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from tradewright.domain.bars import Bars
from tradewright.domain.errors import PluginFeatureNotSupportedError, StorageUnavailable
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, Interval, IntervalSet
from tradewright.domain.ports import BarStore
from tradewright.domain.timeframes import ONE_MINUTE, Timeframe
from tradewright.plugins.base import MarketPlugin
from tradewright.runtime.clock import Clock
from tradewright.services.backfill.planning import Planner
from tradewright.services.backfill.settings import BackfillSettings
from tradewright.services.backfill.venues import CountedCalls
from tradewright.services.data_sources.base import BarRequest, ReadBudget
from tradewright.services.data_sources.paging import Fetched, OutOfTime
from tradewright.services.data_sources.plugin import PluginSource
from tradewright.services.market_service import MarketService

_NO_MINUTE_CALLS: Final = 0


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What came of a ``chunk``: so many ``bars``. Of ``done`` nothing need be asked again now; inside it,
    ``silent`` is where the venue had no answer."""

    chunk: Interval
    bars: int
    done: IntervalSet
    silent: IntervalSet


class SeriesReader:
    """The series of an instrument that is fetched from its venue, as of the moment it was made."""

    def __init__(
        self,
        plugin: MarketPlugin,
        request: BarRequest,
        source: PluginSource,
        bars: BarStore,
        clock: Clock,
        settings: BackfillSettings,
    ) -> None:
        self._plugin = plugin
        self._request = request
        self._source = source
        self._bars = bars
        self._settings = settings
        self._clock = clock
        self._stop = asyncio.Event()
        self._asked = (0, 0)
        self.stored = 0
        """How many bars of the time asked for were kept."""
        self.final_ms = request.timeframe.floor(max(0, request.final_ms))
        """What opens before can't change any more."""

    @classmethod
    async def open(
        cls,
        plugin: MarketPlugin,
        key: InstrumentKey,
        timeframe: Timeframe | None,
        *,
        markets: MarketService,
        source: PluginSource,
        bars: BarStore,
        clock: Clock,
        settings: BackfillSettings,
        ask_time: bool,
    ) -> SeriesReader:
        """Ask the venue for its time and look at the sessions of the instrument. Without ``timeframe`` it
        is minutes, or the finest bars that the venue has; without ``ask_time`` the time goes by what was
        measured before."""
        deadline_s = asyncio.get_running_loop().time() + settings.page_s
        calendar = await markets.calendar(await markets.instrument(key))
        if ask_time:
            now_ms, final_ms = await source.moment(key.market, plugin, deadline_s)
        else:
            now_ms, final_ms = source.supposed_moment(plugin)
        request = BarRequest(
            key,
            calendar,
            timeframe or finest(plugin),
            NO_INTERVALS,
            now_ms,
            final_ms=final_ms,
            budget=ReadBudget(deadline_s, _NO_MINUTE_CALLS),
        )
        return cls(plugin, request, source, bars, clock, settings)

    @property
    def key(self) -> SeriesKey:
        """The series that is read."""
        return self._request.key

    @property
    def timeframe(self) -> Timeframe:
        """Of its bars."""
        return self._request.timeframe

    async def begin_at_listing(self, start_ms: int) -> None:
        """Leave out what was before the listing, unless bars from before ``start_ms`` are stored."""
        stored = await self._bars.extent(self.key)
        if stored is not None and stored[0] <= start_ms:
            return
        listed_ms = await self._source.listed_since(self._request)
        if listed_ms is not None:
            first = listed_ms if stored is None else min(listed_ms, stored[0])
            self._request = replace(self._request, listed_ms=self.timeframe.floor(first))

    def planner(self, pages: int, *, newest_first: bool) -> Planner:
        """Plans chunks of so many pages."""
        return Planner(self._request, self._plugin.ohlcv_page_limit, pages, newest_first=newest_first)

    async def missing(self, start_ms: int, end_ms: int) -> IntervalSet:
        """The stretches of ``[start_ms, end_ms)`` that are final and neither known nor noted as empty so
        lately that asking would prove nothing; closed time may lie inside them."""
        start, end = self.timeframe.floor(start_ms), min(self.timeframe.ceil(end_ms), self.final_ms)
        if start >= end:
            return NO_INTERVALS
        self._asked = (start, end)
        known = (await self._bars.coverage(self.key, start, end)).known
        asked_after_ms = self._clock.now_ms() - self._settings.second_look_s * 1000
        silent = await self._bars.empty_answers(self.key, start, end)
        recent = IntervalSet.of(
            (each.start, each.end) for each in silent if each.answered_ms > asked_after_ms
        )
        return self.worthwhile(IntervalSet.single(start, end).subtract(known).subtract(recent))

    def worthwhile(self, stretches: IntervalSet) -> IntervalSet:
        """Those of the stretches in which something could be traded."""
        return stretches.touching(self._open_time(stretches))

    def open_ms(self, stretches: IntervalSet) -> int:
        """How much of the stretches is time in which something could be traded."""
        return stretches.intersect(self._open_time(stretches)).length_ms

    def _open_time(self, stretches: IntervalSet) -> IntervalSet:
        if not stretches:
            return NO_INTERVALS
        return self._request.open_intervals(stretches.items[0].start, stretches.items[-1].end)

    def stop(self) -> None:
        """Let every chunk end after the page that is under way."""
        self._stop.set()

    async def read(self, chunk: Interval, calls: CountedCalls) -> ChunkResult:
        """Fetch a chunk page by page, each kept before the next. Raises what the venue raises, and
        ``StorageUnavailable``; what came before an error is kept."""
        pages = 2 + chunk_pages(chunk, self.timeframe, self._plugin.ohlcv_page_limit)
        deadline_s = asyncio.get_running_loop().time() + pages * self._settings.page_s
        request = replace(
            self._request,
            wanted=IntervalSet((chunk,)),
            budget=_StoppableBudget(deadline_s, _NO_MINUTE_CALLS, self._stop),
        )
        fetched = Fetched(Bars.empty())
        stopped = False
        try:
            await self._source.pager(self._plugin, calls, request, fetched).read(*chunk)
        except (OutOfTime, TimeoutError):
            stopped = True
        finally:
            if fetched.unkept is None:
                self.stored += len(fetched.bars.between(*self._asked))
        if fetched.unkept is not None:
            raise StorageUnavailable(fetched.unkept.detail)
        known = fetched.complete.union(fetched.outage)
        silent = NO_INTERVALS if stopped else IntervalSet((chunk,)).subtract(known)
        return ChunkResult(chunk, len(fetched.bars), known.union(silent), silent)


@dataclass(slots=True)
class _StoppableBudget(ReadBudget):
    """A budget that can be ended at once by whoever gave it."""

    stop: asyncio.Event

    @property
    def spent(self) -> bool:
        """Whether there is no more time."""
        return self.stop.is_set() or asyncio.get_running_loop().time() >= self.deadline_s


def chunk_pages(chunk: Interval, timeframe: Timeframe, page_bars: int) -> int:
    """About how many pages a chunk has at most."""
    return 1 + timeframe.count(*chunk) // page_bars


def finest(plugin: MarketPlugin) -> Timeframe:
    """Minutes where the venue has them, else its shortest bars."""
    if not plugin.timeframes:
        raise PluginFeatureNotSupportedError(f"{plugin.provider} has no bars to fetch.")
    if ONE_MINUTE in plugin.timeframes:
        return ONE_MINUTE
    return min(plugin.timeframes, key=lambda timeframe: timeframe.length_ms)
