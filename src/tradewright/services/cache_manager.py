"""Bars in the cache: what may be had without asking the store.

The cache holds only what the store has too, final and covered, and may lose any of it at any time. It
is never asked to delete. A key holds the ``revision`` of the minutes' series (``BarStore.revision``),
which rises when something known turned out otherwise: after a correction old values are not found any
more, and go with their time to live. That is right only where the revision was read before the bars
that are stored under it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import Cache, CacheUnavailable, Coverage
from tradewright.domain.timeframes import ONE_MINUTE, Timeframe
from tradewright.runtime.clock import Clock
from tradewright.runtime.metrics import CacheMetrics
from tradewright.services.cached_chunks import (
    EMPTY_CHUNK,
    Chunk,
    bars_of,
    chunk_index,
    chunk_start,
    decode,
    encode,
    merged,
)

CHUNKS_MAX: Final = 64
"""What lies over more chunks than this is neither asked of the cache nor given to it: the store reads
so much at once as fast, and it would push out what many readers want."""

WHOLE_TTL_S: Final = 7 * 86_400.0
"""A chunk that is known from end to end changes only with its revision, so it is kept for as long as
somebody may come back to it. It goes at last because nothing else removes those of old revisions."""

PARTIAL_TTL_S: Final = 3_600.0
"""A chunk with unknown parts is written anew as they become known, which renews it. One that nobody
completes is of a market that nobody watches."""


@dataclass(frozen=True, slots=True)
class CachedBars:
    """``bars`` are all bars inside ``coverage.known``, ascending; ``coverage`` is what the cache vouches
    for inside the interval that was asked."""

    bars: Bars
    coverage: Coverage


NOTHING: Final = CachedBars(Bars.empty(), Coverage())


class CacheManager:
    """Minutes and resampled bars in a ``Cache``, in chunks.

    Nothing here raises for a cache that fails: it answers ``NOTHING`` and stores nothing. A value that
    can't be read is a miss. Two that store into one chunk at once may lose what one of them added, which
    costs a later miss.
    """

    def __init__(self, cache: Cache, clock: Clock, metrics: CacheMetrics | None = None) -> None:
        self._cache = cache
        self._clock = clock
        self._metrics = metrics or CacheMetrics()

    async def get_1m_bars(
        self, instrument: InstrumentKey, revision: int, start_ms: int, end_ms: int
    ) -> CachedBars:
        """What is cached of the minutes that open in ``[start_ms, end_ms)``."""
        return await self._get(instrument.series(ONE_MINUTE), revision, start_ms, end_ms)

    async def store_1m_bars(
        self, instrument: InstrumentKey, revision: int, bars: Bars, coverage: Coverage
    ) -> None:
        """Keep minutes that are final; ``bars`` are all there are inside ``coverage.known``."""
        await self._store(instrument.series(ONE_MINUTE), revision, bars, coverage)

    async def get_resampled(self, key: SeriesKey, revision: int, start_ms: int, end_ms: int) -> CachedBars:
        """What is cached of the bars made from minutes that open in ``[start_ms, end_ms)``;
        ``revision`` is that of the minutes."""
        return await self._get(key, revision, start_ms, end_ms)

    async def set_resampled(self, key: SeriesKey, revision: int, bars: Bars, coverage: Coverage) -> None:
        """Keep bars made from minutes that cover all of each; as ``store_1m_bars`` otherwise."""
        await self._store(key, revision, bars, coverage)

    async def close(self) -> None:
        """Close the cache."""
        await self._cache.close()

    async def _get(self, key: SeriesKey, revision: int, start_ms: int, end_ms: int) -> CachedBars:
        timeframe = Timeframe.parse(key.timeframe)
        indices = _indices(timeframe, start_ms, end_ms)
        if not 0 < len(indices) <= CHUNKS_MAX:
            return NOTHING
        chunks = await self._read([_name(key, revision, index) for index in indices])
        if chunks is None:
            return NOTHING
        cuts = [start_ms, *(chunk_start(timeframe, index) for index in indices[1:]), end_ms]
        hits, tables = 0, []
        for place, chunk in enumerate(chunks):
            start, end = cuts[place], cuts[place + 1]
            hits += chunk.covers(start, end)
            tables.append(chunk.between(start, end))
        self._metrics.looked_up(hits=hits, misses=len(chunks) - hits)
        bars = bars_of(tables[0] if len(tables) == 1 else np.concatenate(tables, axis=1))
        if hits == len(chunks) and not any(chunk.outage for chunk in chunks):
            return CachedBars(bars, Coverage(IntervalSet.single(start_ms, end_ms)))
        complete = IntervalSet.of(each for chunk in chunks for each in chunk.complete)
        outage = IntervalSet.of(each for chunk in chunks for each in chunk.outage)
        return CachedBars(bars, Coverage(complete.clip(start_ms, end_ms), outage.clip(start_ms, end_ms)))

    async def _store(self, key: SeriesKey, revision: int, bars: Bars, coverage: Coverage) -> None:
        timeframe = Timeframe.parse(key.timeframe)
        known = coverage.known
        indices = sorted({index for start, end in known for index in _indices(timeframe, start, end)})
        if not 0 < len(indices) <= CHUNKS_MAX:
            return
        names = [_name(key, revision, index) for index in indices]
        present = await self._read(names)
        if present is None:
            return
        whole: dict[str, bytes] = {}
        partial: dict[str, bytes] = {}
        for name, index, old in zip(names, indices, present, strict=True):
            start, end = chunk_start(timeframe, index), chunk_start(timeframe, index + 1)
            clipped = Coverage(coverage.complete.clip(start, end), coverage.outage.clip(start, end))
            chunk = merged(old, bars.inside(clipped.known), clipped)
            value = None if chunk is None else encode(name, chunk)
            if chunk is not None and value is not None:
                (whole if chunk.covers(start, end) else partial)[name] = value
        await self._write(whole, WHOLE_TTL_S)
        await self._write(partial, PARTIAL_TTL_S)

    async def _read(self, names: list[str]) -> list[Chunk] | None:
        """The chunks of these names, empty ones where there is none; None where the cache fails."""
        began_s = self._clock.monotonic()
        try:
            values = await self._cache.get_many(names)
        except CacheUnavailable:
            return None
        self._metrics.took("get", self._clock.monotonic() - began_s)
        return [self._decoded(name, value) for name, value in zip(names, values, strict=True)]

    def _decoded(self, name: str, value: bytes | None) -> Chunk:
        if value is None:
            return EMPTY_CHUNK
        chunk = decode(name, value)
        if chunk is None:
            self._metrics.failed("get", "undecodable")
            return EMPTY_CHUNK
        return chunk

    async def _write(self, items: dict[str, bytes], ttl_s: float) -> None:
        if not items:
            return
        began_s = self._clock.monotonic()
        try:
            await self._cache.set_many(items, ttl_s)
        except CacheUnavailable:
            return
        self._metrics.took("set", self._clock.monotonic() - began_s)


def _indices(timeframe: Timeframe, start_ms: int, end_ms: int) -> range:
    if start_ms >= end_ms:
        return range(0)
    return range(chunk_index(timeframe, start_ms), chunk_index(timeframe, end_ms - 1) + 1)


def _name(key: SeriesKey, revision: int, index: int) -> str:
    # The symbol is last, since it alone may hold a colon: no two series share a name.
    return f"bars:{key.timeframe}:{revision}:{index}:{key.market}:{key.provider}:{key.symbol}"
