"""``AggregateSource``: bars of a higher timeframe, made from stored minutes that cover all of each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import ClassVar, Final

from tradewright.domain.bars import Bars
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import BarStore, Coverage
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, ONE_MINUTE
from tradewright.services.cache_manager import CacheManager
from tradewright.services.data_sources.base import BarRequest, DataSource, SourceAnswer, SourceName
from tradewright.services.data_sources.remembering import Remembering

CHUNK_MS: Final = 60 * DAY_MS
MET_MAX: Final = 10_000
NO_BARS: Final = Bars.empty()


class AggregateSource(DataSource):
    """Answers those bars whose every minute is known; a bar with an unknown minute is left to others.

    What was made once is remembered in the cache under the minutes' revision. Of a series that nobody has
    read here yet the cache is not asked: to ask takes the revision, and while the store is asked for that, it
    may as well give the bars, where they are hours or more, of which stores keep what they are made of.
    """

    name: ClassVar[SourceName] = "aggregate"

    def __init__(self, store: BarStore, cache: CacheManager, remembering: Remembering) -> None:
        self._store = store
        self._minutes = ResampledMinutes(store)
        self._cache = cache
        self._remembering = remembering
        self._met: OrderedDict[SeriesKey, None] = OrderedDict()
        """The series that were read here, the longest unread first."""

    async def fetch(self, request: BarRequest) -> SourceAnswer:
        """Remembered bars, then bars made from the minutes of the store."""
        kept = request.timeframe.length_ms >= HOUR_MS and not request.follows_sessions
        if not kept or self._has_met(request.key):
            return await self._remembered_and_made(request)
        bars, coverage, revision = await self._store.read_resampled_with_coverage(
            request.instrument, request.timeframe, *request.hull
        )
        made = self._minutes.known(request, coverage, bars)
        self._remember(request, made, revision)
        return made

    def _has_met(self, key: SeriesKey) -> bool:
        """Whether the series was read before; from now on it was."""
        if key in self._met:
            self._met.move_to_end(key)
            return True
        if len(self._met) == MET_MAX:
            self._met.popitem(last=False)
        self._met[key] = None
        return False

    async def _remembered_and_made(self, request: BarRequest) -> SourceAnswer:
        minutes = request.instrument.series(ONE_MINUTE)
        coverage, revision = await self._store.coverage_with_revision(minutes, *request.hull)
        found = await self._cache.get_resampled(request.key, revision, *request.hull)
        answered = found.coverage.known.intersect(request.wanted)
        remembered = SourceAnswer(
            found.bars.inside(answered),
            answered,
            found.coverage.complete.intersect(answered),
            found.coverage.outage.intersect(answered),
            self.parts(answered),
        )
        missing = request.wanted.subtract(answered)
        if not missing:
            return remembered
        made = await self._minutes.made(request.narrowed(missing), coverage)
        self._remember(request, made, revision)
        return SourceAnswer.join([remembered, made])

    def _remember(self, request: BarRequest, made: SourceAnswer, revision: int) -> None:
        if made.complete:
            # Of a bar with an outage inside it is not remembered which part that was; and the bar in which
            # the instrument was listed is another one once an import knows older minutes.
            whole = made.complete.subtract(request.bar_of_listing())
            self._remembering.begin(
                f"{request.key.symbol} {request.key.timeframe}",
                partial(
                    self._cache.set_resampled, request.key, revision, made.bars.inside(whole), Coverage(whole)
                ),
            )


class ResampledMinutes(DataSource):
    """Makes bars from the minutes of the store, and remembers nothing."""

    name: ClassVar[SourceName] = "aggregate"

    def __init__(self, store: BarStore) -> None:
        self._store = store

    async def fetch(self, request: BarRequest) -> SourceAnswer:
        """Those bars whose every minute is known and final."""
        minutes = request.instrument.series(ONE_MINUTE)
        return await self.made(request, await self._store.coverage(minutes, *request.hull))

    async def made(self, request: BarRequest, minutes: Coverage) -> SourceAnswer:
        """The same, where the coverage of the minutes was read just before, perhaps of more than is asked."""
        known = self.known(request, minutes)
        if not known.answered:
            return known
        bars = Bars.concat([part async for part in self._resampled(request, known.answered)])
        return replace(known, bars=bars)

    def known(self, request: BarRequest, minutes: Coverage, bars: Bars = NO_BARS) -> SourceAnswer:
        """What the coverage of the minutes answers, with those of the bars that belong to it."""
        start, end = request.hull
        coverage = Coverage(minutes.complete.clip(start, end), minutes.outage.clip(start, end))
        # Not the forming bar: it would be made from the minutes that happen to be stored. Coverage reaches
        # final minutes alone, so of a bar that has ended nothing can change, whatever the clocks say.
        ended = request.ended()
        answered = request.whole(coverage.known).intersect(ended)
        if not answered:
            return SourceAnswer.nothing()
        return SourceAnswer(
            bars.inside(answered),
            answered,
            complete=request.whole(coverage.complete).intersect(ended),
            outage=coverage.outage.intersect(answered),
            parts=self.parts(answered),
        )

    async def _resampled(self, request: BarRequest, answered: IntervalSet) -> AsyncIterator[Bars]:
        for start, end in answered:
            if request.follows_sessions:
                async for part in self._of_sessions(request, start, end):
                    yield part
            else:
                yield await self._store.read_resampled(request.instrument, request.timeframe, start, end)

    async def _of_sessions(self, request: BarRequest, start: int, end: int) -> AsyncIterator[Bars]:
        """Bars of the regular minutes alone: a day of stocks is its session. Chunk by chunk, so that
        memory grows with the bars that are answered, not with their minutes."""
        key, timeframe = request.instrument.series(ONE_MINUTE), request.timeframe
        chunk = max(1, CHUNK_MS // timeframe.length_ms)
        while start < end:
            stop = min(end, timeframe.shift(start, chunk))
            yield resample(request.regular(await self._store.read(key, start, stop)), timeframe)
            start = stop
