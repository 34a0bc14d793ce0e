"""Venues behind one interface: ``MarketPlugin``, the plugins, and the ``PluginLoader`` that finds them."""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points as installed_entry_points
from typing import Final, Protocol, TypeAlias, TypeVar

from tradewright.domain.capabilities import ProviderInfo
from tradewright.domain.errors import InvalidInput, UnknownMarket, UnknownProvider
from tradewright.domain.instruments import check_identifier
from tradewright.domain.timeframes import TIMEFRAMES
from tradewright.plugins.base import MarketPlugin

__all__ = ["ENTRY_POINT_GROUP", "BrokenPlugin", "EntryPoint", "PluginLoader"]

_T = TypeVar("_T")
_Find: TypeAlias = Callable[[], Sequence[type[MarketPlugin]]]

_log = logging.getLogger(__name__)

ENTRY_POINT_GROUP: Final = "tradewright.plugins"


class EntryPoint(Protocol):
    """What is used of an ``importlib.metadata.EntryPoint``: it loads a plugin's class or its module."""

    @property
    def name(self) -> str:
        """How it is called in reports."""
        ...

    def load(self) -> object:
        """The thing it points to."""
        ...


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin that was left out: the module or entry point it stands in, and why, in a sentence."""

    name: str
    reason: str


class _Refused(Exception):
    """A plugin's class can't be taken; the message says why."""


class PluginLoader:
    """Finds plugins by ``MarketPlugin``, and knows which of them serves a provider in a market.

    Looks once, when made: at the public modules of the built-in package, in which every concrete subclass
    is a plugin, and at the entry points of the group ``tradewright.plugins``. What can't be taken is in
    ``broken`` and was logged; the rest works. Of two that claim the same key or provider, the first keeps
    it, and the built-in ones come first. No plugin does I/O to a venue while it is listed.
    """

    def __init__(self, *, package: str = __name__, entry_points: Iterable[EntryPoint] | None = None) -> None:
        self._classes: dict[str, type[MarketPlugin]] = {}
        self._providers: dict[str, dict[str, ProviderInfo]] = {}
        self.broken: tuple[BrokenPlugin, ...] = ()
        for name, find in _candidates(package, entry_points):
            for plugin in self._attempt(name, find) or ():
                self._attempt(name, partial(self._take, plugin))

    def markets(self) -> tuple[str, ...]:
        """The markets in which there is a provider, sorted."""
        return tuple(sorted(self._providers))

    def plugins(self, market: str) -> tuple[type[MarketPlugin], ...]:
        """The plugins with a provider in the market, by key ascending; ``UnknownMarket``."""
        keys = {info.plugin for info in self._in_market(market).values()}
        return tuple(self._classes[key] for key in sorted(keys))

    def providers(self, market: str) -> tuple[ProviderInfo, ...]:
        """The providers of the market, simulated ones first, then by name; ``UnknownMarket``."""
        found = self._in_market(market).values()
        return tuple(sorted(found, key=_place_in_list))

    def provider(self, market: str, provider: str) -> ProviderInfo:
        """One of them; ``UnknownMarket``, ``UnknownProvider``."""
        try:
            return self._in_market(market)[provider]
        except KeyError:
            raise UnknownProvider(f"There is no provider of this name in the market {market}.") from None

    def plugin_class(self, market: str, provider: str) -> type[MarketPlugin]:
        """The plugin that serves the provider; ``UnknownMarket``, ``UnknownProvider``."""
        return self._classes[self.provider(market, provider).plugin]

    def _in_market(self, market: str) -> dict[str, ProviderInfo]:
        try:
            return self._providers[market]
        except KeyError:
            known = ", ".join(self.markets()) or "none"
            raise UnknownMarket(f"There is no market of this name; there are: {known}.") from None

    def _attempt(self, name: str, work: Callable[[], _T]) -> _T | None:
        """What the work gives; where it fails, None, and the plugin is reported as broken."""
        try:
            return work()
        except (_Refused, InvalidInput) as refused:
            reason = str(refused)
        except (Exception, SystemExit) as error:  # noqa: BLE001
            # What is run here is foreign code: importing a plugin and asking it what it offers may raise
            # anything, and must not take down the server, which has other plugins to serve.
            reason = f"It failed with {type(error).__name__}: {' '.join(str(error).split())}"
        self.broken = (*self.broken, BrokenPlugin(name, reason))
        _log.error("A plugin in %s is left out: %s", name, reason)
        return None

    def _take(self, plugin: type[MarketPlugin]) -> None:
        """Add the plugin with all its providers, or nothing of it."""
        key = plugin.get_plugin_key()
        if self._classes.get(key) is plugin:
            return  # an entry point that names a built-in plugin
        if key in self._classes:
            raise _Refused(f"Its key {key!r} is already that of {self._classes[key].__qualname__}.")
        found = list(_checked_providers(plugin, key))
        for info in found:
            other = self._providers.get(info.market, {}).get(info.provider)
            if other is not None:
                raise _Refused(
                    f"Its provider {info.provider!r} in {info.market} is already served by {other.plugin}."
                )
        self._classes[key] = plugin
        for info in found:
            self._providers.setdefault(info.market, {})[info.provider] = info


def _place_in_list(info: ProviderInfo) -> tuple[bool, str, str]:
    return not info.simulated, info.name.casefold(), info.provider


def _candidates(package: str, entry_points: Iterable[EntryPoint] | None) -> Iterator[tuple[str, _Find]]:
    """Where plugins may stand, each with what loads it."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        own_name = module.name.rpartition(".")[2]
        if not own_name.startswith("_") and own_name != "base":
            yield module.name, partial(_built_in, module.name)
    if entry_points is None:
        entry_points = installed_entry_points(group=ENTRY_POINT_GROUP)
    for point in entry_points:
        yield point.name, partial(_pointed_at, point)


def _built_in(module: str) -> list[type[MarketPlugin]]:
    return _plugins_in(importlib.import_module(module))


def _plugins_in(module: object) -> list[type[MarketPlugin]]:
    """The concrete plugins that the module itself defines."""
    name = getattr(module, "__name__", None)
    return [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, MarketPlugin) and not inspect.isabstract(member) and member.__module__ == name
    ]


def _pointed_at(point: EntryPoint) -> list[type[MarketPlugin]]:
    """The plugins of an entry point, which names a class or a module."""
    target = point.load()
    if inspect.ismodule(target):
        found = _plugins_in(target)
        if not found:
            raise _Refused("It is a module in which no plugin is defined.")
        return found
    if not inspect.isclass(target) or not issubclass(target, MarketPlugin):
        raise _Refused("It is not a subclass of MarketPlugin.")
    if inspect.isabstract(target):
        missing = ", ".join(sorted(target.__abstractmethods__))
        raise _Refused(f"It does not define {missing}.")
    return [target]


def _checked_providers(plugin: type[MarketPlugin], key: str) -> Iterable[ProviderInfo]:
    """Everything that the plugin lists, as far as it agrees with itself."""
    check_identifier("plugin key", key)
    markets = plugin.get_supported_markets()
    if not markets:
        raise _Refused("It supports no market.")
    for market in markets:
        check_identifier("market", market)
        seen: set[str] = set()
        for info in plugin.list_configurable_providers(market):
            _check_provider(info, key, market)
            if info.provider in seen:
                raise _Refused(f"It lists the provider {info.provider!r} twice in {market}.")
            seen.add(info.provider)
            yield info
        if not seen:
            raise _Refused(f"It says that it supports {market} but lists no provider there.")


def _check_provider(info: object, key: str, market: str) -> None:
    if not isinstance(info, ProviderInfo):
        raise _Refused(f"It lists something in {market} that is no ProviderInfo.")
    check_identifier("provider", info.provider)
    claims = (("plugin", info.plugin, key), ("market", info.market, market))
    for what, claimed, right in claims:
        if claimed != right:
            raise _Refused(f"Its provider {info.provider!r} claims the {what} {claimed!r}, not {right!r}.")
    unknown = [timeframe for timeframe in info.timeframes if timeframe not in TIMEFRAMES]
    if unknown:
        raise _Refused(f"Its provider {info.provider!r} claims unknown timeframes: {', '.join(unknown)}.")
