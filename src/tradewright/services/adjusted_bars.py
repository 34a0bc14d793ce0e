"""``AdjustedBars``: the orchestrator's answers, with stock splits taken out of them on request."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final, Literal, TypeAlias

from tradewright.domain.adjustment import split_adjusted
from tradewright.domain.capabilities import Capability
from tradewright.domain.errors import (
    CredentialsRequired,
    InvalidInput,
    NetworkPluginError,
    PluginError,
    PluginFeatureNotSupportedError,
    TimeoutPluginError,
)
from tradewright.domain.instruments import InstrumentKey, SeriesKey, Split
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import InstrumentStore, KnownSplits
from tradewright.domain.resampling import resample
from tradewright.domain.streams import Gap, Problem
from tradewright.domain.timeframes import DAY_MS, ONE_DAY, Timeframe
from tradewright.runtime.clock import Clock
from tradewright.services.data_orchestrator import BarsAnswer, DataOrchestrator
from tradewright.services.market_service import MarketService

Adjustment: TypeAlias = Literal["raw", "split"]

LIFETIME_MS: Final = DAY_MS
DEADLINE_S: Final = 5.0
STOCKS: Final = "stocks"
_UNADJUSTED: Final = "Prices are not adjusted for splits, which could not be asked for."


class AdjustedBars:
    """Bars are stored raw; what a split did to their prices is undone when they are read."""

    def __init__(
        self,
        orchestrator: DataOrchestrator,
        markets: MarketService,
        instruments: InstrumentStore,
        clock: Clock,
    ) -> None:
        self._orchestrator = orchestrator
        self._markets = markets
        self._store = instruments
        self._clock = clock

    async def get_bars(
        self,
        key: SeriesKey,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 500,
        adjustment: Adjustment | None = None,
    ) -> BarsAnswer:
        """What ``DataOrchestrator.get_bars`` gives, and raises; with ``split``, adjusted for the splits
        that happened since. Without ``adjustment``, as charts want it: adjusted where the provider tells
        of splits.

        ``split`` raises ``InvalidInput`` outside of stocks, ``PluginFeatureNotSupportedError`` where the
        provider tells of none, and its error where it could never be asked for them; without
        ``adjustment`` the bars are then raw. That, and where only the newest splits could not be had, is a
        problem of the answer.
        """
        if adjustment is not None and key.market != STOCKS:
            raise InvalidInput("Only stocks can be adjusted.", {"adjustment": "for the market stocks only"})
        offered = key.market == STOCKS and await self._tells_splits(key)
        if adjustment == "split" and not offered:
            raise PluginFeatureNotSupportedError(f"{key.provider} tells of no splits: ask for raw bars.")
        answer = await self._orchestrator.get_bars(key, start_ms=start_ms, end_ms=end_ms, limit=limit)
        if not offered or adjustment == "raw":
            return answer
        try:
            splits, problem = await self._splits(key.instrument)
        except (PluginError, CredentialsRequired) as error:
            if adjustment == "split":
                raise
            splits = ()
            problem = Problem("splits", error.code, _UNADJUSTED)
        answer = await self._adjusted(answer, splits)
        if problem is None:
            return answer
        return replace(answer, final=False, problems=(*answer.problems, problem))

    async def _tells_splits(self, key: SeriesKey) -> bool:
        return Capability.SPLITS in (await self._markets.provider(key.market, key.provider)).capabilities

    async def _adjusted(self, answer: BarsAnswer, splits: tuple[Split, ...]) -> BarsAnswer:
        """A week or a month in which a split lies is made anew of its adjusted days, and left out where
        one of those can't be had."""
        timeframe = Timeframe.parse(answer.key.timeframe)
        raw, answer = answer.bars, replace(answer, bars=split_adjusted(answer.bars, splits))
        if timeframe.length_ms <= ONE_DAY.length_ms:
            return answer
        for split in splits:
            opening, end = timeframe.floor(split.time), timeframe.end(timeframe.floor(split.time))
            if opening == split.time or not len(raw.between(opening, opening + 1)):
                continue
            try:
                days = await self._orchestrator.get_bars(
                    answer.key.instrument.series(ONE_DAY), start_ms=opening, end_ms=end
                )
            except CredentialsRequired as error:
                problem = Problem("plugin", error.code, error.message)
                answer = _without(answer, opening, end, (problem,))
                continue
            if any(gap.reason == "not_fetched" for gap in days.gaps):
                answer = _without(answer, opening, end, days.problems)
            else:
                made = resample(split_adjusted(days.bars, splits), timeframe)
                answer = replace(answer, bars=answer.bars.merged_with(made))
        return answer

    async def _splits(self, key: InstrumentKey) -> tuple[tuple[Split, ...], Problem | None]:
        known = await self._store.splits(key)
        now_ms = self._clock.now_ms()
        if known is not None and now_ms - known.read_ms < LIFETIME_MS:
            return known.splits, None
        venue = self._orchestrator.venue
        left_alone_s = venue.left_alone_s(key.provider)
        if left_alone_s:
            return self._stale(known, NetworkPluginError(f"{key.provider} failed just now.", left_alone_s))
        try:
            async with (
                asyncio.timeout(DEADLINE_S),
                self._markets.plugin(key.market, key.provider) as plugin,
            ):
                found = tuple(await plugin.fetch_splits(key.symbol))
        except TimeoutError:
            error = TimeoutPluginError(f"{key.provider} did not answer in time.")
            venue.note_failure(key.provider, error)
            return self._stale(known, error)
        except PluginError as plugin_error:
            venue.note_failure(key.provider, plugin_error)
            return self._stale(known, plugin_error)
        except CredentialsRequired as no_key:
            return self._stale(known, no_key)
        await self._store.save_splits(key, KnownSplits(found, now_ms))
        return found, None

    @staticmethod
    def _stale(
        known: KnownSplits | None, error: PluginError | CredentialsRequired
    ) -> tuple[tuple[Split, ...], Problem]:
        if known is None:
            raise error
        return known.splits, Problem("splits", error.code, error.message)


def _without(answer: BarsAnswer, start: int, end: int, problems: tuple[Problem, ...]) -> BarsAnswer:
    """The answer without the bar that takes up ``[start, end)``."""
    forming = answer.forming and answer.bars.time[-1] == start
    unknown = [(gap.start, gap.end) for gap in answer.gaps if gap.reason == "not_fetched"]
    if not forming:
        unknown.append((start, end))
    others = [gap for gap in answer.gaps if gap.reason != "not_fetched"]
    gaps = [*others, *(Gap(s, e, "not_fetched") for s, e in IntervalSet.of(unknown))]
    return replace(
        answer,
        bars=answer.bars.take(answer.bars.time != start),
        gaps=tuple(sorted(gaps, key=lambda gap: gap.start)),
        problems=tuple(dict.fromkeys((*answer.problems, *problems))),
        forming=answer.forming and not forming,
        final=False,
    )
