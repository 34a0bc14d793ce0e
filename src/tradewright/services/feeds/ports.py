"""What feeds and subscriptions need of the services beside them."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from tradewright.domain.bars import Bars
from tradewright.domain.instruments import Instrument, InstrumentKey, SeriesKey
from tradewright.domain.streams import Gap, Problem
from tradewright.plugins.base import MarketPlugin
from tradewright.runtime.calendars import TradingCalendar


class MarketAccess(Protocol):
    """Plugin instances, instruments and calendars."""

    def plugin(self, market: str, provider: str) -> AbstractAsyncContextManager[MarketPlugin]:
        """A shared instance that stays open while the context lasts."""
        ...

    async def instrument(self, key: InstrumentKey) -> Instrument:
        """The instrument; ``UnknownSymbol`` and its kin where there is none."""
        ...

    async def calendar(self, instrument: Instrument) -> TradingCalendar:
        """When the instrument trades."""
        ...


class HistoryAnswer(Protocol):
    """Bars of one series, what is missing and why."""

    @property
    def bars(self) -> Bars:
        """Ascending; the last one may be forming."""
        ...

    @property
    def forming(self) -> bool:
        """Whether the last bar has not ended."""
        ...

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Where bars are missing, merged."""
        ...

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Which sources failed."""
        ...


class History(Protocol):
    """Bars of the past, from wherever they are."""

    async def get_bars(
        self, key: SeriesKey, *, start_ms: int | None = None, end_ms: int | None = None, limit: int = 500
    ) -> HistoryAnswer:
        """With ``start_ms`` the first ``limit`` bars, else the newest ``limit`` before ``end_ms``."""
        ...
