"""What every test may ask for, and which tests wait for what a machine may not have.

Recorded market data is not part of the repository: `TRADEWRIGHT_TEST_DATA` names the directory that
holds it. TimescaleDB is in no package registry: `TRADEWRIGHT_TEST_TIMESCALE_URL` names a database of it.
Without the variable the tests marked `golden` or `timescale` are deselected, and one line of the summary
names each of them. With it every one of them runs, and a missing directory or file is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tools import private_servers
from tools.private_servers import OwnRedis

DATA_VARIABLE = "TRADEWRIGHT_TEST_DATA"
POSTGRES_VARIABLE = "TRADEWRIGHT_TEST_POSTGRES_URL"
REDIS_VARIABLE = "TRADEWRIGHT_TEST_REDIS_URL"
TIMESCALE_VARIABLE = "TRADEWRIGHT_TEST_TIMESCALE_URL"

WAITING = {"golden": DATA_VARIABLE, "timescale": TIMESCALE_VARIABLE}
"""The markers of tests that wait, and the variable that each of them waits for."""

_not_run = pytest.StashKey[dict[str, list[str]]]()


# How long an example takes is no property of the program: a busy machine would make tests fail now and then.
settings.register_profile(
    "tradewright", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("tradewright")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to start when the directory of recorded data is named but not there."""
    config.stash[_not_run] = {}
    directory = os.environ.get(DATA_VARIABLE)
    if directory and not Path(directory).is_dir():
        raise pytest.UsageError(f"{DATA_VARIABLE} names {directory!r}, which is not a directory.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take tests out of the run that wait for something that is not there."""
    for marker, variable in WAITING.items():
        waiting = [item for item in items if item.get_closest_marker(marker)]
        if waiting and not os.environ.get(variable):
            config.stash[_not_run][marker] = [item.nodeid for item in waiting]
            config.hook.pytest_deselected(items=waiting)
            items[:] = [item for item in items if item not in waiting]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name, in one line for each marker, every test that did not run."""
    for marker, names in config.stash[_not_run].items():
        what = f"{marker} test" if len(names) == 1 else f"{marker} tests"
        reason = f"because {WAITING[marker]} is not set"
        terminalreporter.write_line(f"{len(names)} {what} did not run, {reason}: {', '.join(names)}")


@pytest.fixture(scope="session")
def recorded_data() -> Path:
    """Return the directory of recorded market data; only tests marked `golden` may ask for it."""
    return Path(os.environ[DATA_VARIABLE])


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """Return the URL of a private, empty PostgreSQL database; its owner may do anything in it."""
    return _server_url(POSTGRES_VARIABLE)


@pytest.fixture(scope="session")
def timescale_url() -> str:
    """Return the URL of a database on TimescaleDB; only tests marked `timescale` may ask for it."""
    return os.environ[TIMESCALE_VARIABLE]


@pytest.fixture(scope="session")
def redis_url() -> str:
    """Return the URL of a private Redis server."""
    return _server_url(REDIS_VARIABLE)


@pytest.fixture
def own_redis() -> Iterator[OwnRedis]:
    """Return a Redis that the test has for itself, to be killed, frozen and started again."""
    with private_servers.own_redis() as redis:
        yield redis


def _server_url(variable: str) -> str:
    url = os.environ.get(variable)
    if not url:
        pytest.fail(f"{variable} is not set: `make test` starts a private server and sets it.")
    return url
