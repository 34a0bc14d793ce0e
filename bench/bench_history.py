"""A warm request for 1,000 closed bars over HTTP, beside nginx with a file of the same bytes and beside the
obvious program, all asked by wrk with 32 connections.

Needs nginx and wrk: `apt-get install -y nginx-light wrk`.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.generated import MINUTE_MS, START_MS, minute_bars
from tests.support.processes import serving
from tools.private_servers import free_port
from tradewright.app_extensions.stores import BARS_FILE
from tradewright.domain.instruments import Instrument, SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase

BARS = 1_000
ROUNDS = 3
SECONDS = 3
CONNECTIONS = 32
OF_NGINX_MIN = 0.4
TIMES_OBVIOUS_MIN = 40.0
KEY = SeriesKey("crypto", "archive", "BTC/USD", "1m")
PATH = (
    f"/api/v1/market/ohlcv?market=crypto&provider=archive&symbol=BTC/USD&timeframe=1m&start={START_MS}"
    f"&end={START_MS + BARS * MINUTE_MS}&limit={BARS}"
)
NGINX = """
daemon off; worker_processes 1; error_log stderr; pid {folder}/pid;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; types {{ application/json json; }}
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""


async def store_bars(folder: Path) -> None:
    """Put the bars where the server will look for them, as an import does."""
    database = SQLiteDatabase(folder / BARS_FILE)
    await database.open()
    covered = IntervalSet.single(START_MS, START_MS + 2 * BARS * MINUTE_MS)
    batch = SeriesBars(KEY, minute_bars(2 * BARS), covered)
    instrument = Instrument(market="crypto", symbol=KEY.symbol, base="BTC", quote="USD")
    await SQLiteBarStore(database).import_bars([batch], replace=False, instruments=[instrument])
    await database.close()


def requests_per_second(url: str) -> float:
    """Ask with wrk for a while; every answer has to be a right one."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"wrk met errors at {url}:\n{said}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found is not None
    return float(found[1])


@contextmanager
def running(command: list[str], url: str) -> Iterator[None]:
    """Run a program until it answers, and end it."""
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(url, timeout=1).read()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise SystemExit(f"{command[0]} does not answer at {url}.") from None
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def measure(folder: Path) -> dict[str, float]:
    """Measure the three in turn, several times, and take medians."""
    (folder / "data").mkdir()
    asyncio.run(store_bars(folder / "data"))
    plain_port, nginx_port = free_port(), free_port()
    found: dict[str, list[float]] = {"ours": [], "nginx": [], "obvious": []}
    with serving(folder / "data") as server:
        body = urllib.request.urlopen(server.url + PATH, timeout=10).read()
        (folder / "bars.json").write_bytes(body)
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=nginx_port), encoding="utf-8")
        nginx = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
        static = f"http://127.0.0.1:{nginx_port}/bars.json"
        plain = f"http://127.0.0.1:{plain_port}/bars"
        with (
            running(nginx, static),
            running([sys.executable, "-m", "bench.plain_quart", str(plain_port)], plain),
        ):
            for _ in range(ROUNDS):
                found["ours"].append(requests_per_second(server.url + PATH))
                found["nginx"].append(requests_per_second(static))
                found["obvious"].append(requests_per_second(plain))
    print(f"{BARS:,} closed bars, {len(body):,} bytes, {CONNECTIONS} connections, requests/s:")
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> int:
    """Measure and compare with what is promised."""
    missing = [name for name in ("wrk", "nginx") if shutil.which(name) is None]
    if missing:
        print(f"Needs {' and '.join(missing)}: apt-get install -y nginx-light wrk", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # nginx reads the file as a user of its own
        medians = measure(Path(folder))
    of_nginx, times = medians["ours"] / medians["nginx"], medians["ours"] / medians["obvious"]
    kept = of_nginx >= OF_NGINX_MIN and times >= TIMES_OBVIOUS_MIN
    print(
        f"  ours {medians['ours']:,.0f}   nginx {medians['nginx']:,.0f}   obvious {medians['obvious']:,.0f}"
    )
    print(f"  of nginx   {of_nginx:6.2f}, promised {OF_NGINX_MIN:.2f}")
    print(f"  of obvious {times:6.1f}, promised {TIMES_OBVIOUS_MIN:.1f}{'' if kept else '   BROKEN'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
