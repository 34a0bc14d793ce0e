"""``check_market_plugin``: does a plugin keep the promises of ``MarketPlugin``?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tradewright.domain.capabilities import Capability, ProviderInfo
from tradewright.domain.errors import InvalidInput
from tradewright.domain.instruments import check_identifier
from tradewright.plugins.base import MarketPlugin
from tradewright.testing import _plugin_data as data
from tradewright.testing._plugin_refusals import check_undeclared, check_unknown_symbol
from tradewright.testing._plugin_streams import check_close_ends_stream, check_stream, watches
from tradewright.testing._plugin_subject import BOOK_LEVELS, Advance, MakePlugin, Subject

__all__ = ["Advance", "MakePlugin", "check_market_plugin"]

_NO_MARKET = "no_such_market"


async def check_market_plugin(
    make_plugin: MakePlugin,
    *,
    market: str,
    symbol: str,
    history_ms: tuple[int, int] | None = None,
    timeframes: Sequence[str] | None = None,
    now_ms: Callable[[], int] | None = None,
    deadline_s: float = 10.0,
    advance: Advance | None = None,
    book_levels: int = BOOK_LEVELS,
) -> None:
    """Check everything that the plugin declares, and that what it does not declare is refused.

    ``symbol`` is one that the provider lists in ``market`` and that is traded now, at least a few
    times within the deadline. ``history_ms`` is an interval ``[start, end)`` in which it has bars (by
    default the last three hours); a venue with little history may name a short one, or one far back.
    ``timeframes`` limits the ones that are looked at (by default all that the instance declares).
    ``now_ms`` is the time of the venue, by default what the instance says in ``venue_time_ms``.
    ``deadline_s`` bounds every single call and every wait for a stream, in real seconds. Where the
    venue runs on a driven clock, ``advance`` moves it while a stream is waited for. ``book_levels`` is
    how many levels a side the venue's order book has at least: 1 where it tells the best offers alone.

    Raises ``AssertionError`` with a sentence that names the first broken promise. Looks at market data
    alone: it places no order, and checks of the trading methods only that they are refused where they
    are not declared.
    """
    subject = Subject(
        make_plugin, market, symbol, history_ms, timeframes, now_ms, deadline_s, advance, book_levels
    )
    async with subject.instance() as unused:  # closed without having been used
        check_identity(unused, market)
    async with subject.instance() as plugin:
        await data.check_instruments(subject, plugin)
        await check_undeclared(subject, plugin)
        await check_unknown_symbol(subject, plugin)
        await data.check_ohlcv(subject, plugin)
        await data.check_ticker(subject, plugin)
        await data.check_order_book(subject, plugin)
        await data.check_trades(subject, plugin)
        await data.check_parallel_calls(subject, plugin)
        streams = watches(subject, plugin)
        for watch in streams:
            await check_stream(subject, plugin, watch)
        async with subject.attempt("The first of two calls of close()"):
            await plugin.close()
    for watch in streams:
        await check_close_ends_stream(subject, watch.name)


def check_identity(plugin: MarketPlugin, market: str) -> None:
    """What the class says of itself agrees with itself and with the instance."""
    kind = type(plugin)
    key, markets = kind.get_plugin_key(), kind.get_supported_markets()
    _check_name("plugin key", key)
    assert len(set(markets)) == len(markets), "get_supported_markets names a market twice."
    assert market in markets, f"get_supported_markets does not name {market}."
    assert not kind.list_configurable_providers(_NO_MARKET), (
        "Providers are listed in a market that does not exist."
    )
    for each in markets:
        _check_name("market", each)
        _check_providers(kind.list_configurable_providers(each), key, each)
    own = [info for info in kind.list_configurable_providers(market) if info.provider == plugin.provider]
    assert own, f"The instance's provider {plugin.provider} is not listed in {market}."
    assert set(own[0].timeframes) == {timeframe.name for timeframe in plugin.timeframes}, (
        "The instance's timeframes are not those that its provider is listed with."
    )
    listed, actual = (_of_market_data(own[0].capabilities), _of_market_data(plugin.capabilities))
    assert listed == actual, (
        f"The instance and its provider's entry differ in capabilities: {sorted(listed ^ actual)}."
    )


def _check_providers(providers: Sequence[ProviderInfo], key: str, market: str) -> None:
    assert providers, f"No provider is listed in {market}."
    names = [info.provider for info in providers]
    assert len(set(names)) == len(names), f"A provider is listed twice in {market}."
    for info in providers:
        _check_name("provider", info.provider)
        assert info.plugin == key, f"The provider {info.provider} claims the plugin {info.plugin!r}."
        assert info.market == market, f"The provider {info.provider} claims the market {info.market!r}."
        assert info.name, f"The provider {info.provider} has no name for people."


def _check_name(what: str, name: str) -> None:
    try:
        check_identifier(what, name)
    except InvalidInput as refused:
        raise AssertionError(f"The {what} {name!r} is not a valid name: {refused}") from None


def _of_market_data(capabilities: Sequence[Capability] | frozenset[Capability]) -> frozenset[Capability]:
    """Those that do not depend on whether the instance has a key."""
    data_kinds = ("ohlcv", "ticker", "order_book", "trades")
    wanted = {*data_kinds, *(f"watch_{kind}" for kind in data_kinds)}
    return frozenset(capability for capability in capabilities if capability.value in wanted)
