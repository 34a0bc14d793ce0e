"""The test run stops its servers however it ends, and says what it lacks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0

# A test that tells where the servers are and then hangs until it is interrupted.
HANGING = """
import os, pathlib, threading

def test_hangs():
    pathlib.Path(os.environ["TRADEWRIGHT_TEST_NOTE"]).write_text(
        os.environ["TRADEWRIGHT_TEST_POSTGRES_URL"] + " " + os.environ["TRADEWRIGHT_TEST_REDIS_URL"] + " done"
    )
    threading.Event().wait(50)
"""


def _listening(port: str) -> bool:
    hexadecimal = f"0100007F:{int(port):04X}"
    rows = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    return any(row.split()[1] == hexadecimal and row.split()[3] == "0A" for row in rows)


def _wait(condition: Callable[[], bool], folder: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, _log(folder)
        time.sleep(0.05)


@pytest.fixture
def reachable() -> Iterator[Path]:
    """Return a temporary folder that PostgreSQL's unprivileged user may pass through, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="tradewright-runner-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_its_servers_are_gone_however_it_ends(way: signal.Signals, tmp_path: Path, reachable: Path) -> None:
    note = tmp_path / "note"
    hanging = tmp_path / "test_hanging.py"
    hanging.write_text(HANGING, encoding="utf-8")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.run_tests", "-p", "no:cacheprovider", str(hanging)],
            cwd=ROOT,
            env={**os.environ, "TRADEWRIGHT_TEST_NOTE": str(note), "TMPDIR": str(reachable)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait(lambda: note.exists() and note.read_text("utf-8").endswith("done"), tmp_path)
        ports = re.findall(r"127\.0\.0\.1:(\d+)", note.read_text("utf-8"))
        assert len(ports) == 2
        assert all(map(_listening, ports))
        process.send_signal(way)
        assert process.wait(DEADLINE_S) != 0
        _wait(lambda: not any(map(_listening, ports)), tmp_path)
    finally:
        if _group_lives(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _log(folder: Path) -> str:
    return (folder / "log").read_text("utf-8", "replace")


def test_it_names_what_is_missing_and_may_not_be_installed(tmp_path: Path) -> None:
    """As a user without privileges, on a machine where only the runner's Python is in PATH."""
    program = (
        "import os, sys; from tools import run_tests as r; os.geteuid = lambda: 1000; "
        "r.postgres_program = lambda name: None; sys.exit(r.main(['nothing']))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith("The tests need the PostgreSQL server, psql, the Redis server, Chromium,")
    assert "apt-get install -y postgresql postgresql-client redis-server chromium" in answer.stderr
