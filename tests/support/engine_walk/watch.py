"""What the engine asked its venue for and gave to its store, held against what it knew at that moment."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tests.support.engine_walk.equality import check_bars
from tests.support.engine_walk.world import World
from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, Interval, IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.domain.timeframes import TIMEFRAMES, Timeframe
from tradewright.runtime.calendars import Calendars

OTHERS_ASKED_MAX: Final = 3
PIECES_MAX: Final = 4
"""In how many pieces an empty page may have been noted before."""
SECOND_LOOK_MS: Final = 600_000
TRAIL_MAX: Final = 40
APART_S: Final = (4, 8, 16, 32, 44)
"""How long at least after each failure in a row a venue is left alone."""
CHAIN_MAX: Final = len(TIMEFRAMES) + 1
"""How many probes it takes to find out when an instrument was listed."""


@dataclass
class Step:
    """What was asked for since it was last looked at."""

    pages: int = 0
    probes: int = 0
    empty: list[tuple[SeriesKey, int, int]] = field(default_factory=list)
    neighbours: int = 0
    timed_out: int = 0


class Calls:
    """Calls to the venue and writes that are under way."""

    def __init__(self) -> None:
        self._number = 0
        self._none = asyncio.Event()
        self._none.set()

    def __enter__(self) -> None:
        self._number += 1
        self._none.clear()

    def __exit__(self, *_: object) -> None:
        self._number -= 1
        if not self._number:
            self._none.set()

    def __bool__(self) -> bool:
        return self._number > 0

    async def ended(self) -> None:
        """Return when none is under way."""
        await self._none.wait()


@dataclass
class Watch:
    """Notes what is wrong in ``wrong``, since who asks would take an error for the venue's.

    ``known`` is what the store confirmed to know, ``attempted`` what it was told without a word so far.
    ``pending`` are final bars that the venue gave and that are not kept yet: none of them may be asked
    for again, unless whoever asked was cut off.
    """

    world: World
    counts: Counter[str]
    wrong: list[str] = field(default_factory=list)
    known: dict[SeriesKey, IntervalSet] = field(default_factory=dict)
    attempted: dict[SeriesKey, IntervalSet] = field(default_factory=dict)
    imported: dict[SeriesKey, IntervalSet] = field(default_factory=dict)
    pending: defaultdict[SeriesKey, set[int]] = field(default_factory=lambda: defaultdict(set))
    listing_probes: Counter[InstrumentKey] = field(default_factory=Counter)
    step: Step = field(default_factory=Step)
    calls: Calls = field(default_factory=Calls)
    empty: list[tuple[SeriesKey, Interval, int]] = field(default_factory=list)
    """What was noted as silent, and when."""
    left_untold: list[tuple[SeriesKey, IntervalSet, int]] = field(default_factory=list)
    """What the venue did not tell though it has bars there, and when that was."""
    vain: list[float] = field(default_factory=list)
    """When calls failed to reach the venue since one did."""
    reached_s: float = -1.0
    calendars: Calendars = field(default_factory=Calendars)
    """Which take a while to be loaded, so that all lives share them."""
    trail: deque[str] = field(default_factory=lambda: deque(maxlen=TRAIL_MAX))
    """What happened last, for whoever looks for the reason."""

    def note(self, what: str, key: SeriesKey, start_ms: int, end_ms: int) -> None:
        """Leave a trace of what happens."""
        task = asyncio.current_task()
        who = task.get_name() if task is not None else "nobody"
        self.trail.append(f"{who}: {what} {key.symbol} {key.timeframe} [{start_ms}, {end_ms})")

    def knows(self, key: SeriesKey) -> IntervalSet:
        """What is stored for certain."""
        return self.known.get(key, NO_INTERVALS)

    def asked(self, key: SeriesKey, start_ms: int, end_ms: int, *, probe: bool) -> None:
        """A page, or a ``probe`` of what there is, is asked for."""
        self.note("asks for", key, start_ms, end_ms)
        if probe:
            self._probed(key, start_ms, end_ms)
            return
        self.step.pages += 1
        self.counts["pages of minutes" if key.timeframe == "1m" else "pages of native bars"] += 1
        # Who began to read before an import does not know of it.
        known = self.knows(key).subtract(self.imported.get(key, NO_INTERVALS))
        again = known.clip(start_ms, end_ms)
        if again:
            self.wrong.append(f"{key.symbol} {key.timeframe} asked again for what is covered: {again.items}")

    def _probed(self, key: SeriesKey, start_ms: int, end_ms: int) -> None:
        own = key.instrument
        for other, start, end in self.step.empty:
            elsewhere = other.instrument != own and key.timeframe == other.timeframe
            if elsewhere and 0 < start_ms < end and start < end_ms:
                self.step.neighbours += 1
                self.counts["probes of neighbours"] += 1
                return
        self.step.probes += 1
        self.listing_probes[own] += 1
        self.counts["probes of a listing"] += 1

    def given(self, key: SeriesKey, bars: Bars, start_ms: int, end_ms: int, final_ms: int) -> None:
        """The venue answered a page."""
        self.note(f"is given {len(bars)} of", key, start_ms, end_ms)
        timeframe = TIMEFRAMES[key.timeframe]
        times = bars.between(start_ms, end_ms).time
        if not len(times):
            self.step.empty.append((key, start_ms, end_ms))
            self.counts["empty pages"] += 1
            hidden = self.world.truths(key.instrument, timeframe)[0].between(start_ms, end_ms)
            if len(hidden):
                self.counts["empty pages that are lies"] += 1
                self.untold(key, IntervalSet.single(start_ms, end_ms))
        final_ms = self.world.final_ms(timeframe, final_ms)
        final = set(times[ends_of(times, timeframe) <= timeframe.floor(final_ms)].tolist())
        twice = final & self.pending[key]
        if twice:
            self.wrong.append(f"{key.symbol} {key.timeframe}: {len(twice)} bars given twice, {min(twice)}")
        self.pending[key] |= final
        self.counts["bars given"] += len(final)

    def untold(self, key: SeriesKey, stretches: IntervalSet) -> None:
        """The venue gave bars there that can't be right, or nothing in place of them."""
        if stretches:
            self.left_untold.append((key, stretches, self.world.clock.now_ms()))
            self.counts["answers that leave bars untold"] += 1

    def untold_of(self, instrument: InstrumentKey, since_ms: int) -> IntervalSet:
        """All that was not told of an instrument since then."""
        parts = (
            part
            for key, part, at_ms in self.left_untold
            if key.instrument == instrument and at_ms >= since_ms
        )
        return IntervalSet.of(interval for part in parts for interval in part)

    def failed(self, began_s: float) -> None:
        """A call that was made then did not reach the venue. After each failure in a row nobody asks for
        longer, until it is less than twice a minute."""
        vain = self.vain
        if began_s <= (vain[0] if vain else self.reached_s):
            return  # it was under way when another one failed, or did reach it
        if vain:
            apart_s, least_s = began_s - vain[-1], APART_S[min(len(vain), len(APART_S)) - 1]
            if apart_s < least_s:
                self.wrong.append(f"asked {apart_s} s after failure {len(vain)} of a venue, not {least_s} s")
        vain.append(self.world.clock.monotonic())
        self.counts["calls in vain"] += 1
        self.counts["calls in vain, twice a minute at most"] += len(vain) > 4

    def reached(self) -> None:
        """A call did."""
        self.vain.clear()
        self.reached_s = self.world.clock.monotonic()

    def writing(self, data: SeriesBars, outage: IntervalSet) -> None:
        """The store is told something: all of it must be so."""
        for start, end in data.covered.union(outage):
            self.note("writes", data.key, start, end)
        self._attempt(data.key, data.covered.union(outage))
        try:
            self._check_written(data, outage)
        except AssertionError as error:
            self.wrong.append(f"stored of {data.key.symbol} {data.key.timeframe}: {error}")
        self.counts["writes checked"] += 1

    def _check_written(self, data: SeriesBars, outage: IntervalSet) -> None:
        timeframe, truths = (
            TIMEFRAMES[data.key.timeframe],
            self.world.truths(data.key.instrument, TIMEFRAMES[data.key.timeframe]),
        )
        check_bars(data.bars, truths)
        for truth in truths[:1]:
            there = set(truth.inside(data.covered).time.tolist())
            missing = there - set(data.bars.time.tolist())
            assert not missing, f"{len(missing)} bars are covered and left out, the first {min(missing)}"
            hidden = truth.inside(outage)
            assert not len(hidden), f"an outage with bars in it: {hidden.time[:3].tolist()}"
        too_early = outage.subtract(self._silent_before(data.key)) if outage else NO_INTERVALS
        assert not too_early, f"an outage at the first look: {too_early.items[:3]}"
        for interval in outage:
            assert self.world.all_silent(*interval), f"an outage in which others traded: {interval}"
            self.counts["outages judged"] += 1
        for intervals in (data.covered, outage):
            if intervals:
                end = intervals.items[-1].end
                assert end <= self.world.clock.now_ms(), f"{end} has not come yet"
                assert timeframe.floor(end) == end, "half a bar is covered"

    def _attempt(self, key: SeriesKey, covered: IntervalSet) -> None:
        self.attempted[key] = self.attempted.get(key, NO_INTERVALS).union(covered)

    def written(self, key: SeriesKey, covered: IntervalSet, *, by_import: bool = False) -> None:
        """The store confirmed it."""
        for start, end in covered:
            self.note("wrote", key, start, end)
        new = covered.subtract(self.knows(key))
        self.known[key] = self.knows(key).union(covered)
        self.pending[key] -= {time for time in self.pending[key] if covered.contains(time, time + 1)}
        if by_import:
            self.imported[key] = self.imported.get(key, NO_INTERVALS).union(new)

    def check_kept(self, kept: dict[SeriesKey, IntervalSet], found: dict[SeriesKey, IntervalSet]) -> None:
        """What was ``kept`` before the store was looked at is ``found``, and nothing that nobody told it."""
        for key in {*found, *kept}:
            there = found.get(key, NO_INTERVALS)
            lost = kept.get(key, NO_INTERVALS).subtract(there)
            assert not lost, f"{key.symbol} {key.timeframe} was kept and is lost: {lost.items[:3]}"
            never = there.subtract(self.attempted.get(key, NO_INTERVALS))
            assert not never, (
                f"{key.symbol} {key.timeframe} is covered, and nobody said so: {never.items[:3]}"
            )
            self.counts["coverage audited"] += bool(there)

    def noted_empty(self, key: SeriesKey, empty: IntervalSet) -> None:
        """The store noted that the venue had nothing to say."""
        self.empty.extend((key, part, self.world.clock.now_ms()) for part in empty)

    def _silent_before(self, key: SeriesKey) -> IntervalSet:
        """Where a first empty answer came so early that a second one proves something."""
        oldest_ms = self.world.clock.now_ms() - SECOND_LOOK_MS
        return IntervalSet.of(part for each, part, at_ms in self.empty if each == key and at_ms <= oldest_ms)

    def cut_off(self) -> None:
        """Whoever was asking was ended: what was given last may not have been kept."""
        self.pending.clear()
        self.trail.append("everybody is cut off")

    def new_life(self, *, calm: bool, readers: int) -> None:
        """An engine ends: in a calm life it found out once when each instrument was listed."""
        if calm:
            for key, count in self.listing_probes.items():
                assert count <= CHAIN_MAX * readers, f"{count} probes of the listing of {key.symbol}"
            self.counts["calm lives"] += bool(self.listing_probes)
        self.listing_probes.clear()
        self.reached()  # it knows nothing of what the last one met

    def take_step(self) -> Step:
        """What was asked since the last call; raises what was wrong in it."""
        step, self.step = self.step, Step()
        self.imported.clear()
        wrong, self.wrong = self.wrong, []
        assert not wrong, "; ".join(wrong[:3])
        allowed = OTHERS_ASKED_MAX * PIECES_MAX * len(step.empty)
        assert step.neighbours <= allowed, f"{step.neighbours} probes of neighbours for {step.empty}"
        return step


def ends_of(
    times: Iterable[int] | np.ndarray[tuple[int], np.dtype[np.int64]], timeframe: Timeframe
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """When bars of these openings end."""
    opened = np.asarray(times, dtype=np.int64)
    if timeframe.unit == "fixed":
        return opened + timeframe.length_ms
    return np.array([timeframe.end(time) for time in opened.tolist()], dtype=np.int64)
