"""``PluginSource``: what no store has, from the venue; everything final that it brings is kept."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from typing import ClassVar, Final

from tradewright.domain.bars import Bars
from tradewright.domain.errors import PluginError, PluginFeatureNotSupportedError, TimeoutPluginError
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import BarStore
from tradewright.domain.resampling import resample
from tradewright.domain.streams import Problem
from tradewright.domain.timeframes import ONE_MINUTE, TIMEFRAMES, Timeframe
from tradewright.plugins.base import MarketPlugin
from tradewright.runtime.clock import Clock
from tradewright.services.data_sources.base import BarRequest, DataSource, SourceAnswer, SourceName
from tradewright.services.data_sources.db import DbSource, inside
from tradewright.services.data_sources.paging import Fetched, OutOfTime, Pager
from tradewright.services.data_sources.turns import Turns
from tradewright.services.imported_data import ImportedDataPlugin
from tradewright.services.market_service import FAILURE_MEMORY_S, MarketService, unreachable

CALLS_AT_ONCE: Final = 3
"""How many pages one provider is asked for at a time; who waits for a turn does not wait for the venue."""
_LISTINGS_MAX: Final = 4_096


class PluginSource(DataSource):
    """Asks the venue for the intervals that are missing and for nothing else.

    A higher timeframe is made from minutes while the read's few calls for minutes are enough; beyond
    that the venue's own bars of the timeframe are taken, or of the coarsest one that divides it, and
    kept under that timeframe with a coverage of their own. The venue is waited for until the read's
    deadline; what has come until then is answered and kept. A venue that can't be reached is left
    alone for a moment, by all readers.
    """

    name: ClassVar[SourceName] = "plugin"

    def __init__(self, markets: MarketService, store: BarStore, clock: Clock) -> None:
        self._markets = markets
        self._store = store
        self._clock = clock
        self._stored = DbSource(store)
        self._turns = Turns()
        self._calls: dict[str, asyncio.Semaphore] = {}
        self._listed_since: OrderedDict[InstrumentKey, int] = OrderedDict()
        self._failures: dict[str, tuple[float, Problem]] = {}

    async def fetch(self, request: BarRequest) -> SourceAnswer:
        provider = request.instrument.provider
        open_time = request.open_intervals(*request.hull)
        holes = request.wanted.touching(open_time)
        answers = [SourceAnswer(Bars.empty(), request.wanted.subtract(holes))]
        failed = self._recent_failure(provider)
        if not holes:
            return answers[0]
        if failed is not None:
            return SourceAnswer.join([*answers, SourceAnswer.nothing(failed)])
        async with self._markets.plugin(request.instrument.market, provider) as plugin:
            if not isinstance(plugin, ImportedDataPlugin):  # which has no more than the store
                try:
                    await self._fetch_holes(plugin, request.narrowed(holes), answers)
                except (OutOfTime, TimeoutError):
                    detail = f"{provider} needs more time for all of this. Ask again for the rest."
                    problem = Problem(self.name, TimeoutPluginError.code, detail)
                    answers.append(SourceAnswer.nothing(problem))
                except PluginError as error:
                    answers.append(SourceAnswer.nothing(self.note_failure(provider, error)))
        return SourceAnswer.join(answers)

    def _recent_failure(self, provider: str) -> Problem | None:
        until_s, problem = self._failures.get(provider, (0.0, None))
        return problem if problem is not None and self._clock.monotonic() < until_s else None

    def note_failure(self, provider: str, error: PluginError) -> Problem:
        """The error as a reader sees it; the provider is left alone where it can't be reached."""
        problem = Problem(self.name, error.code, error.message)
        if unreachable(error):
            left_alone_s = max(FAILURE_MEMORY_S, error.retry_after_s or 0.0)
            self._failures[provider] = (self._clock.monotonic() + left_alone_s, problem)
        return problem

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
        if ONE_MINUTE in offered and request.budget.take_minute_calls(calls):
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
            future = IntervalSet.single(until, end)
            answered = request.whole(made.answered.union(future) if made.answered else NO_INTERVALS)
            answers.append(
                SourceAnswer(
                    resample(inside(made.bars, answered), request.timeframe),
                    answered,
                    complete=request.whole(made.complete),
                    outage=made.outage.intersect(answered),
                    parts=self.parts(answered),
                    problems=made.problems,
                )
            )

    async def _fetch_missing(
        self, plugin: MarketPlugin, request: BarRequest, answers: list[SourceAnswer]
    ) -> None:
        """Ask for what the store still lacks once it is this reader's turn: another one may have
        fetched the same in the meantime."""
        async with self._turns.take(request.key, request.budget.deadline_s):
            stored = await self._stored.fetch(request)
            answers.append(stored)
            for start, end in request.wanted.subtract(stored.answered):
                fetched = Fetched(Bars.empty())
                try:
                    await self._fetch_from_plugin_with_paging(plugin, request, start, end, fetched)
                finally:
                    answered = fetched.answered.clip(start, end)
                    answers.append(
                        SourceAnswer(
                            inside(fetched.bars, answered),
                            answered,
                            complete=fetched.complete.clip(start, end),
                            parts=self.parts(answered),
                            problems=(fetched.unkept,) if fetched.unkept else (),
                        )
                    )

    async def _fetch_from_plugin_with_paging(
        self, plugin: MarketPlugin, request: BarRequest, start: int, end: int, fetched: Fetched
    ) -> None:
        calls = self._calls.setdefault(plugin.provider, asyncio.Semaphore(CALLS_AT_ONCE))
        await Pager(plugin, calls, self._store, request, fetched).read(start, end)

    async def venue_time_ms(self, plugin: MarketPlugin, deadline_s: float) -> int:
        """The venue's clock, or ours where the venue can't be asked for it."""
        if self._recent_failure(plugin.provider) is None:
            try:
                async with asyncio.timeout_at(deadline_s):
                    return await plugin.venue_time_ms()
            except TimeoutError:
                error = TimeoutPluginError(f"{plugin.provider} did not answer in time.")
                self.note_failure(plugin.provider, error)
            except PluginError as plugin_error:
                self.note_failure(plugin.provider, plugin_error)
        return self._clock.now_ms()

    def known_listing(self, key: InstrumentKey) -> int | None:
        """What ``listed_since`` found before; None where it was never found."""
        return self._listed_since.get(key)

    async def listed_since(self, request: BarRequest) -> int | None:
        """When the venue's first bar of the instrument opened, to the finest timeframe that it serves;
        None where it does not tell or can't be asked. Kept once known."""
        key = request.instrument
        if key in self._listed_since:
            return self._listed_since[key]
        if self._recent_failure(key.provider) is not None or request.budget.spent:
            return None
        try:
            async with (
                asyncio.timeout_at(request.budget.deadline_s),
                self._markets.plugin(key.market, key.provider) as plugin,
            ):
                since = await self._first_bar(plugin, key.symbol, request.now_ms)
        except (PluginError, TimeoutError):
            return None  # reading on will meet the same failure and report it
        if since is not None:
            self._listed_since[key] = since
            while len(self._listed_since) > _LISTINGS_MAX:
                self._listed_since.popitem(last=False)
        return since

    @staticmethod
    async def _first_bar(plugin: MarketPlugin, symbol: str, now_ms: int) -> int | None:
        """From the coarsest timeframe to the finest, so that few bars are looked at."""
        start, end = 0, now_ms + 1
        steps = [item for item in reversed(TIMEFRAMES.values()) if item in plugin.timeframes]
        for timeframe in steps:
            page = await plugin.fetch_ohlcv(symbol, timeframe, start_ms=start, end_ms=end, limit=1)
            page = page.between(start, end)
            if not len(page):
                return None
            start = int(page.time[0])
            end = min(end, timeframe.end(start))
        return start if steps else None


def _restricted(answer: SourceAnswer, wanted: IntervalSet) -> SourceAnswer:
    """The part of an answer that was asked for."""
    answered = answer.answered.intersect(wanted)
    return SourceAnswer(
        inside(answer.bars, answered),
        answered,
        answer.complete.intersect(wanted),
        answer.outage.intersect(wanted),
        tuple(part for part in answer.parts if wanted.touching(IntervalSet.single(part.start, part.end))),
        answer.problems,
    )
