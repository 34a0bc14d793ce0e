"""What is known of CCXT's exchanges without importing CCXT."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tradewright.domain.capabilities import Capability
from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import PluginFeatureNotSupportedError, UnknownProvider
from tradewright.domain.timeframes import TIMEFRAMES
from tradewright.plugins._ccxt_manifest import PUBLIC, TRADING, load_manifest
from tradewright.plugins._ccxt_quirks import data_facts
from tradewright.plugins.base import PluginSetup
from tradewright.plugins.ccxt import CCXTPlugin

ROOT = Path(__file__).parents[3]
GENERATOR = ROOT / "tools/generate_ccxt_manifest.py"
MANIFEST = ROOT / "src/tradewright/plugins/ccxt_manifest.json"


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)


def test_the_manifest_says_what_the_installed_ccxt_says() -> None:
    done = python(str(GENERATOR), "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_exchanges_that_are_not_told_from_when_on_are_known() -> None:
    assert data_facts("gemini").newest_only
    assert not data_facts("binance").newest_only
    assert not data_facts("kraken").newest_only
    told = [name for name, entry in load_manifest().exchanges.items() if not entry.ignores_since]
    assert len(told) > 80


def test_a_stale_manifest_is_found(tmp_path: Path) -> None:
    stale = tmp_path / "manifest.json"
    stale.write_text(MANIFEST.read_text().replace('"watch_trades",', "", 1))
    done = python(str(GENERATOR), "--check", "--manifest", str(stale))
    assert done.returncode == 1
    assert "generate_ccxt_manifest.py" in done.stdout


def test_the_plugin_is_known_without_importing_ccxt() -> None:
    program = """
import sys
from tradewright.plugins.base import PluginSetup
from tradewright.plugins.ccxt import CCXTPlugin
CCXTPlugin.list_configurable_providers("crypto")
CCXTPlugin(PluginSetup("binance")).capabilities
print([name for name in sys.modules if name == "ccxt" or name.startswith(("ccxt.", "aiohttp"))])
"""
    done = python("-c", program)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.alone
def test_the_manifest_is_read_in_ten_milliseconds() -> None:
    load_manifest()  # the first one warms the file system's cache
    times = []
    for _ in range(5):
        load_manifest.cache_clear()
        begun = time.perf_counter()
        load_manifest()
        times.append(time.perf_counter() - begun)
    assert min(times) < 0.010


def test_every_exchange_is_listed_in_our_words() -> None:
    providers = {info.provider: info for info in CCXTPlugin.list_configurable_providers("crypto")}
    assert len(providers) > 100
    for info in providers.values():
        assert info.market == "crypto"
        assert info.plugin == "ccxt"
        assert info.name
        assert set(info.timeframes) <= set(TIMEFRAMES)
        assert bool(info.timeframes) == bool(
            {Capability.OHLCV, Capability.WATCH_OHLCV} & {*info.capabilities}
        )
    binance = providers["binance"]
    assert binance.timeframes == tuple(TIMEFRAMES)
    assert {Capability.OHLCV, Capability.WATCH_TRADES} <= set(binance.capabilities)
    assert [(field.name, field.secret) for field in binance.credential_fields] == [
        ("api_key", True),
        ("secret", True),
    ]
    assert binance.testnet
    assert "private_key" in {field.name for field in providers["hyperliquid"].credential_fields}


def test_an_instance_trades_only_with_a_key() -> None:
    keys = Credentials({"api_key": "k", "secret": "s"})
    for info in CCXTPlugin.list_configurable_providers("crypto"):
        listed = set(info.capabilities)
        assert CCXTPlugin(PluginSetup(info.provider)).capabilities == listed & PUBLIC
        assert CCXTPlugin(PluginSetup(info.provider, keys)).capabilities == listed
        assert not (listed & TRADING and not info.credential_fields)


def test_only_what_the_exchange_does_itself_is_an_edit() -> None:
    exchanges = load_manifest().exchanges
    assert Capability.EDIT_ORDER in exchanges["okx"].capabilities
    assert Capability.EDIT_ORDER not in exchanges["htx"].capabilities, "CCXT cancels and places anew"


def test_who_finds_an_order_by_our_id_is_known() -> None:
    exchanges = load_manifest().exchanges
    finding = {name for name, entry in exchanges.items() if entry.finds_by_client_id}
    assert {"binance", "okx", "kucoin", "mexc"} <= finding
    assert not {"bybit", "bitfinex", "coinbase"} & finding


def test_there_is_nothing_in_other_markets() -> None:
    assert CCXTPlugin.get_supported_markets() == ("crypto",)
    assert CCXTPlugin.list_configurable_providers("stocks") == ()


@pytest.mark.parametrize("name", ["Exchange", "__class__", "binance ", "../binance", "", "pro", "os"])
def test_only_names_of_the_manifest_make_an_instance(name: str) -> None:
    with pytest.raises(UnknownProvider):
        CCXTPlugin(PluginSetup(name))


def test_a_testnet_that_does_not_exist_is_refused() -> None:
    without = next(name for name, entry in load_manifest().exchanges.items() if not entry.testnet)
    with pytest.raises(PluginFeatureNotSupportedError):
        CCXTPlugin(PluginSetup(without, testnet=True))


@pytest.mark.alone
async def test_closing_what_was_never_used_is_instant() -> None:
    plugin = CCXTPlugin(PluginSetup("kraken"))
    begun = time.perf_counter()
    await plugin.close()
    await plugin.close()
    assert time.perf_counter() - begun < 0.01


def test_the_manifest_is_compact_and_has_one_line_per_exchange() -> None:
    text = MANIFEST.read_text()
    assert len(text) < 64_000
    assert len(text.splitlines()) == len(json.loads(text)["exchanges"]) + 2
