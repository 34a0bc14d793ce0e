"""A warm request for 1,000 bars over HTTP, closed ones beside nginx with a file of the same bytes and beside
the obvious program, and ones of which the newest is forming beside the obvious program, all asked by wrk with
32 connections.

The bar that forms is asked for anew, once for all equal requests under way, so these go the ordinary way. The
simulated exchange makes it, in the same process.

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

import msgspec

from bench.generated import MINUTE_MS, START_MS, minute_bars
from tests.support.processes import serving
from tools.private_servers import free_port
from tradewright.app_extensions.stores import BARS_FILE
from tradewright.domain.instruments import Instrument, SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase

BARS = 1_000
ROUNDS = 9
SECONDS = 1
"""Short turns beside each peer, since a machine is not equally quick from one ten seconds to the next."""
CONNECTIONS = 32
OF_NGINX_MIN = 0.4
TIMES_OBVIOUS_MIN = 40.0
FORMING_TIMES_OBVIOUS_MIN = 4.0
"""Encoding columns at each request is some seven times as quick as `jsonify`, and that is not all of it."""
FREQTRADE_S = 0.0475
"""How long its `pair_history` took for 1,000 bars, measured elsewhere: it can't be run beside this, so what
comes of the figure is told for orientation, and nothing is promised."""
KEY = SeriesKey("crypto", "archive", "BTC/USD", "1m")
FORMING_PATH = (
    f"/api/v1/market/ohlcv?market=crypto&provider=simulated&symbol=BTC/USDT&timeframe=1m&limit={BARS}"
)
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


def check_freshness(url: str) -> None:
    """Wait until the newest bar, which has to be forming, is seen to move."""
    seen: set[tuple[float, ...]] = set()
    deadline = time.monotonic() + 60
    while len(seen) < 2:
        answer = msgspec.json.decode(urllib.request.urlopen(url, timeout=10).read())
        if not answer["forming"] or len(answer["bars"]) != BARS:
            raise SystemExit("The newest bar is not forming.")
        seen.add(tuple(answer["bars"][-1]))
        if time.monotonic() > deadline:
            raise SystemExit("The newest bar does not move.")
        time.sleep(0.1)


def measure(folder: Path) -> dict[str, list[float]]:
    """Measure all in turn, several times."""
    (folder / "data").mkdir()
    asyncio.run(store_bars(folder / "data"))
    plain_port, nginx_port = free_port(), free_port()
    with serving(folder / "data") as server:
        body = urllib.request.urlopen(server.url + PATH, timeout=10).read()
        (folder / "bars.json").write_bytes(body)
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=nginx_port), encoding="utf-8")
        nginx = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
        urls = {
            "ours": server.url + PATH,
            "nginx": f"http://127.0.0.1:{nginx_port}/bars.json",
            "obvious": f"http://127.0.0.1:{plain_port}/bars",
            "forming": server.url + FORMING_PATH,
        }
        check_freshness(urls["forming"])
        found: dict[str, list[float]] = {name: [] for name in urls}
        with (
            running(nginx, urls["nginx"]),
            running([sys.executable, "-m", "bench.plain_quart", str(plain_port)], urls["obvious"]),
        ):
            for _ in range(ROUNDS):
                for name, url in urls.items():
                    found[name].append(requests_per_second(url))
    print(f"{BARS:,} bars, {len(body):,} bytes, {CONNECTIONS} connections, requests/s:")
    return found


def main() -> int:
    """Measure and compare with what is promised."""
    missing = [name for name in ("wrk", "nginx") if shutil.which(name) is None]
    if missing:
        print(f"Needs {' and '.join(missing)}: apt-get install -y nginx-light wrk", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # nginx reads the file as a user of its own
        found = measure(Path(folder))
    print("  " + "   ".join(f"{name} {statistics.median(values):,.0f}" for name, values in found.items()))
    broken = False
    for title, ours, peer, ratio_min in (
        ("closed, of nginx", "ours", "nginx", OF_NGINX_MIN),
        ("closed, of obvious", "ours", "obvious", TIMES_OBVIOUS_MIN),
        ("forming, of obvious", "forming", "obvious", FORMING_TIMES_OBVIOUS_MIN),
    ):
        ratio = statistics.median(a / b for a, b in zip(found[ours], found[peer], strict=True))
        broken = broken or ratio < ratio_min
        verdict = "   BROKEN" if ratio < ratio_min else ""
        print(f"  {title:20} {ratio:6.2f}, promised {ratio_min:.2f}{verdict}")
    times = statistics.median(found["ours"]) * FREQTRADE_S
    print(f"  For orientation: {times:,.0f} times freqtrade's pair_history, whose figure is from elsewhere.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
