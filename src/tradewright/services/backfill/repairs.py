"""Holes that readers saw: repaired unasked, within a budget, and second looks at what was empty."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from tradewright.domain.errors import PluginError, StorageUnavailable, TradewrightError
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.timeframes import TIMEFRAMES, Timeframe
from tradewright.plugins.base import MarketPlugin
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.backfill.venues import VenueClosed
from tradewright.services.backfill.work import Workshop, passing
from tradewright.services.data_sources.door import DoorClosed
from tradewright.services.feeds.timing import Wakeup
from tradewright.services.imported_data import ImportedDataPlugin

_log = logging.getLogger(__name__)

_IDLE_S: Final = 3_600.0
_NOTES_AT_ONCE: Final = 256


@dataclass(slots=True)
class _Wanted:
    """Holes of a series, and when they may be asked for."""

    holes: IntervalSet
    due_s: float
    failures: int = 0


@dataclass(slots=True)
class _Silence:
    """What was empty, how often it was asked for, and until when it is left alone."""

    holes: IntervalSet
    looks: int
    until_s: float


class Repairs:
    """One worker for each provider that has something to repair. It yields to jobs: its budget is smaller
    while one is at work. What does not fit is dropped; a reader that comes again sees the hole again.

    Of a silence that anybody noted, a reader, a job or another process, ``watch_silences`` takes a second
    look when it is due. The store's notes are all that it goes by, so that a restart forgets none.
    """

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._wanted: dict[SeriesKey, _Wanted] = {}
        self._silent: OrderedDict[SeriesKey, _Silence] = OrderedDict()
        self._workers: dict[tuple[str, str], Wakeup] = {}
        self._tasks = TaskSupervisor("repairs")
        self._closed = False
        self._looked_until_ms: int | None = None
        """Up to which time of noting all silences were taken up."""

    async def close(self) -> None:
        """Repair no more."""
        self._closed = True
        await self._tasks.close()

    def add(self, key: SeriesKey, holes: IntervalSet) -> None:
        """Repair these holes when there is time for it. Never waits, never raises."""
        silent = self._silent.get(key)
        if silent is not None and self._shop.clock.monotonic() < silent.until_s:
            holes = holes.subtract(silent.holes)
        self._put(key, holes, self._shop.clock.monotonic())

    def note_silence(self, key: SeriesKey, holes: IntervalSet) -> None:
        """Leave alone what was empty, until asking will prove something. Never waits, never raises."""
        now_s, settings = self._shop.clock.monotonic(), self._shop.settings
        known = self._silent.pop(key, _Silence(NO_INTERVALS, 0, 0.0))
        again = holes.intersect(known.holes)
        looks = known.looks + 1 if again else 1
        wait_s = settings.second_look_s if looks == 1 else settings.left_alone_s
        self._silent[key] = _Silence(known.holes.union(holes), looks, now_s + wait_s)
        while len(self._silent) > settings.repair_series_max:
            self._silent.popitem(last=False)

    async def watch_silences(self) -> None:
        """Take a second look at every silence ten minutes after it was noted; runs until it is cancelled."""
        while True:
            try:
                await self._take_up_silences()
            except StorageUnavailable as error:
                _log.warning("noted silences could not be looked for: %s", error.message)
            await self._shop.clock.sleep(self._shop.settings.silences_each_s)

    async def _take_up_silences(self) -> None:
        settings, now_ms = self._shop.settings, self._shop.clock.now_ms()
        if self._looked_until_ms is None:
            self._looked_until_ms = now_ms - round(settings.silences_back_s * 1000)
        due_ms = now_ms - round(settings.second_look_s * 1000)
        notes = await self._shop.bars.noted_silences(
            after_ms=self._looked_until_ms, until_ms=due_ms, limit=_NOTES_AT_ONCE
        )
        for note in notes:
            hole = IntervalSet.single(note.empty.start, note.empty.end)
            if not self._put(note.key, hole, self._shop.clock.monotonic()):
                return  # there is no room: from here on it is tried again
            self._looked_until_ms = note.empty.answered_ms

    def forget(self) -> None:
        """Leave all holes to others."""
        self._wanted.clear()
        for wakeup in self._workers.values():
            wakeup.set()

    @property
    def waiting(self) -> dict[SeriesKey, IntervalSet]:
        """What is to be repaired."""
        return {key: wanted.holes for key, wanted in self._wanted.items()}

    def _put(self, key: SeriesKey, holes: IntervalSet, due_s: float) -> bool:
        """Whether it was taken."""
        if self._closed or not holes:
            return False
        wanted = self._wanted.get(key)
        if wanted is not None:
            wanted.holes, wanted.due_s = wanted.holes.union(holes), min(wanted.due_s, due_s)
        elif len(self._wanted) < self._shop.settings.repair_series_max:
            self._wanted[key] = _Wanted(holes, due_s)
        else:
            return False
        place = key.market, key.provider
        wakeup = self._workers.get(place)
        if wakeup is not None:
            wakeup.set()
            return True
        self._workers[place] = Wakeup(self._shop.clock)
        self._tasks.start(f"repair {key.provider}", self._serve(*place))
        return True

    # The worker of one provider

    async def _serve(self, market: str, provider: str) -> None:
        place, venue = (market, provider), self._shop.venues.of(market, provider)
        try:
            while mine := [key for key in self._wanted if (key.market, key.provider) == place]:
                key = min(mine, key=lambda each: self._wanted[each].due_s)
                due_s = self._wanted[key].due_s - self._shop.clock.monotonic()
                wait_s = max(due_s, venue.wait_s, venue.repair_wait_s)
                if wait_s > 0:
                    await self._workers[place].wait(min(wait_s, _IDLE_S))
                    continue
                await venue.opened()
                await self._mend(key)
        finally:
            del self._workers[place]

    async def _mend(self, key: SeriesKey) -> None:
        """One chunk of what is wanted of the series."""
        wanted, venue = self._wanted.get(key), self._shop.venues.of(key.market, key.provider)
        if wanted is None:  # somebody forgot it while the venue was waited for
            return
        try:
            async with self._shop.markets.plugin(key.market, key.provider) as plugin:
                if isinstance(plugin, ImportedDataPlugin):
                    self._wanted.pop(key, None)
                    return
                left = await self._read_one(plugin, key, wanted.holes)
            venue.answered()
            wanted.failures = 0
        except (VenueClosed, DoorClosed):
            return
        except TimeoutError:  # a reader holds the series: the others need not wait for it
            wanted.due_s = self._shop.clock.monotonic() + self._shop.settings.turn_s
            return
        except StorageUnavailable:
            wanted.due_s = self._shop.clock.monotonic() + self._shop.settings.store_retry_s
            return
        except TradewrightError as error:
            self._after(key, wanted, error)
            return
        if left:
            wanted.holes = left
        else:
            self._wanted.pop(key, None)

    def _after(self, key: SeriesKey, wanted: _Wanted, error: TradewrightError) -> None:
        wanted.failures += 1
        if isinstance(error, PluginError) and passing(error):
            self._shop.venues.of(key.market, key.provider).failed(error)
        elif wanted.failures >= 2 or not isinstance(error, PluginError):
            _log.info("holes of %s at %s are left: %s", key.symbol, key.provider, error.message)
            self._wanted.pop(key, None)
        else:
            wanted.due_s = self._shop.clock.monotonic() + next(
                self._shop.settings.retry.delays(self._shop.rng)
            )

    async def _read_one(self, plugin: MarketPlugin, key: SeriesKey, holes: IntervalSet) -> IntervalSet:
        """Read the first page of what is missing; what is left of the holes."""
        shop, venue = self._shop, self._shop.venues.of(key.market, key.provider)
        reader = await shop.reader(plugin, key.instrument, _own_timeframe(plugin, key))
        async with shop.source.turns.take(
            reader.key, asyncio.get_running_loop().time() + shop.settings.turn_s
        ):
            missing = await reader.missing(holes.items[0].start, holes.items[-1].end)
            missing = reader.worthwhile(missing.intersect(_aligned(holes, reader.timeframe)))
            chunk = reader.planner(1, newest_first=True).next_chunk(missing, ())
            if chunk is None:
                return NO_INTERVALS
            async with venue.lane() as calls, shop.api:
                try:
                    result = await reader.read(chunk, calls)
                finally:
                    venue.spend_repair(calls.made)
        if result.silent:
            self.note_silence(reader.key, result.silent)
        return missing.subtract(result.done)


def _own_timeframe(plugin: MarketPlugin, key: SeriesKey) -> Timeframe | None:
    """The timeframe of the series where the venue has it; None for the finest."""
    timeframe = TIMEFRAMES.get(key.timeframe)
    return timeframe if timeframe in plugin.timeframes else None


def _aligned(holes: IntervalSet, timeframe: Timeframe) -> IntervalSet:
    """The holes widened to whole bars."""
    return IntervalSet.of((timeframe.floor(start), timeframe.ceil(end)) for start, end in holes)
