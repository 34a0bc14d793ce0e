"""Providers that are known from imports alone: the store has their bars, and no venue has more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tradewright.domain.capabilities import Capability, ProviderInfo
from tradewright.domain.instruments import Instrument
from tradewright.domain.timeframes import TIMEFRAMES, Timeframe
from tradewright.plugins.base import MarketPlugin

PLUGIN_KEY: Final = "imported"


class ImportedDataPlugin(MarketPlugin):
    """Stands where a venue would: it lists nothing, and has nothing that the store lacks."""

    @classmethod
    def get_plugin_key(cls) -> str:
        return PLUGIN_KEY

    @classmethod
    def get_supported_markets(cls) -> tuple[str, ...]:
        return ()

    @classmethod
    def list_configurable_providers(cls, market: str) -> Sequence[ProviderInfo]:
        return ()

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset()

    @property
    def timeframes(self) -> tuple[Timeframe, ...]:
        return ()

    async def fetch_instruments(self) -> Sequence[Instrument]:
        return ()

    async def close(self) -> None:
        """Nothing was opened."""


def imported_provider(market: str, provider: str) -> ProviderInfo:
    """What can be said of a provider that is known from imports alone."""
    return ProviderInfo(
        provider=provider,
        name=f"{provider} (imported)",
        market=market,
        plugin=PLUGIN_KEY,
        timeframes=tuple(TIMEFRAMES),
        capabilities=(Capability.OHLCV,),
    )
