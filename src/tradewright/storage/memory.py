"""Stores that live in the process: for tests, and for programs that embed the platform and keep nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from tradewright.domain.bars import Bars
from tradewright.domain.instruments import Instrument, InstrumentKey, SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import (
    Coverage,
    EmptyAnswer,
    ImportCounts,
    KnownSplits,
    NotedSilence,
    SeriesBars,
    StoreDescription,
)
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import ONE_MINUTE, TIMEFRAMES, Timeframe
from tradewright.storage.acceptance import by_symbol, check_all_storable, check_storable, registrations
from tradewright.storage.merging import (
    Difference,
    Spans,
    clipped,
    difference,
    extended,
    newly_empty,
    outside,
    total,
)
from tradewright.storage.openings import OpeningsOfBars
from tradewright.storage.rollups import source_range


@dataclass(frozen=True, slots=True)
class _Series:
    bars: Bars
    coverage: Coverage
    empty: tuple[EmptyAnswer, ...]
    revision: int

    @property
    def held(self) -> bool:
        """Whether there is a bar or coverage."""
        return bool(len(self.bars) or self.coverage.known)

    def difference(self, data: SeriesBars, *, replace: bool) -> Difference:
        return difference(data.key, self.bars, data.bars, Spans(data.covered), replace=replace)

    def with_more(self, data: SeriesBars, outage: IntervalSet) -> _Series:
        kept = self.bars.take(~Spans(data.covered).contain(self.bars.time))
        found, known = self.difference(data, replace=True), Spans(self.coverage.known)
        otherwise = found.contradicts(known) or self.coverage.outage.intersect(data.covered)
        return _Series(
            kept.merged_with(data.bars),
            extended(self.coverage, data.covered, outage),
            outside(self.empty, data.covered.union(outage)),
            self.revision + bool(otherwise),
        )

    def with_empty(self, empty: IntervalSet, answered_ms: int) -> _Series:
        new = newly_empty(empty, self.empty, self.coverage.known, answered_ms)
        return dataclasses.replace(
            self, empty=tuple(sorted((*self.empty, *new), key=lambda each: each.start))
        )


class _Listing:
    """The instruments, as both stores see them."""

    def __init__(self) -> None:
        self.known: dict[InstrumentKey, Instrument] = {}
        self.registered: set[InstrumentKey] = set()

    def register(self, instruments: Mapping[InstrumentKey, Instrument]) -> None:
        for key, instrument in instruments.items():
            self.known.setdefault(key, instrument)
            self.registered.add(key)


_NOTHING = _Series(Bars.empty(), Coverage(), empty=(), revision=0)


class MemoryBarStore(OpeningsOfBars):
    """A ``BarStore`` in memory; every call is atomic, because none of them gives up the event loop."""

    def __init__(self) -> None:
        self._series: dict[SeriesKey, _Series] = {}
        self.listing = _Listing()

    async def read(self, key: SeriesKey, start_ms: int, end_ms: int) -> Bars:
        return self._series.get(key, _NOTHING).bars.between(start_ms, end_ms)

    async def coverage(self, key: SeriesKey, start_ms: int, end_ms: int) -> Coverage:
        known = self._series.get(key, _NOTHING).coverage
        return Coverage(known.complete.clip(start_ms, end_ms), known.outage.clip(start_ms, end_ms))

    async def read_with_coverage(self, key: SeriesKey, start_ms: int, end_ms: int) -> tuple[Bars, Coverage]:
        return await self.read(key, start_ms, end_ms), await self.coverage(key, start_ms, end_ms)

    async def coverage_with_revision(
        self, key: SeriesKey, start_ms: int, end_ms: int
    ) -> tuple[Coverage, int]:
        return await self.coverage(key, start_ms, end_ms), await self.revision(key)

    async def read_resampled(
        self, instrument: InstrumentKey, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> Bars:
        key, bounds = instrument.series(ONE_MINUTE), source_range(timeframe, start_ms, end_ms)
        return resample(await self.read(key, *bounds), timeframe)

    async def read_resampled_with_coverage(
        self, instrument: InstrumentKey, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> tuple[Bars, Coverage, int]:
        coverage, revision = await self.coverage_with_revision(
            instrument.series(ONE_MINUTE), start_ms, end_ms
        )
        return await self.read_resampled(instrument, timeframe, start_ms, end_ms), coverage, revision

    async def revision(self, key: SeriesKey) -> int:
        return self._series.get(key, _NOTHING).revision

    async def write(self, data: SeriesBars, *, outage: IntervalSet = NO_INTERVALS) -> None:
        check_storable(data)
        self._series[data.key] = self._series.get(data.key, _NOTHING).with_more(data, outage)

    async def write_many(self, batches: Sequence[SeriesBars]) -> None:
        check_all_storable(batches)
        for data in batches:
            self._series[data.key] = self._series.get(data.key, _NOTHING).with_more(data, NO_INTERVALS)

    async def note_empty(self, key: SeriesKey, empty: IntervalSet, answered_ms: int) -> None:
        self._series[key] = self._series.get(key, _NOTHING).with_empty(empty, answered_ms)

    async def empty_answers(self, key: SeriesKey, start_ms: int, end_ms: int) -> tuple[EmptyAnswer, ...]:
        empty = self._series.get(key, _NOTHING).empty
        return clipped(empty, start_ms, end_ms)

    async def noted_silences(self, *, after_ms: int, until_ms: int, limit: int) -> tuple[NotedSilence, ...]:
        found = (NotedSilence(key, each) for key, series in self._series.items() for each in series.empty)
        wanted = (each for each in found if after_ms < each.empty.answered_ms <= until_ms)
        return tuple(sorted(wanted, key=lambda each: (each.empty.answered_ms, each.key, each.empty.start)))[
            :limit
        ]

    async def import_bars(
        self,
        batches: Sequence[SeriesBars],
        *,
        replace: bool,
        instruments: Sequence[Instrument] = (),
        progress: Callable[[int], None] | None = None,
    ) -> ImportCounts:
        registered = registrations(batches, instruments)
        for batch in batches:
            check_storable(batch)
        made: dict[SeriesKey, _Series] = {}
        counts: list[ImportCounts] = []
        for batch in batches:
            old = made.get(batch.key) or self._series.get(batch.key, _NOTHING)
            counts.append(old.difference(batch, replace=replace).counts)
            made[batch.key] = old.with_more(batch, NO_INTERVALS)
            if progress is not None:
                progress(len(batch.bars))
        self._series.update(made)
        self.listing.register(registered)
        return total(counts)

    async def series(self, instrument: InstrumentKey) -> tuple[SeriesKey, ...]:
        keys = (instrument.series(timeframe) for timeframe in TIMEFRAMES.values())
        return tuple(key for key in keys if self._series.get(key, _NOTHING).held)

    async def stored_instruments(
        self, *, after: InstrumentKey | None = None, limit: int = 1_000
    ) -> tuple[InstrumentKey, ...]:
        found = {key.instrument for key, series in self._series.items() if series.held}
        return tuple(sorted(key for key in found if after is None or key > after)[:limit])

    async def describe(self) -> StoreDescription:
        return StoreDescription("memory", "Bars are kept in memory and end with the program.")

    async def extent(self, key: SeriesKey) -> tuple[int, int] | None:
        time = self._series.get(key, _NOTHING).bars.time
        return (int(time[0]), int(time[-1])) if len(time) else None

    async def check(self) -> None:
        """Memory can always be written."""

    def holds_bars(self, instrument: InstrumentKey) -> bool:
        """Whether any bar of the instrument is stored."""
        keys = (instrument.series(timeframe) for timeframe in TIMEFRAMES.values())
        return any(len(self._series.get(key, _NOTHING).bars) for key in keys)


class MemoryInstrumentStore:
    """An ``InstrumentStore`` in memory, beside the bar store that says which instruments hold bars and
    which an import registered."""

    def __init__(self, bars: MemoryBarStore) -> None:
        self._bars = bars
        self._instruments = bars.listing.known
        self._registered = bars.listing.registered
        self._splits: dict[InstrumentKey, KnownSplits] = {}

    async def save_listing(self, provider: str, market: str, instruments: Sequence[Instrument]) -> None:
        listed = by_symbol(market, instruments)
        for key in self._keys(market, provider):
            if key.symbol in listed:
                continue
            if key in self._registered or self._bars.holds_bars(key):
                self._instruments[key] = msgspec.structs.replace(self._instruments[key], active=False)
            else:
                del self._instruments[key]
        for symbol, instrument in listed.items():
            self._instruments[InstrumentKey(market, provider, symbol)] = instrument

    async def registered_providers(self, market: str) -> tuple[str, ...]:
        return tuple(sorted({key.provider for key in self._registered if key.market == market}))

    async def instruments(self, market: str, provider: str) -> tuple[Instrument, ...]:
        return tuple(self._instruments[key] for key in sorted(self._keys(market, provider)))

    async def instrument(self, key: InstrumentKey) -> Instrument | None:
        return self._instruments.get(key)

    async def save_splits(self, key: InstrumentKey, known: KnownSplits) -> None:
        self._splits[key] = known

    async def splits(self, key: InstrumentKey) -> KnownSplits | None:
        return self._splits.get(key)

    def _keys(self, market: str, provider: str) -> list[InstrumentKey]:
        return [key for key in self._instruments if (key.market, key.provider) == (market, provider)]
