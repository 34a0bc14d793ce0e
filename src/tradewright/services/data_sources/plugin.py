"""``PluginSource``: what no store has, from the venue; everything final that it brings is kept."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from contextlib import suppress
from functools import partial
from typing import ClassVar, Final, NamedTuple

from tradewright.domain.bars import Bars, unknown_in
from tradewright.domain.errors import (
    CredentialsRequired,
    PluginError,
    PluginFeatureNotSupportedError,
    TimeoutPluginError,
    TradewrightError,
    UnknownSymbol,
)
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import BarStore
from tradewright.domain.resampling import resample
from tradewright.domain.streams import Problem
from tradewright.domain.timeframes import DAY_MS, MINUTE_MS, ONE_MINUTE, Timeframe
from tradewright.plugins.base import MarketPlugin
from tradewright.runtime.clock import Clock
from tradewright.services.data_sources.base import (
    BarRequest,
    DataSource,
    SourceAnswer,
    SourceName,
    SourcePart,
)
from tradewright.services.data_sources.db import DbSource
from tradewright.services.data_sources.door import Caller, Door, DoorClosed
from tradewright.services.data_sources.paging import Fetched, OutOfTime, Pager
from tradewright.services.data_sources.silence import SilenceJudge
from tradewright.services.data_sources.turns import Turns
from tradewright.services.data_sources.unknown import Untold
from tradewright.services.imported_data import ImportedDataPlugin
from tradewright.services.market_service import MarketService

CALLS_AT_ONCE: Final = 3
"""How many pages one provider is asked for at a time; who waits for a turn does not wait for the venue."""
CLOCK_DOUBT_MS: Final = 10 * MINUTE_MS
"""How far our clock may go wrong before a bar is kept that was not final."""
NO_LISTING_S: Final = 600.0
"""How long it is remembered that a venue does not tell where an instrument's history begins."""
_LISTINGS_MAX: Final = 4_096


class Moment(NamedTuple):
    """The venue's time, and until when its bars can't change any more."""

    now_ms: int
    final_ms: int


class _Listing(NamedTuple):
    """Where the history of an instrument begins; None, until then, where that could not be told."""

    since_ms: int | None
    until_s: float


class PluginSource(DataSource):
    """Asks the venue for the intervals that are missing and for nothing else.

    A higher timeframe is made from minutes while the read's few calls for minutes are enough; beyond
    that the venue's own bars of the timeframe are taken, or of the coarsest one that divides it, and
    kept under that timeframe with a coverage of their own. The venue is waited for until the read's
    deadline; what has come until then is answered and kept. A venue that can't be reached is left
    alone by all readers (see ``Door``).
    """

    name: ClassVar[SourceName] = "plugin"

    def __init__(self, markets: MarketService, store: BarStore, clock: Clock) -> None:
        self._markets = markets
        self._store = store
        self._clock = clock
        self._stored = DbSource(store)
        self.turns = Turns()
        self._untold = Untold(clock)
        self._judge = SilenceJudge(markets, store, clock, self.listed_since)
        self._calls: dict[Door, asyncio.Semaphore] = {}
        self._listings: OrderedDict[InstrumentKey, _Listing] = OrderedDict()

    async def fetch(self, request: BarRequest) -> SourceAnswer:
        provider = request.instrument.provider
        holes = request.wanted.touching(request.traded_intervals(*request.hull))
        answers = [SourceAnswer(Bars.empty(), request.wanted.subtract(holes))]
        if not holes:
            return answers[0]
        failed = self.recent_failure(request.instrument.market, provider)
        if failed is not None:
            return SourceAnswer.join([*answers, SourceAnswer.nothing(self._problem(failed))])
        async with self._markets.plugin(request.instrument.market, provider) as plugin:
            if not isinstance(plugin, ImportedDataPlugin):  # which has no more than the store
                try:
                    await self._fetch_holes(plugin, request.narrowed(holes), answers)
                except (OutOfTime, TimeoutError):
                    detail = f"{provider} needs more time for all of this. Ask again for the rest."
                    problem = Problem(self.name, TimeoutPluginError.code, detail)
                    answers.append(SourceAnswer.nothing(problem))
                except DoorClosed as closed:
                    answers.append(SourceAnswer.nothing(self._problem(closed.error)))
                except (PluginError, CredentialsRequired, UnknownSymbol) as error:
                    # Where it was delisted or a key is missing, what is stored is still there.
                    answers.append(SourceAnswer.nothing(self._problem(error)))
        return SourceAnswer.join(answers)

    def pager(
        self, plugin: MarketPlugin, calls: asyncio.Semaphore, request: BarRequest, fetched: Fetched
    ) -> Pager:
        """Reads stretches of the request's series, keeping what is final; for whoever holds the series'
        turn."""
        caller = Caller(plugin, self.door(request.instrument.market, plugin.provider), calls)
        return Pager(caller, self._store, request, fetched, self._judge, self._untold)

    def door(self, market: str, provider: str) -> Door:
        """Through which everybody goes who asks the provider for readers."""
        return self._markets.doors.of(market, provider)

    def recent_failure(self, market: str, provider: str) -> PluginError | None:
        """The failed call because of which the provider is not asked now; None where it may be."""
        return self.door(market, provider).refusal()

    def _problem(self, error: TradewrightError) -> Problem:
        return Problem(self.name, error.code, error.message)

    async def _fetch_holes(
        self, plugin: MarketPlugin, request: BarRequest, answers: list[SourceAnswer]
    ) -> None:
        if request.budget.spent:
            raise OutOfTime
        finer = self._timeframe_to_ask(plugin, request)
        wanted = request.wanted
        if finer is not ONE_MINUTE:
            # One page costs the same with or without what lies between two holes.
            wanted = wanted.bridged(finer.length_ms * plugin.ohlcv_page_limit)
        if finer is not request.timeframe:
            await self._make_from(plugin, finer, request, wanted, answers)
            return
        found: list[SourceAnswer] = []
        try:
            await self._fetch_missing(plugin, request.narrowed(wanted), found)
        finally:
            answers += [_restricted(answer, request.wanted) for answer in found]

    def _timeframe_to_ask(self, plugin: MarketPlugin, request: BarRequest) -> Timeframe:
        offered = [timeframe for timeframe in plugin.timeframes if timeframe.nests_in(request.timeframe)]
        if request.follows_sessions:  # hours begin before the market opens
            offered = [each for each in offered if each is ONE_MINUTE or each.length_ms >= DAY_MS]
        if not offered:
            raise PluginFeatureNotSupportedError(
                f"{plugin.provider} has no bars of its own from which {request.timeframe} could be made."
            )
        if request.timeframe is ONE_MINUTE:
            return ONE_MINUTE
        page_ms = ONE_MINUTE.length_ms * plugin.ohlcv_page_limit
        calls = sum(
            math.ceil(request.open_intervals(start, min(end, request.now_ms + 1)).length_ms / page_ms)
            for start, end in request.wanted
        )
        in_reach = request.hull[0] >= plugin.served_from(ONE_MINUTE, request.now_ms)
        if ONE_MINUTE in offered and in_reach and request.budget.take_minute_calls(calls):
            return ONE_MINUTE
        return max(offered, key=lambda timeframe: timeframe.length_ms)

    async def _make_from(
        self,
        plugin: MarketPlugin,
        finer: Timeframe,
        request: BarRequest,
        wanted: IntervalSet,
        answers: list[SourceAnswer],
    ) -> None:
        """Bars of the wanted timeframe out of finer ones, some of which may be stored already."""
        start, end = wanted.items[0].start, wanted.items[-1].end
        until = min(end, finer.end(finer.floor(request.now_ms)))
        parts: list[SourceAnswer] = []
        try:
            await self._fetch_missing(plugin, request.of(finer, wanted.clip(start, until)), parts)
        finally:  # a venue that fails half-way has still answered the first half
            made = SourceAnswer.join(parts or [SourceAnswer.nothing()])
            bars = request.regular(made.bars) if finer is ONE_MINUTE else made.bars
            future = IntervalSet.single(until, end)
            answered = request.whole(made.answered.union(future) if made.answered else NO_INTERVALS)
            answers.append(
                SourceAnswer(
                    resample(bars.inside(answered), request.timeframe),
                    answered,
                    complete=request.whole(made.complete),
                    outage=made.outage.intersect(answered),
                    parts=self.parts(answered),
                    problems=made.problems,
                    provisional=made.provisional,
                )
            )

    async def _fetch_missing(
        self, plugin: MarketPlugin, request: BarRequest, answers: list[SourceAnswer]
    ) -> None:
        """Ask for what the store still lacks once it is this reader's turn: another one may have
        fetched the same in the meantime."""
        async with self.turns.take(request.key, request.budget.deadline_s):
            stored = await self._stored.fetch(request)
            answers.append(stored)
            missing = request.wanted.subtract(stored.answered)
            missing = missing.subtract(self._untold.too_early(request.key))
            unasked = missing.subtract(await self._judge.too_early(request.narrowed(missing)))
            while unasked:
                start, end = unasked.items[0]
                told = await self._fetch_stretch(plugin, request, start, end, answers)
                # A page may reach beyond its stretch, over what nobody tells now, and into the next one.
                unasked = unasked.clip(end, unasked.items[-1].end).subtract(told)

    async def _fetch_stretch(
        self,
        plugin: MarketPlugin,
        request: BarRequest,
        start: int,
        end: int,
        answers: list[SourceAnswer],
    ) -> IntervalSet:
        """Fetch a stretch; all of which the venue told."""
        fetched = Fetched(Bars.empty())
        try:
            await self._fetch_from_plugin_with_paging(plugin, request, start, end, fetched)
        finally:  # what came before a failure is an answer
            answered = fetched.answered.intersect(request.wanted)
            answers.append(
                SourceAnswer(
                    fetched.bars.inside(answered),
                    answered,
                    complete=fetched.complete.intersect(answered),
                    outage=fetched.outage.intersect(answered),
                    parts=self.parts(answered),
                    problems=(fetched.unkept,) if fetched.unkept else (),
                    provisional=fetched.provisional,
                )
            )
        return fetched.answered

    async def _fetch_from_plugin_with_paging(
        self, plugin: MarketPlugin, request: BarRequest, start: int, end: int, fetched: Fetched
    ) -> None:
        calls = self._calls_of(self.door(request.instrument.market, plugin.provider))
        await self.pager(plugin, calls, request, fetched).read(start, end)

    def _calls_of(self, door: Door) -> asyncio.Semaphore:
        return self._calls.setdefault(door, asyncio.Semaphore(CALLS_AT_ONCE))

    async def moment(self, market: str, plugin: MarketPlugin, deadline_s: float) -> Moment:
        """The venue's clock: asked for, else by what was measured of it before. Where nothing was, ours with
        a wide margin: by our clock alone a bar may be called final that the venue is still making."""
        door = self.door(market, plugin.provider)
        measured_ms = plugin.measured_time_ms()
        # A venue that failed is knocked at for what readers want of it, not for its time.
        if door.is_open or measured_ms is None:
            with suppress(DoorClosed, PluginError, TimeoutError, CredentialsRequired):  # the bars will tell
                if asyncio.get_running_loop().time() < deadline_s:
                    async with door.call(deadline_s, proves=False):
                        now_ms = await plugin.venue_time_ms()
                    if not plugin.time_is_guessed:
                        return Moment(now_ms, now_ms - plugin.settling_ms)
        return self.supposed_moment(plugin)

    def supposed_moment(self, plugin: MarketPlugin) -> Moment:
        """``moment`` without asking."""
        measured_ms = plugin.measured_time_ms()
        if measured_ms is not None:
            return Moment(measured_ms, measured_ms - plugin.settling_ms)
        now_ms = self._clock.now_ms()
        return Moment(now_ms, now_ms - plugin.settling_ms - CLOCK_DOUBT_MS)

    def known_listing(self, key: InstrumentKey) -> int | None:
        """What ``listed_since`` found before; None where it was never found."""
        known = self._listings.get(key)
        return None if known is None else known.since_ms

    async def listed_since(self, request: BarRequest) -> int | None:
        """When the venue's first bar of the instrument opened, to the finest timeframe that it serves;
        None where it does not tell or can't be asked. Kept once known; that it does not tell, for a while.
        """
        key = request.instrument
        known = self._listings.get(key)
        if known is not None and (known.since_ms is not None or self._clock.monotonic() < known.until_s):
            return known.since_ms
        door = self.door(key.market, key.provider)
        if door.refusal() is not None or request.budget.spent:
            return None
        try:
            async with self._markets.plugin(key.market, key.provider) as plugin:
                caller = Caller(plugin, door, self._calls_of(door))
                since = await _first_bar(caller, key.symbol, request.now_ms, request.budget.deadline_s)
        except (DoorClosed, PluginError, CredentialsRequired, TimeoutError):
            return None  # reading on will meet the same failure and report it
        self._listings[key] = _Listing(since, self._clock.monotonic() + NO_LISTING_S)
        while len(self._listings) > _LISTINGS_MAX:
            self._listings.popitem(last=False)
        return since


async def _first_bar(caller: Caller, symbol: str, now_ms: int, deadline_s: float) -> int | None:
    """From the coarsest timeframe to the finest by as few steps as pages allow, so that few bars are looked
    at."""
    plugin = caller.plugin
    start, end = 0, now_ms + 1
    timeframe = max(plugin.timeframes, key=lambda each: each.length_ms, default=None)
    while timeframe is not None:
        served_from = plugin.served_from(timeframe, now_ms)
        if 0 < start < served_from:
            return start
        # A page that holds all of history tells at once what one bar tells only where it is the oldest.
        whole = start == 0 and timeframe.count(start, end) <= plugin.ohlcv_page_limit
        limit = None if whole else 1
        ask = partial(plugin.fetch_ohlcv, symbol, timeframe, start_ms=start, end_ms=end, limit=limit)
        answer = await caller.ask(ask, deadline_s)
        page = answer.between(start, end)
        if not len(page) or unknown_in(answer).clip(start, int(page.time[0])):
            return None
        first_step, start = start == 0, int(page.time[0])
        if first_step and not whole and timeframe.end(start) >= timeframe.floor(end):
            ask = partial(plugin.fetch_ohlcv, symbol, timeframe, start_ms=0, end_ms=end)
            older = await caller.ask(ask, deadline_s)
            if len(older) and int(older.time[0]) < start:
                return None  # it told its newest bar, whatever it was asked for
        if 0 < start <= served_from:
            return None  # older bars may have been there
        end = min(end, timeframe.end(start))
        timeframe = _finer(plugin, timeframe, start, end, now_ms)
    return start or None


def _finer(plugin: MarketPlugin, timeframe: Timeframe, start: int, end: int, now_ms: int) -> Timeframe | None:
    """The finest timeframe of which one page holds ``[start, end)``, a bar of ``timeframe``."""
    finer = [each for each in plugin.timeframes if each is not timeframe and each.nests_in(timeframe)]
    fits = [
        each
        for each in finer
        if each.count(start, end) <= plugin.ohlcv_page_limit and plugin.served_from(each, now_ms) <= start
    ]
    if fits:
        return min(fits, key=lambda each: each.length_ms)
    return max(finer, key=lambda each: each.length_ms, default=None)


def _restricted(answer: SourceAnswer, wanted: IntervalSet) -> SourceAnswer:
    """The part of an answer that was asked for."""
    answered = answer.answered.intersect(wanted)
    return SourceAnswer(
        answer.bars.inside(answered),
        answered,
        answer.complete.intersect(wanted),
        answer.outage.intersect(wanted),
        tuple(
            SourcePart(part.source, start, end)
            for part in answer.parts
            for start, end in wanted.clip(part.start, part.end)
        ),
        answer.problems,
        answer.provisional,
    )
