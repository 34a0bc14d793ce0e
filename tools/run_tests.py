"""Run every check and every test, with the servers they need: what `make test` does.

Without arguments everything runs. Most tests compute, or wait for what is theirs: they run in two halves
side by side, each with servers of its own. Those marked `alone` or `browser` run afterwards. Arguments go
to pytest, which then runs once, and without the checks.

Programs that are missing are installed where that is allowed (as root, or by sudo without a password);
where it is not, the run fails and names them. Nothing is skipped for want of a program. PostgreSQL and
Redis are private to the run and are always stopped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT
from types import FrameType
from typing import IO

from tools import checks
from tools.private_servers import ServerError, postgres_program, private_servers

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PYTEST_STOP_TIMEOUT_S = 30.0

HALF = (
    "tests/architecture",
    "tests/contract/alpaca_plugin",
    "tests/contract/ccxt_venues",
    "tests/frontend",
    "tests/packaging",
    "tests/unit",
)
AT_ONCE = ("-m", "not alone and not browser")
ONE_HALF = (*HALF, *AT_ONCE)
OTHER_HALF = (*(f"--ignore={path}" for path in HALF), *AT_ONCE)
AFTERWARDS = ("-m", "alone or browser")
"""What pytest is told of the tests that run side by side, and of those that run when they are done. Every
test is in one of the three, wherever it stands."""


@dataclass(frozen=True, slots=True)
class Need:
    """A program of the system that the tests use, and the Debian package that brings it."""

    what: str
    package: str
    present: Callable[[], bool]


NEEDS = (
    Need("the PostgreSQL server", "postgresql", lambda: bool(postgres_program("initdb"))),
    Need("psql", "postgresql-client", lambda: bool(postgres_program("psql"))),
    Need("the Redis server", "redis-server", lambda: bool(shutil.which("redis-server"))),
    Need("Chromium", "chromium", lambda: bool(browser())),
)


def main(arguments: list[str]) -> int:
    """Install what is missing and run what the arguments ask for; return 0 only when everything passed."""
    signal.signal(signal.SIGTERM, _terminate)
    if not _provide_programs():
        return 1
    try:
        if arguments:
            with _servers() as environment, _pytest(arguments, environment) as chosen:
                return chosen.wait()
        return _everything()
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1


def _everything() -> int:
    """Run the checks, which belong to the whole alone, and all tests; return 0 when everything passed."""
    failed_before = checks.main([])
    with _servers() as ours, _servers() as theirs, tempfile.TemporaryFile() as said:
        _step("two halves of the tests, side by side: this is the one")
        with _pytest(OTHER_HALF, theirs, said) as other, _pytest(ONE_HALF, ours) as one:
            statuses = [one.wait(), other.wait()]
        _step("this is the other")
        said.seek(0)
        shutil.copyfileobj(said, sys.stdout.buffer)
        _step("tests that have the machine to themselves")
        with _pytest(AFTERWARDS, ours) as rest:
            statuses.append(rest.wait())
    if failed_before:
        print("Checks before these tests failed: see above.", file=sys.stderr)
    return int(any([failed_before, *statuses]))


def browser() -> str | None:
    """Return the path of an installed Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def _provide_programs() -> bool:
    missing = [need for need in NEEDS if not need.present()]
    if not missing:
        return True
    packages = [need.package for need in missing]
    prefix = _privilege()
    if prefix is not None and shutil.which("apt-get"):
        _step(f"installing {', '.join(packages)}")
        _install([*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"], packages)
        missing = [need for need in missing if not need.present()]
    if missing:
        names = ", ".join(need.what for need in missing)
        command = f"sudo apt-get install -y {' '.join(need.package for need in missing)}"
        print(f"The tests need {names}, missing on this machine: {command}", file=sys.stderr)
    return not missing


def _privilege() -> list[str] | None:
    """Return the words before a command that make it run as root, or None where that is not allowed."""
    if os.geteuid() == 0:
        return []
    if not shutil.which("sudo"):
        return None
    allowed = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)
    return ["sudo", "-n"] if allowed.returncode == 0 else None


def _install(apt_get: list[str], packages: list[str]) -> None:
    """Install Debian packages; what apt-get has to say is shown only when it fails."""
    wait = ("-o", "DPkg::Lock::Timeout=300")
    steps = (["update"], ["install", "-y", "--no-install-recommends", *wait, *packages])
    for step in steps:
        answer = subprocess.run([*apt_get, *step], stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, text=True)
        if answer.returncode:
            print(answer.stdout[-4000:], file=sys.stderr)


@contextlib.contextmanager
def _servers() -> Iterator[dict[str, str]]:
    """Start PostgreSQL and Redis for one run of pytest, and yield its environment."""
    _step("starting private PostgreSQL and Redis servers")
    with private_servers() as variables:
        yield _environment() | variables | {"TRADEWRIGHT_TEST_CHROMIUM": browser() or ""}


@contextlib.contextmanager
def _pytest(
    arguments: Sequence[str], environment: dict[str, str], output: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run pytest, to be waited for; when this run is told to stop, stop pytest first and wait for it."""
    command = [sys.executable, "-m", "pytest", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output and STDOUT)
    try:
        yield process
    except (KeyboardInterrupt, SystemExit):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        process.send_signal(signal.SIGINT)
        timer = threading.Timer(PYTEST_STOP_TIMEOUT_S, process.kill)
        timer.start()
        process.wait()
        timer.cancel()
        raise


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _environment() -> dict[str, str]:
    """Return our environment without the settings of a server of yours, whose data no test may touch."""
    ours, tests = "TRADEWRIGHT_", "TRADEWRIGHT_TEST_"
    kept = (name for name in os.environ if not name.startswith(ours) or name.startswith(tests))
    return {name: os.environ[name] for name in kept}


def _step(text: str) -> None:
    print(f"· {text}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
