"""Servers of one deployment, each a process that keeps its port, to be killed, paused and started again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.support.processes import environment
from tools.private_servers import free_port

READY_DEADLINE_S = 40.0
STOP_DEADLINE_S = 20.0


class ServerUnit:
    """One ``tradewright serve`` with a data directory and a log of its own."""

    def __init__(self, home: Path, settings: Mapping[str, str]) -> None:
        self.port = free_port()
        self._home = home
        self._settings = dict(settings)
        self._process: subprocess.Popen[bytes] | None = None
        home.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All that it has said, over all of its lives."""
        return (self._home / "server.log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start it, without waiting until it serves."""
        with (self._home / "server.log").open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tradewright", "serve", "--port", str(self.port)],
                env=environment(self._home / "data", self._settings),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    async def ready(self) -> None:
        """Return when it serves."""
        deadline = time.monotonic() + READY_DEADLINE_S
        while not await asyncio.to_thread(_answers, f"{self.url}/readyz"):
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise AssertionError(f"a server did not start:\n{self.log}")
            await asyncio.sleep(0.05)

    def kill(self) -> None:
        """End it at once, as a machine does that loses its power."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def freeze(self) -> None:
        """Stop it where it is: its connections stay open, and it says nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on as if nothing had been."""
        self._signal(signal.SIGCONT)

    async def stop(self) -> None:
        """End it in order."""
        self._signal(signal.SIGTERM)
        if self._process is not None:
            await asyncio.to_thread(self._process.wait, STOP_DEADLINE_S)

    def _signal(self, what: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(what)


@asynccontextmanager
async def server_units(
    home: Path, count: int, settings: Mapping[str, str]
) -> AsyncIterator[list[ServerUnit]]:
    """So many servers with the same settings, all of them serving; ended in order, or else killed.

    Raises:
        AssertionError: one of them wrote a stack trace into its log.
    """
    units = [ServerUnit(home / f"server-{number}", settings) for number in range(count)]
    try:
        for unit in units:
            unit.start()
        await asyncio.gather(*(unit.ready() for unit in units))
        yield units
        for unit in units:
            unit.thaw()
            await unit.stop()
            assert "Traceback" not in unit.log, unit.log
    finally:
        for unit in units:
            unit.kill()


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
