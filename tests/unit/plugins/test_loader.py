"""``PluginLoader``: what it finds, what it refuses, and that nothing foreign takes it down."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from textwrap import dedent

import pytest

from tradewright.domain.errors import UnknownMarket, UnknownProvider
from tradewright.plugins import ENTRY_POINT_GROUP, BrokenPlugin, PluginLoader
from tradewright.plugins.simulated import SimulatedPlugin

PLUGIN = """
from tradewright.domain.capabilities import ProviderInfo
from tradewright.plugins.base import MarketPlugin


class {name}(MarketPlugin):
    @classmethod
    def get_plugin_key(cls):
        return {key!r}

    @classmethod
    def get_supported_markets(cls):
        return {markets!r}

    @classmethod
    def list_configurable_providers(cls, market):
        return [
            ProviderInfo(
                provider=provider,
                name=provider.title(),
                market={market!r} or market,
                plugin={plugin!r},
                timeframes=({timeframe!r},),
                capabilities=(),
            )
            for provider in {providers!r}
        ]

    capabilities = frozenset()
    timeframes = ()

    async def close(self):
        pass

    async def fetch_instruments(self):
        return ()
"""


def plugin(
    key: str = "acme",
    *,
    name: str = "Acme",
    providers: tuple[str, ...] = ("zeta", "alpha"),
    markets: tuple[str, ...] = ("crypto",),
    market: str = "",
    claimed_key: str = "",
    timeframe: str = "1m",
) -> str:
    """The source of a plugin, right unless told otherwise."""
    return PLUGIN.format(
        name=name,
        key=key,
        plugin=claimed_key or key,
        markets=markets,
        market=market,
        providers=providers,
        timeframe=timeframe,
    )


class House:
    """A package of plugins in a directory of its own."""

    name = "some_venues"

    def __init__(self, directory: Path) -> None:
        self._directory = directory / self.name
        self._directory.mkdir()
        self.add("__init__", "")

    def add(self, module: str, source: str) -> None:
        (self._directory / f"{module}.py").write_text(dedent(source), encoding="utf-8")

    def point(self, name: str, value: str) -> EntryPoint:
        return EntryPoint(name, f"{self.name}.{value}", ENTRY_POINT_GROUP)

    def load(self, *points: EntryPoint) -> PluginLoader:
        return PluginLoader(package=self.name, entry_points=points)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.syspath_prepend(tmp_path)
    yield House(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == House.name]:
        del sys.modules[name]


def test_the_built_in_plugins_are_found() -> None:
    loader = PluginLoader(entry_points=())
    assert loader.broken == ()
    assert {"crypto", "stocks"} <= set(loader.markets())
    for market in ("crypto", "stocks"):
        assert loader.providers(market)[0].provider == "simulated"
        assert SimulatedPlugin in loader.plugins(market)
        assert loader.plugin_class(market, "simulated") is SimulatedPlugin
        assert loader.provider(market, "simulated").simulated


def test_listing_everything_imports_no_exchange_library() -> None:
    script = (
        "import sys; from tradewright.plugins import PluginLoader; loader = PluginLoader(entry_points=());"
        "[loader.providers(market) for market in loader.markets()];"
        "print(sorted({'ccxt', 'pandas', 'exchange_calendars', 'aiohttp'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.strip() == "[]"


def test_finds_every_concrete_plugin_of_a_package_and_maps_it(house: House) -> None:
    house.add("one", plugin("one", providers=("zeta", "alpha"), markets=("crypto", "stocks")))
    house.add("two", plugin("two", providers=("mid",)))
    house.add("base", "raise RuntimeError('not looked at')")
    house.add("_private", "raise RuntimeError('not looked at')")
    house.add(
        "abstract", "from some_venues.two import Acme\nfrom tradewright.plugins.base import MarketPlugin\n"
    )
    loader = house.load()
    assert loader.broken == ()
    assert loader.markets() == ("crypto", "stocks")
    assert [info.provider for info in loader.providers("crypto")] == ["alpha", "mid", "zeta"]
    assert [kind.get_plugin_key() for kind in loader.plugins("crypto")] == ["one", "two"]
    assert [kind.get_plugin_key() for kind in loader.plugins("stocks")] == ["one"]
    assert loader.plugin_class("crypto", "mid").get_plugin_key() == "two"


def test_entry_points_name_a_class_or_a_module(house: House, tmp_path: Path) -> None:
    (tmp_path / "elsewhere_class.py").write_text(plugin("one", providers=("a",)), encoding="utf-8")
    (tmp_path / "elsewhere_module.py").write_text(plugin("two", providers=("b",)), encoding="utf-8")
    loader = house.load(
        EntryPoint("first", "elsewhere_class:Acme", ENTRY_POINT_GROUP),
        EntryPoint("second", "elsewhere_module", ENTRY_POINT_GROUP),
    )
    assert loader.broken == ()
    assert [info.provider for info in loader.providers("crypto")] == ["a", "b"]


def test_an_entry_point_to_a_built_in_plugin_changes_nothing() -> None:
    point = EntryPoint("again", "tradewright.plugins.simulated:SimulatedPlugin", ENTRY_POINT_GROUP)
    loader = PluginLoader(entry_points=[point])
    assert loader.broken == ()


ABSTRACT = """
from tradewright.plugins.base import MarketPlugin

class Half(MarketPlugin):
    pass
"""

BROKEN_MODULES: list[tuple[str, str]] = [
    ("raise RuntimeError('no\\n   licence')", "It failed with RuntimeError: no licence"),
    ("import a_module_that_is_not_there", "ModuleNotFoundError"),
    ("def f(:", "SyntaxError"),
    ("raise SystemExit('bye')", "SystemExit: bye"),
    (plugin(markets=()), "supports no market"),
    (plugin(providers=()), "lists no provider there"),
    (plugin(market="stocks"), "claims the market 'stocks', not 'crypto'"),
    (plugin(claimed_key="other"), "claims the plugin 'other', not 'acme'"),
    (plugin(providers=("a", "a")), "lists the provider 'a' twice in crypto"),
    (plugin(providers=("Not Valid",)), "provider must be"),
    (plugin(key="Not Valid"), "plugin key must be"),
    (plugin(timeframe="7m"), "unknown timeframes: 7m"),
    (plugin().replace("return [", "return [7] + ["), "no ProviderInfo"),
    (plugin().replace("return ('crypto',)", "raise KeyError('crypto')"), "KeyError"),
]


@pytest.mark.parametrize(("source", "reason"), BROKEN_MODULES, ids=lambda value: value[-30:])
def test_a_broken_module_is_reported_once_and_the_rest_works(
    house: House, source: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    house.add("good", plugin("good", providers=("sound",)))
    house.add("bad", source)
    with caplog.at_level(logging.ERROR, "tradewright"):
        loader = house.load()
    assert [broken.name for broken in loader.broken] == ["some_venues.bad"]
    assert reason in loader.broken[0].reason
    assert "\n" not in loader.broken[0].reason
    assert len([record for record in caplog.records if "some_venues.bad" in record.getMessage()]) == 1
    assert [info.provider for info in loader.providers("crypto")] == ["sound"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("things:NUMBER", "not a subclass of MarketPlugin"),
        ("things:Half", "does not define capabilities, close, fetch_instruments, "),
        ("things", "no plugin is defined"),
        ("things:Absent", "AttributeError"),
        ("absent:Anything", "ModuleNotFoundError"),
    ],
)
def test_a_broken_entry_point_is_reported(tmp_path: Path, house: House, value: str, reason: str) -> None:
    (tmp_path / "things.py").write_text(f"NUMBER = 7\n{ABSTRACT}", encoding="utf-8")
    loader = house.load(EntryPoint("theirs", value, ENTRY_POINT_GROUP))
    assert [broken.name for broken in loader.broken] == ["theirs"]
    assert reason in loader.broken[0].reason
    sys.modules.pop("things", None)


def test_of_two_claimants_the_first_keeps_what_it_has(house: House) -> None:
    house.add("a_first", plugin("same", providers=("shared",)))
    house.add("b_same_key", plugin("same", providers=("other",)))
    house.add("c_same_provider", plugin("third", providers=("free", "shared")))
    loader = house.load()
    assert loader.broken == (
        BrokenPlugin("some_venues.b_same_key", "Its key 'same' is already that of Acme."),
        BrokenPlugin(
            "some_venues.c_same_provider", "Its provider 'shared' in crypto is already served by same."
        ),
    )
    assert [info.provider for info in loader.providers("crypto")] == ["shared"]
    assert loader.plugin_class("crypto", "shared").__module__ == "some_venues.a_first"


def test_one_broken_class_of_a_module_leaves_the_others(house: House) -> None:
    house.add(
        "both", plugin("bad", name="Bad", markets=()) + plugin("good", name="Good", providers=("sound",))
    )
    loader = house.load()
    assert [broken.name for broken in loader.broken] == ["some_venues.both"]
    assert [info.provider for info in loader.providers("crypto")] == ["sound"]


def test_asking_for_what_is_not_there(house: House) -> None:
    house.add("one", plugin())
    loader = house.load()
    for ask in (loader.plugins, loader.providers):
        with pytest.raises(UnknownMarket, match="there are: crypto"):
            ask("forex")
    with pytest.raises(UnknownMarket):
        loader.provider("forex", "alpha")
    for look_up in (loader.provider, loader.plugin_class):
        with pytest.raises(UnknownProvider):
            look_up("crypto", "nowhere")


def test_an_empty_house_has_no_markets(house: House) -> None:
    loader = house.load()
    assert loader.markets() == ()
    with pytest.raises(UnknownMarket, match="there are: none"):
        loader.providers("crypto")
