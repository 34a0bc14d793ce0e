"""``AggregateSource``: bars of a higher timeframe, made from stored minutes that cover all of each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar, Final

from tradewright.domain.bars import Bars
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import BarStore
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import DAY_MS, ONE_MINUTE
from tradewright.services.data_sources.base import BarRequest, DataSource, SourceAnswer, SourceName

CHUNK_MS: Final = 60 * DAY_MS


class AggregateSource(DataSource):
    """Answers those bars whose every minute is known; a bar with an unknown minute is left to others."""

    name: ClassVar[SourceName] = "aggregate"

    def __init__(self, store: BarStore) -> None:
        self._store = store

    async def fetch(self, request: BarRequest) -> SourceAnswer:
        """Bars resampled from the minutes of the store."""
        key = request.instrument.series(ONE_MINUTE)
        coverage = await self._store.coverage(key, *request.hull)
        # Only final bars: the forming one would be made from the minutes that happen to be stored.
        final = request.until_final()
        answered = request.whole(coverage.known).intersect(final)
        if not answered:
            return SourceAnswer.nothing()
        return SourceAnswer(
            Bars.concat([part async for part in self._resampled(request, answered)]),
            answered,
            complete=request.whole(coverage.complete).intersect(final),
            outage=coverage.outage.intersect(answered),
            parts=self.parts(answered),
        )

    async def _resampled(self, request: BarRequest, answered: IntervalSet) -> AsyncIterator[Bars]:
        """Chunk by chunk, so that memory grows with the bars that are answered, not with their minutes."""
        key, timeframe = request.instrument.series(ONE_MINUTE), request.timeframe
        chunk = max(1, CHUNK_MS // timeframe.length_ms)
        for start, end in answered:
            while start < end:
                stop = min(end, timeframe.shift(start, chunk))
                yield resample(await self._store.read(key, start, stop), timeframe)
                start = stop
