"""Settings: what may be said, and that every mistake is told at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tradewright.config import (
    BaseConfig,
    DevelopmentConfig,
    ProductionConfig,
    TestingConfig,
    load_config,
)
from tradewright.domain.errors import ConfigError

GOOD_SECRETS = {
    "TRADEWRIGHT_JWT_SECRET": "kq8ZV2mX7tRpL0wYb4NcJ9sHdA3fGuEe5iTo1Qx6",
    "TRADEWRIGHT_ENCRYPTION_KEY": "Zp3nB8vLr5Tq1XkWm7Yc0JdHs9AfGuEe2iRo4Qx6",
}


def problems_of(environ: dict[str, str]) -> list[str]:
    try:
        load_config({"HOME": "/people/someone", **environ}).validate()
    except ConfigError as error:
        return error.problems
    return []


def test_nothing_said_is_development_on_loopback() -> None:
    config = load_config({"HOME": "/people/someone"})
    config.validate()
    assert type(config) is DevelopmentConfig
    assert (config.host, config.port) == ("127.0.0.1", 8000)
    assert config.data_dir == Path("/people/someone/.local/share/tradewright")


def test_the_data_directory_follows_the_desktop_standard() -> None:
    config = load_config({"HOME": "/people/someone", "XDG_DATA_HOME": "/data"})
    assert config.data_dir == Path("/data/tradewright")


@pytest.mark.parametrize(
    ("env", "kind"),
    [("development", DevelopmentConfig), ("production", ProductionConfig), ("testing", TestingConfig)],
)
def test_the_environment_chooses_the_class(env: str, kind: type[BaseConfig]) -> None:
    assert type(load_config({"TRADEWRIGHT_ENV": env})) is kind


def test_testing_takes_any_free_port() -> None:
    assert load_config({"TRADEWRIGHT_ENV": "testing"}).port == 0


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("PORT", "eighty", "whole number"),
        ("PORT", "70000", "between 1 and 65535"),
        ("PORT", "-1", "between 1 and 65535"),
        ("HOST", "  ", "is empty"),
        ("DATA_DIR", "/etc/hostname", "names a file"),
        ("DATA_DIR", "/etc/hostname/below", "can't be used (Not a directory)"),
        ("DATA_DIR", "~nosuchuser/x", "a home directory that there is not"),
        ("DATA_DIR", "/tmp/" + "x" * 300, "can't be used (File name too long)"),
        ("DATA_DIR", "/tmp/\udcff", "must be text in UTF-8"),
        ("ENV", "prod", "development, production or testing"),
        ("REGISTRATION", "everyone", "open, invite or closed"),
        ("REQUIRE_LOGIN", "perhaps", "true or false"),
        ("LOG_LEVEL", "chatty", "one of DEBUG"),
        ("LOG_FORMAT", "xml", "human or json"),
        ("WS_MAX_PER_ADDRESS", "0", "between 1 and"),
        ("PUBLIC_URL", "trade.example.com", "an origin such as"),
        ("PUBLIC_URL", "https://example.com/trade", "without a path"),
        ("PUBLIC_URL", "http://[::1", "an origin such as"),
        ("PUBLIC_URL", "https://a:99999", "an origin such as"),
        ("PUBLIC_URL", "https://a:b", "an origin such as"),
        ("PUBLIC_URL", "https://someone@example.com", "an origin such as"),
        ("PUBLIC_URL", "https://example.com/#here", "an origin such as"),
        ("TRUSTED_PROXIES", "10.0.0.1,proxy", "no address or network"),
        ("TRUSTED_PROXIES", "10.0.0.1,0.0.0.0/0", "is everybody"),
        ("TRUSTED_PROXIES", "::/0", "is everybody"),
        ("RATE_LIMIT", "0", "between 1 and 1000000"),
        ("RATE_LIMIT", "many", "whole number"),
        ("JWT_SECRET", "short", "shorter than 32"),
        ("ENCRYPTION_KEY", "short", "shorter than 32"),
        ("DATABASE_URL", "mysql://localhost/x", "an address such as postgresql://"),
        ("AUTH_DATABASE_URL", "sqlite:///accounts.db", "an address such as postgresql://"),
        ("USER_CONFIGS_DATABASE_URL", "postgresql:///x", "an address such as postgresql://"),
        ("REDIS_URL", "localhost:6379", "an address such as redis://"),
        ("CONFIG", "/nowhere/at/all.toml", "can't be read"),
        ("COLOUR", "green", "is no setting"),
    ],
)
def test_a_wrong_setting_is_one_sentence_that_names_it(name: str, value: str, advice: str) -> None:
    problems = problems_of({f"TRADEWRIGHT_{name}": value})
    assert len(problems) == 1
    assert f"TRADEWRIGHT_{name}" in problems[0]
    assert advice in problems[0]


def test_all_mistakes_are_told_at_once() -> None:
    problems = problems_of(
        {"TRADEWRIGHT_PORT": "x", "TRADEWRIGHT_LOG_FORMAT": "xml", "TRADEWRIGHT_JWT_SECRET": "short"}
    )
    assert len(problems) == 3


def test_other_machines_are_let_in_only_when_the_environment_was_said() -> None:
    opened = {"TRADEWRIGHT_HOST": "0.0.0.0"}
    assert "TRADEWRIGHT_ENV" in problems_of(opened)[0]
    assert problems_of({**opened, "TRADEWRIGHT_ENV": "development"}) == []
    assert problems_of({**opened, "TRADEWRIGHT_ENV": "production", **GOOD_SECRETS}) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_has_several_names(host: str) -> None:
    assert problems_of({"TRADEWRIGHT_HOST": host}) == []


def test_production_wants_its_secrets_from_outside() -> None:
    problems = problems_of({"TRADEWRIGHT_ENV": "production"})
    assert [problem.split()[0] for problem in problems] == [
        "TRADEWRIGHT_JWT_SECRET",
        "TRADEWRIGHT_ENCRYPTION_KEY",
    ]
    assert problems_of({"TRADEWRIGHT_ENV": "production", **GOOD_SECRETS}) == []


@pytest.mark.parametrize(
    "weak",
    ["a" * 64, "changeme-changeme-changeme-changeme-1234", "0123" * 12, "my-default-signing-key-0123456789"],
)
def test_production_refuses_guessable_secrets(weak: str) -> None:
    problems = problems_of({"TRADEWRIGHT_ENV": "production", **GOOD_SECRETS, "TRADEWRIGHT_JWT_SECRET": weak})
    assert len(problems) == 1
    assert "known or repetitive" in problems[0]


def test_production_refuses_one_secret_for_both_purposes() -> None:
    both = GOOD_SECRETS["TRADEWRIGHT_JWT_SECRET"]
    problems = problems_of(
        {"TRADEWRIGHT_ENV": "production", "TRADEWRIGHT_JWT_SECRET": both, "TRADEWRIGHT_ENCRYPTION_KEY": both}
    )
    assert problems == ["TRADEWRIGHT_JWT_SECRET and TRADEWRIGHT_ENCRYPTION_KEY are equal: make two."]


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "tradewright.toml"
    file.write_text('port = 9001\nlog_format = "json"\n[providers.binance.options]\ndefaultType = "spot"\n')
    config = load_config({"TRADEWRIGHT_CONFIG": str(file), "TRADEWRIGHT_PORT": "9002"})
    config.validate()
    assert (config.port, config.log_format) == (9002, "json")
    assert config.providers == {"binance": {"options": {"defaultType": "spot"}}}


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("port = ", "not valid TOML"),
        ("prot = 1", "is no setting"),
        ("providers = 3", "a table for each provider"),
        ('[providers."../x"]\na = 1', "must be a table under a provider's id"),
        ("port = true", "whole number"),
        ("host = 7", "HOST"),
        ('env = ["x"]', "development, production or testing"),
        ("env = 1", "development, production or testing"),
        ('data_dir = "a\\u0000b"', "must be text in UTF-8"),
        ("data_dir = []", "must be text"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, text: str, advice: str) -> None:
    file = tmp_path / "tradewright.toml"
    file.write_text(text)
    problems = problems_of({"TRADEWRIGHT_CONFIG": str(file)})
    assert len(problems) == 1
    assert advice in problems[0]


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, who may read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_data_directory_behind_a_closed_door_is_explained(tmp_path: Path) -> None:
    door = tmp_path / "closed"
    door.mkdir(mode=0o000)
    with as_nobody():
        problems = problems_of({"TRADEWRIGHT_DATA_DIR": str(door / "data"), "TRADEWRIGHT_PORT": "x"})
    assert len(problems) == 2
    assert "Permission denied" in problems[1]


def test_a_user_without_a_home_must_say_where_the_data_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    with pytest.raises(ConfigError) as refused:
        load_config({}).validate()
    assert len(refused.value.problems) == 1
    assert "TRADEWRIGHT_DATA_DIR is not set" in refused.value.problems[0]
    load_config({"TRADEWRIGHT_DATA_DIR": "/data"}).validate()


def test_secrets_never_show_in_a_representation() -> None:
    config = load_config({"TRADEWRIGHT_ENV": "production", **GOOD_SECRETS})
    for secret in GOOD_SECRETS.values():
        assert secret not in repr(config)


@pytest.mark.parametrize(
    "name", ["DATABASE_URL", "AUTH_DATABASE_URL", "USER_CONFIGS_DATABASE_URL", "REDIS_URL"]
)
def test_the_password_in_an_address_shows_itself_nowhere(name: str) -> None:
    config = load_config({f"TRADEWRIGHT_{name}": "postgresql://user:planted@localhost/x"})
    assert "planted" not in repr(config)


def test_the_operators_key_is_no_option_and_shows_itself_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "tradewright.toml"
    file.write_text(
        '[providers.alpaca]\nfeed = "iex"\n'
        '[providers.alpaca.credentials]\napi_key = "AK1"\nsecret = "planted"\n'
    )
    config = load_config({"TRADEWRIGHT_CONFIG": str(file), "TRADEWRIGHT_DATA_DIR": str(tmp_path)})
    config.validate()
    assert config.provider_options() == {"alpaca": {"feed": "iex"}}
    assert config.operator_credentials()["alpaca"].reveal("secret") == "planted"
    assert "planted" not in repr(config)


@pytest.mark.parametrize("table", ['colour = "green"', "api_key = 5", 'secret = ""'])
def test_a_key_with_wrong_fields_is_refused_without_its_value(tmp_path: Path, table: str) -> None:
    file = tmp_path / "tradewright.toml"
    file.write_text(f"[providers.alpaca.credentials]\n{table}\n")
    (problem,) = problems_of({"TRADEWRIGHT_CONFIG": str(file)})
    assert "[providers.alpaca.credentials]" in problem
    assert "green" not in problem
