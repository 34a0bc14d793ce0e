"""Loaders that know just the plugin classes they are given."""

from __future__ import annotations

from typing import cast

from tradewright.domain.capabilities import ProviderInfo
from tradewright.domain.errors import UnknownMarket, UnknownProvider
from tradewright.plugins import PluginLoader
from tradewright.plugins.base import MarketPlugin


class _FixedLoader:
    broken = ()

    def __init__(self, *kinds: type[MarketPlugin]) -> None:
        self._kinds = kinds
        self._providers: dict[str, tuple[ProviderInfo, ...]] = {}

    def markets(self) -> tuple[str, ...]:
        return tuple(sorted({market for kind in self._kinds for market in kind.get_supported_markets()}))

    def plugins(self, market: str) -> tuple[type[MarketPlugin], ...]:
        return tuple(kind for kind in self._kinds if market in kind.get_supported_markets())

    def providers(self, market: str) -> tuple[ProviderInfo, ...]:
        if market not in self.markets():
            raise UnknownMarket(market)
        if market not in self._providers:  # listed once, as the product's own loader does
            listed = (kind.list_configurable_providers(market) for kind in self.plugins(market))
            self._providers[market] = tuple(info for infos in listed for info in infos)
        return self._providers[market]

    def provider(self, market: str, provider: str) -> ProviderInfo:
        for info in self.providers(market):
            if info.provider == provider:
                return info
        raise UnknownProvider(provider)

    def plugin_class(self, market: str, provider: str) -> type[MarketPlugin]:
        info = self.provider(market, provider)
        return next(kind for kind in self._kinds if kind.get_plugin_key() == info.plugin)


def loader_of(*kinds: type[MarketPlugin]) -> PluginLoader:
    """A loader of these classes and no others."""
    return cast("PluginLoader", _FixedLoader(*kinds))
