"""What the documents say is so: links, targets, commands, settings, error codes, names."""

from __future__ import annotations

import configparser
import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

from tests.architecture import documents
from tests.architecture.documents import dead_links, make_targets_named, rows, settings_named
from tests.architecture.house import PACKAGE, ROOT
from tradewright.cli import cli
from tradewright.config import BaseConfig
from tradewright.domain.errors import ConfigError, TradewrightError
from tradewright.web.middleware.error_handler import status_of

ARCHITECTURE = ROOT / "docs" / "architecture.md"
REFERENCE = ROOT / "docs" / "reference"

# The names that the design fixes: each has a row in the table, whether it exists yet or not.
FIXED_NAMES = """
    create_app BaseConfig DevelopmentConfig ProductionConfig TestingConfig configure_logging
    init_app_extensions db_pool redis_manager auth_db_setup user_configs_db_setup
    Bars ports matching MarketPlugin PluginLoader SimulatedPlugin CCXTPlugin AlpacaPlugin PaperPlugin
    PluginError AuthenticationPluginError NetworkPluginError PluginFeatureNotSupportedError DataSourceError
    MarketService DataOrchestrator CacheSource DbSource AggregateSource CacheManager BackfillManager
    StreamingManager SubscriptionRegistry SubscriptionService EncryptionService AuthService UserService
    OrderService BotManagerService TradingBot BaseStrategy
    error_handler frontend_bp check_market_plugin check_bar_store
"""


def _read(path: Path) -> str:
    return path.read_text("utf-8")


def _names() -> dict[str, tuple[str, str]]:
    table = (cells for cells in rows(_read(ARCHITECTURE)) if cells[-1] in ("here", "not yet"))
    return {cells[0].split("`")[1]: (cells[1].strip("`"), cells[2]) for cells in table}


def _exists(address: str) -> bool:
    module, _, attribute = address.partition(":")
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return False
    return found is not None and (not attribute or hasattr(importlib.import_module(module), attribute))


@pytest.mark.parametrize("path", documents.documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    assert dead_links(path, _read(path)) == []


def test_a_dead_link_is_seen() -> None:
    text = (
        "[a](README.md) [b](nowhere.md) [c](README.md#try-it) [d](README.md#no-such) [e](https://example.com)"
    )
    assert dead_links(ROOT / "x.md", text) == ["nowhere.md", "README.md#no-such"]


def test_documents_and_makefile_name_the_same_targets() -> None:
    makefile = _read(ROOT / "Makefile")
    public = set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))
    assert public == {"help", "run", "test", "check", "bench", "soak", "wheel", "lock", "clean"}
    named = {path: make_targets_named(_read(path)) for path in documents.documents()}
    assert {path: targets - public for path, targets in named.items() if targets - public} == {}
    assert named[ROOT / "CONTRIBUTING.md"] >= public
    assert named[ROOT / "README.md"] >= {"run", "test"}


def test_each_target_names_what_is_missing_first() -> None:
    rules = dict(re.findall(r"^([a-z]+):\s*([a-z ]*)", _read(ROOT / "Makefile"), re.MULTILINE))
    first = {target: (needs.split() or [""])[0] for target, needs in rules.items()}
    for target in first:
        step = target
        while step not in ("prerequisites", "vendor"):
            step = first[step]
        assert step == "prerequisites" or target == "vendor", target


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    own = {"providers", "env_was_said", "unreadable"}
    settings = {item.name.upper() for item in fields(BaseConfig)} - {name.upper() for name in own}
    settings |= {"CONFIG", "ENV"}
    reference = _read(REFERENCE / "configuration.md")
    rowed = {name for cells in rows(reference) for name in settings_named(cells[0])}
    assert rowed == settings
    for path in documents.documents():
        assert settings_named(_read(path)) <= settings, path


def _commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command with the words that call it, those inside groups too."""
    for name, command in group.commands.items():
        yield f"{before}{name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{before}{name} ")


def _options(command: click.Command) -> set[str]:
    return {option for each in command.params if isinstance(each, click.Option) for option in each.opts}


def test_every_command_and_option_is_documented() -> None:
    reference = _read(REFERENCE / "command-line.md")
    assert set(re.findall(r"`tradewright ([a-z]+)`", reference)) == set(cli.commands)
    everything = "\n".join(map(_read, documents.documents()))
    for words, command in _commands(cli):
        name = words.rpartition(" ")[2]
        assert f"`{name}`" in reference or f"`tradewright {name}`" in reference, words
        assert {option for option in _options(command) if f"`{option}`" not in everything} == set(), words


def test_documented_command_lines_are_understood() -> None:
    """Every `tradewright …` in a code block names a command and options that exist."""
    known = dict(_commands(cli))
    lines = []
    for path in documents.documents():
        for block in re.findall(r"```sh\n(.*?)```", _read(path), re.DOTALL):
            lines += re.findall(r"tradewright ([a-z]+(?: [^\n]*)?)", block.replace("\\\n", " "))
    assert lines
    for line in lines:
        words = line.split()
        name = words[0]
        if isinstance(known[name], click.Group):
            name = f"{name} {words[1]}"
        assert set(re.findall(r"(?<= )--[a-z-]+", line)) <= _options(known[name]), line


def _kinds(kind: type[TradewrightError]) -> set[type[TradewrightError]]:
    return {kind}.union(*(_kinds(each) for each in kind.__subclasses__()))


def test_every_error_code_is_documented_with_its_status() -> None:
    for module in pkgutil.walk_packages([str(PACKAGE)], "tradewright."):
        if module.name != "tradewright.__main__":
            importlib.import_module(module.name)
    table = {cells[0].strip("`"): cells[1] for cells in rows(_read(REFERENCE / "errors.md"))}
    ours = {each for each in _kinds(TradewrightError) if each.__module__.startswith("tradewright.")}
    answers = {(each.code, str(status_of(each.__new__(each)))) for each in ours - {ConfigError}}
    # What has no status of its own is caught before it can become an answer; its code goes to the socket.
    unwritten = {code for code, status in answers if code not in table or status not in (table[code], "500")}
    assert unwritten == set()


def test_every_program_that_measures_speed_is_documented() -> None:
    measuring = {path.stem for path in (ROOT / "bench").glob("bench_*.py")}
    documented = set(re.findall(r"`python -m bench\.(\w+)`", _read(REFERENCE / "performance.md")))
    assert documented == measuring


def _promised_by_programs() -> dict[str, set[float]]:
    """Each limit that a program of `bench/` holds itself to: a `ratio_min`, or a constant that ends so."""
    found: dict[str, set[float]] = {}
    for path in (ROOT / "bench").glob("bench_*.py"):
        text = _read(path)
        limits = re.findall(r"\bratio_min=([\d.][\d./ ]*)", text)
        for names, values in re.findall(r"^([A-Z][A-Z0-9_, ]*)(?:: Final)? = (.+)$", text, re.MULTILINE):
            both = zip(names.split(", "), values.split(", "), strict=False)
            limits += [value for name, value in both if name.endswith(("_MIN", "_MAX"))]
        parts = [limit.replace("_", "").partition("/") for limit in limits]
        found[path.stem] = {round(float(over) / float(under or 1), 2) for over, _, under in parts}
    return found


def _promised_on_the_page(text: str) -> dict[str, set[float]]:
    """The numbers in the column of promises, by the program that is named before the table."""
    found: dict[str, set[float]] = {}
    for part in re.split(r"(?=`python -m bench\.)", text)[1:]:
        program = part.split("`")[1].rpartition(".")[2]
        promises = [re.search(r"[≥≤] ([\d.,]+)", cells[2]) for cells in rows(part) if len(cells) > 2]
        found[program] = {float(promise[1].replace(",", "")) for promise in promises if promise}
    return found


def test_what_is_promised_of_speed_is_what_the_programs_hold_themselves_to() -> None:
    assert _promised_on_the_page(_read(REFERENCE / "performance.md")) == _promised_by_programs()


def test_every_name_of_the_design_has_a_row_that_is_true() -> None:
    names = _names()
    assert set(FIXED_NAMES.split()) <= set(names)
    wrong = {name: state for name, (where, state) in names.items() if _exists(where) != (state == "here")}
    assert wrong == {}


def test_a_wrong_row_would_be_seen() -> None:
    assert _exists("tradewright.domain.bars:Bars")
    assert _exists("tradewright.domain.ports")
    assert not _exists("tradewright.domain.bars:NoSuchName")
    assert not _exists("tradewright.no_such_package.module")


def test_the_picture_shows_the_layers_that_are_held() -> None:
    contracts = configparser.ConfigParser()
    contracts.read_string(_read(ROOT / ".importlinter"))
    lines = contracts["importlinter:contract:layers"]["layers"].split("\n")
    held = [name.strip(" ()") for line in lines for name in line.split("|") if name.strip()]
    drawn = re.findall(r'class="layer"[^>]*>([a-z_]+)<', _read(ROOT / "docs" / "images" / "layers.svg"))
    assert drawn == [name for name in held if name != "__main__"]
    packages = {path.stem for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert packages - {"__pycache__", "__init__"} <= set(held)
