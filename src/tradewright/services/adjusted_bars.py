"""``AdjustedBars``: the orchestrator's answers, with stock splits taken out of them on request."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final, Literal, TypeAlias

from tradewright.domain.adjustment import split_adjusted
from tradewright.domain.capabilities import Capability
from tradewright.domain.errors import CredentialsRequired, InvalidInput, PluginFeatureNotSupportedError
from tradewright.domain.instruments import SeriesKey, Split
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import InstrumentStore
from tradewright.domain.resampling import resample
from tradewright.domain.streams import Gap, Problem
from tradewright.domain.timeframes import ONE_DAY, Timeframe
from tradewright.runtime.clock import Clock
from tradewright.services.data_orchestrator import BarsAnswer, DataOrchestrator, read_deadline_s
from tradewright.services.market_service import MarketService
from tradewright.services.split_register import SplitRegister

Adjustment: TypeAlias = Literal["raw", "split"]

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
        self._splits = SplitRegister(markets, instruments, clock)

    async def close(self) -> None:
        """End what is still being asked."""
        await self._splits.close()

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
        deadline_s = read_deadline_s()
        reading = self._orchestrator.get_bars(
            key, start_ms=start_ms, end_ms=end_ms, limit=limit, deadline_s=deadline_s
        )
        if not offered or adjustment == "raw":
            return await reading
        # Beside the bars: one after the other they would not share the time that a read has.
        asking = asyncio.create_task(
            self._splits.splits(key.instrument, deadline_s), name=f"adjusted_bars/splits of {key.symbol}"
        )
        try:
            answer, known = await reading, await asking
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        if known.splits is None and known.problem is not None and adjustment == "split":
            raise known.problem
        answer = await self._adjusted(answer, known.splits or (), deadline_s)
        if known.problem is None:
            return answer
        detail = _UNADJUSTED if known.splits is None else known.problem.message
        problem = Problem("splits", known.problem.code, detail)
        return replace(answer, final=False, problems=(*answer.problems, problem))

    async def _tells_splits(self, key: SeriesKey) -> bool:
        return Capability.SPLITS in (await self._markets.provider(key.market, key.provider)).capabilities

    async def _adjusted(self, answer: BarsAnswer, splits: tuple[Split, ...], deadline_s: float) -> BarsAnswer:
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
                    answer.key.instrument.series(ONE_DAY),
                    start_ms=opening,
                    end_ms=end,
                    deadline_s=deadline_s,
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
