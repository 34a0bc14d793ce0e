"""``DbSource``: bars of the very timeframe asked for, from the store."""

from __future__ import annotations

from typing import ClassVar

from tradewright.domain.ports import BarStore
from tradewright.services.data_sources.base import BarRequest, DataSource, SourceAnswer, SourceName


class DbSource(DataSource):
    """Answers exactly what coverage vouches for: the minutes, or a provider's own higher timeframe."""

    name: ClassVar[SourceName] = "db"

    def __init__(self, store: BarStore) -> None:
        self._store = store

    async def fetch(self, request: BarRequest) -> SourceAnswer:
        """Stored bars and their coverage inside what is wanted."""
        bars, coverage = await self._store.read_with_coverage(request.key, *request.hull)
        answered = request.whole(coverage.known)
        return SourceAnswer(
            bars.inside(answered),
            answered,
            complete=request.whole(coverage.complete),
            outage=coverage.outage.intersect(answered),
            parts=self.parts(answered),
        )
