"""What every test may ask for, and which tests wait for recorded market data.

Recorded data is not part of the repository: `TRADEWRIGHT_TEST_DATA` names the directory that
holds it. Without the variable the tests marked `golden` are deselected and one line of the summary
names each of them. With it every one of them runs, and a missing directory or file is a failure.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA_VARIABLE = "TRADEWRIGHT_TEST_DATA"
POSTGRES_VARIABLE = "TRADEWRIGHT_TEST_POSTGRES_URL"
REDIS_VARIABLE = "TRADEWRIGHT_TEST_REDIS_URL"

_golden_not_run = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to start when the directory of recorded data is named but not there."""
    config.stash[_golden_not_run] = []
    directory = os.environ.get(DATA_VARIABLE)
    if directory and not Path(directory).is_dir():
        raise pytest.UsageError(f"{DATA_VARIABLE} names {directory!r}, which is not a directory.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the golden tests out of the run when there is nothing to compare with."""
    if os.environ.get(DATA_VARIABLE):
        return
    golden = [item for item in items if item.get_closest_marker("golden")]
    if golden:
        config.stash[_golden_not_run] = [item.nodeid for item in golden]
        config.hook.pytest_deselected(items=golden)
        items[:] = [item for item in items if item not in golden]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name, in one line, every golden test that did not run."""
    names = config.stash[_golden_not_run]
    if names:
        what = "golden test" if len(names) == 1 else "golden tests"
        reason = f"because {DATA_VARIABLE} is not set"
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
def redis_url() -> str:
    """Return the URL of a private Redis server."""
    return _server_url(REDIS_VARIABLE)


def _server_url(variable: str) -> str:
    url = os.environ.get(variable)
    if not url:
        pytest.fail(f"{variable} is not set: `make test` starts a private server and sets it.")
    return url
