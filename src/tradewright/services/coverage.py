"""``CoverageService``: what the store knows of an instrument, what it lacks, and what it holds at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tradewright.domain.errors import InvalidInput, NotFound, PluginError
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.intervals import NO_INTERVALS, Interval, IntervalSet
from tradewright.domain.ports import BarStore, Coverage, CoverageKind
from tradewright.domain.resampling import whole_bars
from tradewright.domain.timeframes import DAY_MS, MINUTE_MS, ONE_MINUTE, Timeframe, Times
from tradewright.plugins.base import MarketPlugin
from tradewright.runtime.calendars import TradingCalendar
from tradewright.runtime.clock import Clock
from tradewright.services.coverage_strip import (
    STRIP_BARS_MAX,
    StripRow,
    bucket_edges,
    resolution_for,
    strip_row,
)
from tradewright.services.data_orchestrator import occupied
from tradewright.services.imported_data import PLUGIN_KEY
from tradewright.services.market_service import MarketService

BUCKETS_MAX: Final = 2_000
STRETCHES_MAX: Final = 5_000
_NOTHING: Final = Coverage()


@dataclass(frozen=True, slots=True)
class CoverageStretch:
    """A stretch of one series for which the store is complete or the venue was down."""

    timeframe: str
    start: int
    end: int
    kind: CoverageKind


@dataclass(frozen=True, slots=True)
class KnownCoverage:
    """What is known of an instrument. ``holes`` are the minutes of trading time between ``since_ms``, the
    first minute that is known, and now of which nothing is known. Where there are more stretches than
    were asked for, the newest are told: all is whole from ``whole_since_ms`` on, which is then not None.
    """

    items: tuple[CoverageStretch, ...]
    holes: IntervalSet
    since_ms: int | None
    whole_since_ms: int | None


@dataclass(frozen=True, slots=True)
class CoverageStrip:
    """Rows over the same buckets, the minutes first; ``edges`` are one more than the buckets."""

    edges: Times
    rows: tuple[StripRow, ...]


@dataclass(frozen=True, slots=True)
class StoredSeries:
    """A stored timeframe with the openings of its first and last bar; None where it has coverage alone."""

    timeframe: str
    first_ms: int | None
    last_ms: int | None


@dataclass(frozen=True, slots=True)
class StoredInstrument:
    """An instrument of which something is stored. ``known_share`` is the share of its trading minutes since
    the first known one that are known; None where no minute is, or nobody knows its sessions."""

    key: InstrumentKey
    series: tuple[StoredSeries, ...]
    known_share: float | None


class CoverageService:
    """Reads the store and the calendars, and never asks a venue for bars."""

    def __init__(self, store: BarStore, markets: MarketService, clock: Clock) -> None:
        self._store = store
        self._markets = markets
        self._clock = clock

    async def known(
        self, key: InstrumentKey, start_ms: int, end_ms: int, limit: int = STRETCHES_MAX
    ) -> KnownCoverage:
        """All that is known inside ``[start_ms, end_ms)``, at most ``limit`` stretches and holes together.

        Raises ``UnknownMarket``, ``UnknownProvider``, ``UnknownSymbol``, ``InvalidInput``.
        """
        _check_range(start_ms, end_ms)
        calendar = await self._calendar(key)
        known: list[tuple[str, Coverage]] = []
        since: int | None = None
        holes = NO_INTERVALS
        for series in await self._store.series(key):
            coverage = await self._all_coverage(key, Timeframe.parse(series.timeframe))
            known.append((series.timeframe, _clipped(coverage, start_ms, end_ms)))
            if series.timeframe == ONE_MINUTE.name and coverage.known:
                since = coverage.known.items[0].start
                last = min(end_ms, self._until(ONE_MINUTE, await self._ends_ms(key, coverage)))
                holes = _open(calendar, max(start_ms, since), last).subtract(coverage.known)
        stretches = [
            CoverageStretch(timeframe, start, end, kind)
            for timeframe, coverage in known
            for kind, part in _kinds(coverage)
            for start, end in part
        ]
        return _newest(stretches, holes, since, limit)

    async def strip(
        self, key: InstrumentKey, start_ms: int | None, end_ms: int | None, buckets: int
    ) -> CoverageStrip:
        """A row for the minutes and one for each other timeframe that the provider's own bars are stored of;
        none where nothing is stored. The range begins where anything is known and ends now, or where an
        import without a venue ends, unless it is given. A bucket is a minute at least, so there may be fewer
        than asked for. What is read grows with the buckets and the stretches of coverage, not with the
        minutes stored.

        A row of a higher timeframe counts what minutes cover as well: it shows what a chart would get.
        """
        calendar = await self._calendar(key)
        series = [Timeframe.parse(each.timeframe) for each in await self._store.series(key)]
        coverage = {each: await self._all_coverage(key, each) for each in series}
        beginnings = [known.known.items[0].start for known in coverage.values() if known.known]
        ends = {each: await self._ends_ms(key, known) for each, known in coverage.items()}
        last = max((ends_ms for ends_ms in ends.values() if ends_ms is not None), default=None)
        end = self._until(ONE_MINUTE, last) if end_ms is None else end_ms
        start = min([*beginnings, end - DAY_MS]) if start_ms is None else start_ms
        _check_range(start, end)
        if start == end:
            raise InvalidInput("The range is empty.", {"start": "before end"})
        edges = bucket_edges(start, end, max(1, min(buckets, (end - start) // MINUTE_MS)))
        minutes = coverage.get(ONE_MINUTE, _NOTHING)
        reader = _RowReader(self._store, key, calendar, minutes, edges)
        rows = [
            await reader.row(each, known, self._until(each, ends[each]))
            for each, known in coverage.items()
            if known.known
        ]
        return CoverageStrip(edges, tuple(rows))

    async def stored(
        self, after: InstrumentKey | None, limit: int
    ) -> tuple[list[StoredInstrument], InstrumentKey | None]:
        """The instruments of which anything is stored, ascending, those after ``after``; and where the next
        page begins, None at the end."""
        keys = await self._store.stored_instruments(after=after, limit=limit + 1)
        page = keys[:limit]
        return [await self._stored(key) for key in page], page[-1] if len(keys) > limit else None

    async def _stored(self, key: InstrumentKey) -> StoredInstrument:
        series: list[StoredSeries] = []
        for each in await self._store.series(key):
            first, last = await self._store.extent(each) or (None, None)
            series.append(StoredSeries(each.timeframe, first, last))
        return StoredInstrument(key, tuple(series), await self._known_share(key))

    async def _known_share(self, key: InstrumentKey) -> float | None:
        coverage = await self._all_coverage(key, ONE_MINUTE)
        known = coverage.known
        if not known:
            return None
        try:
            calendar = await self._calendar(key)
            until = self._until(ONE_MINUTE, await self._ends_ms(key, coverage))
        except (NotFound, PluginError):
            return None  # of a provider that this server does not have any more, say
        trading = _open(calendar, known.items[0].start, until)
        if not trading:
            return 1.0
        return trading.intersect(known).length_ms / trading.length_ms

    async def _calendar(self, key: InstrumentKey) -> TradingCalendar:
        return await self._markets.calendar(await self._markets.instrument(key))

    async def _all_coverage(self, key: InstrumentKey, timeframe: Timeframe) -> Coverage:
        now_ms = self._clock.now_ms()
        return await self._store.coverage(key.series(timeframe), 0, timeframe.end(timeframe.floor(now_ms)))

    async def _ends_ms(self, key: InstrumentKey, coverage: Coverage) -> int | None:
        """Where an imported series ends, since no venue is behind it that goes on; None for all others."""
        info = await self._markets.provider(key.market, key.provider)
        return coverage.known.items[-1].end if info.plugin == PLUGIN_KEY and coverage.known else None

    def _until(self, timeframe: Timeframe, ends_ms: int | None = None) -> int:
        """The end of the last bar that could be stored by now."""
        now_ms = timeframe.floor(self._clock.now_ms() - MarketPlugin.settling_ms)
        return now_ms if ends_ms is None else min(now_ms, ends_ms)


class _RowReader:
    """Reads the rows of one strip."""

    def __init__(
        self,
        store: BarStore,
        key: InstrumentKey,
        calendar: TradingCalendar,
        minutes: Coverage,
        edges: Times,
    ) -> None:
        self._store = store
        self._key = key
        self._calendar = calendar
        self._minutes = minutes
        self._edges = edges
        self._start, self._end = int(edges[0]), int(edges[-1])

    async def row(self, timeframe: Timeframe, own: Coverage, until_ms: int) -> StripRow:
        """What is known of one timeframe by its ``own`` coverage and by the minutes."""
        since = own.known.items[0].start
        start, end = max(self._start, since), min(self._end, until_ms)
        sessions = _open(self._calendar, start, end)
        if timeframe is ONE_MINUTE:
            return await self._of_minutes(since, sessions)
        expected = IntervalSet.of((timeframe.floor(s), timeframe.ceil(e)) for s, e in sessions)
        made = self._made_of_minutes(timeframe, sessions, start, end)
        known = own.known.union(made.known)
        complete = own.complete.union(made.complete)
        told = timeframe.count(self._start, self._end) <= STRIP_BARS_MAX
        have = (await self._traded(timeframe)).intersect(known) if told else complete
        return strip_row(
            timeframe,
            timeframe if told else None,
            self._edges,
            since_ms=since,
            expected=expected.clip(start, end),
            have=have,
            complete=complete,
            outage=known.subtract(complete),
        )

    async def _of_minutes(self, since: int, sessions: IntervalSet) -> StripRow:
        resolution = resolution_for(ONE_MINUTE, self._start, self._end)
        traded = await self._traded(resolution, from_minutes=True)
        return strip_row(
            ONE_MINUTE,
            resolution,
            self._edges,
            since_ms=since,
            expected=sessions,
            have=traded.intersect(self._minutes.complete),
            complete=self._minutes.complete,
            outage=self._minutes.outage,
        )

    async def _traded(self, timeframe: Timeframe, *, from_minutes: bool = False) -> IntervalSet:
        """The time of the bars that have a trade in them."""
        store, first = self._store, timeframe.floor(self._start)
        own = NO_INTERVALS
        if timeframe is ONE_MINUTE or not from_minutes:
            times = await store.read_openings(self._key.series(timeframe), first, self._end)
            own = occupied(times, timeframe)
        if timeframe is ONE_MINUTE:
            return own
        times = await store.read_resampled_openings(self._key, timeframe, first, self._end)
        return own.union(occupied(times, timeframe))

    def _made_of_minutes(self, timeframe: Timeframe, sessions: IntervalSet, start: int, end: int) -> Coverage:
        """What a higher timeframe can be made of: bars all of whose trading minutes are known."""
        if not self._minutes.known or start >= end:
            return _NOTHING
        closed = IntervalSet.single(timeframe.floor(start), timeframe.ceil(end)).subtract(sessions)
        known, complete = (
            whole_bars(part.union(closed), timeframe).touching(part)
            for part in (self._minutes.known, self._minutes.complete)
        )
        return Coverage(complete, known.subtract(complete))


def _open(calendar: TradingCalendar, start_ms: int, end_ms: int) -> IntervalSet:
    return calendar.open_intervals(start_ms, end_ms) if start_ms < end_ms else NO_INTERVALS


def _clipped(coverage: Coverage, start_ms: int, end_ms: int) -> Coverage:
    return Coverage(coverage.complete.clip(start_ms, end_ms), coverage.outage.clip(start_ms, end_ms))


def _kinds(coverage: Coverage) -> tuple[tuple[CoverageKind, IntervalSet], ...]:
    return ("complete", coverage.complete), ("outage", coverage.outage)


def _check_range(start_ms: int, end_ms: int) -> None:
    if start_ms > end_ms:
        raise InvalidInput("The start lies after the end.", {"start": "not after end"})


def _newest(
    stretches: list[CoverageStretch], holes: IntervalSet, since: int | None, limit: int
) -> KnownCoverage:
    """At most ``limit`` of all, cut where the first that is left out ends."""
    ends = sorted([*(each.end for each in stretches), *(end for _, end in holes)], reverse=True)
    cut = ends[limit] if len(ends) > limit else None
    if cut is not None:
        stretches = [
            CoverageStretch(each.timeframe, max(each.start, cut), each.end, each.kind)
            for each in stretches
            if each.end > cut
        ]
        holes = IntervalSet(tuple(Interval(max(start, cut), end) for start, end in holes if end > cut))
    items = tuple(sorted(stretches, key=lambda each: (Timeframe.parse(each.timeframe).length_ms, each.start)))
    return KnownCoverage(items, holes, since, cut)
