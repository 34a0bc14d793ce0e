"""``CacheSource``: minutes from the cache, and from the store where the cache has none."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from tradewright.domain.ports import BarStore, Coverage
from tradewright.services.cache_manager import CacheManager
from tradewright.services.data_sources.base import BarRequest, DataSource, SourceAnswer, SourceName
from tradewright.services.data_sources.db import DbSource
from tradewright.services.data_sources.remembering import Remembering


class CacheSource(DataSource):
    """Answers minutes that were read before. What it lacks it takes from ``DbSource`` and remembers;
    a cache that fails costs the time of reading the store."""

    name: ClassVar[SourceName] = "cache"

    def __init__(self, cache: CacheManager, store: BarStore, remembering: Remembering) -> None:
        self._cache = cache
        self._remembering = remembering
        self._store = store
        self._stored = DbSource(store)

    async def fetch(self, request: BarRequest) -> SourceAnswer:
        """Cached minutes, then stored ones."""
        revision = await self._store.revision(request.key)
        found = await self._cache.get_1m_bars(request.instrument, revision, *request.hull)
        answered = request.whole(found.coverage.known)
        cached = SourceAnswer(
            found.bars.inside(answered),
            answered,
            complete=request.whole(found.coverage.complete),
            outage=found.coverage.outage.intersect(answered),
            parts=self.parts(answered),
        )
        missing = request.wanted.subtract(answered)
        if not missing:
            return cached
        stored = await self._stored.fetch(request.narrowed(missing))
        if stored.answered:
            known = Coverage(stored.complete.intersect(stored.answered), stored.outage)
            self._remembering.begin(
                f"{request.key.symbol} {request.key.timeframe}",
                partial(self._cache.store_1m_bars, request.instrument, revision, stored.bars, known),
            )
        return SourceAnswer.join([cached, stored])
