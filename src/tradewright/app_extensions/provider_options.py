"""The operator's tables ``[providers.<id>]``, looked at before anything starts."""

from __future__ import annotations

from tradewright.config import BaseConfig
from tradewright.domain.errors import ConfigError
from tradewright.plugins import PluginLoader


def check_provider_options(config: BaseConfig, loader: PluginLoader) -> None:
    """``ConfigError`` where a table ``[providers.<id>]`` names no provider or holds what can't be used."""
    problems: list[str] = []
    for provider, options in config.provider_options().items():
        kinds = {
            loader.plugin_class(market, provider)
            for market in loader.markets()
            for info in loader.providers(market)
            if info.provider == provider
        }
        if not kinds:
            problems.append(f"[providers.{provider}] names no provider: correct its id or remove the table.")
        for kind in kinds:
            problems += kind.option_problems(provider, options)
    if problems:
        raise ConfigError(problems)
