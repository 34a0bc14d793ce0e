"""What everything that backfills works with."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tradewright.domain.errors import (
    AuthenticationPluginError,
    InvalidInput,
    NotAllowed,
    NotFound,
    PluginError,
    PluginFeatureNotSupportedError,
    TradewrightError,
)
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import BackfillJobStore, BarStore
from tradewright.domain.timeframes import Timeframe
from tradewright.plugins.base import MarketPlugin
from tradewright.runtime.clock import Clock
from tradewright.services.backfill.series import SeriesReader
from tradewright.services.backfill.settings import BackfillSettings
from tradewright.services.backfill.venues import Venues
from tradewright.services.data_sources.door import unreachable
from tradewright.services.data_sources.plugin import PluginSource
from tradewright.services.data_sources.turns import Turns
from tradewright.services.market_service import MarketService

_FOR_GOOD: Final = (
    NotFound,
    NotAllowed,
    InvalidInput,
    AuthenticationPluginError,
    PluginFeatureNotSupportedError,
)


@dataclass(frozen=True, slots=True)
class Workshop:
    """The services, stores and bounds that jobs and repairs share."""

    markets: MarketService
    source: PluginSource
    bars: BarStore
    jobs: BackfillJobStore
    clock: Clock
    settings: BackfillSettings
    rng: random.Random | None
    venues: Venues
    api: asyncio.Semaphore
    """How many chunks are read at once, over all providers."""
    line: Turns
    """In which jobs of one series wait for one another."""
    note_silence: Callable[[SeriesKey, IntervalSet], None]
    """Called with what was empty for the first time; never waits."""

    async def reader(
        self,
        plugin: MarketPlugin,
        key: InstrumentKey,
        timeframe: Timeframe | None = None,
        *,
        ask_time: bool = True,
    ) -> SeriesReader:
        """A reader of the instrument's series, as of now."""
        return await SeriesReader.open(
            plugin,
            key,
            timeframe,
            markets=self.markets,
            source=self.source,
            bars=self.bars,
            clock=self.clock,
            settings=self.settings,
            ask_time=ask_time,
        )


def for_good(error: TradewrightError) -> bool:
    """Whether asking again is of no use: the symbol, the right or the feature is not there."""
    return isinstance(error, _FOR_GOOD)


def passing(error: PluginError) -> bool:
    """Whether the venue is merely not to be had now."""
    return unreachable(error)
