"""The program as a user runs it: real processes, real ports, real signals."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

START_DEADLINE_S = 30.0


def environment(data_dir: Path, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """The test's environment without settings of its own, and with these. One test may call as often as many
    people do, unless it says otherwise."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRADEWRIGHT_")}
    own = {"TRADEWRIGHT_DATA_DIR": str(data_dir), "TRADEWRIGHT_RATE_LIMIT": "1000000"}
    return {**kept, **own, **(settings or {})}


def run_command(data_dir: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """One run of the command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "tradewright", *arguments],
        env=environment(data_dir, settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that has said where it serves."""

    process: subprocess.Popen[str]
    url: str
    said: str

    def get(self, path: str) -> Any:
        """The decoded JSON of an answer that is no error."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return msgspec.json.decode(answer.read())


@contextmanager
def serving(data_dir: Path, **settings: str) -> Iterator[ServerProcess]:
    """``tradewright serve`` on a free port, ended with SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tradewright", "serve", "--port", "0"],
        env=environment(data_dir, settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    said = ""
    try:
        for line in process.stdout:
            said += line
            if " serves on " in line:
                url = line.split(" serves on ")[1].split()[0]
                yield ServerProcess(process, url, said)
                break
        else:
            raise AssertionError(f"the server ended: {said}{process.stderr.read()}")
    finally:
        process.terminate()
        try:
            process.communicate(timeout=START_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
