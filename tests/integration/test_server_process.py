"""Starting, refusing, importing beside it, and ending: the program as a user runs it."""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import websockets
from websockets.asyncio.client import connect

from tests.support.processes import run_command, serving

SUBSCRIBE = {
    "type": "subscribe",
    "id": 1,
    "stream": "ticker",
    "market": "crypto",
    "provider": "simulated",
    "symbol": "BTC/USDT",
}


def test_a_first_start_makes_its_secrets_and_says_where(tmp_path: Path) -> None:
    data_dir = tmp_path / "new" / "data"
    with serving(data_dir) as server:
        assert server.get("/healthz")["status"] == "ok"
        assert str(data_dir / "secrets.toml") in server.said
    assert stat.S_IMODE((data_dir / "secrets.toml").stat().st_mode) == 0o600
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    before = (data_dir / "secrets.toml").read_text()
    with serving(data_dir) as server:
        assert "secrets" not in server.said
    assert (data_dir / "secrets.toml").read_text() == before


def test_a_second_server_on_one_data_directory_refuses_in_one_sentence(tmp_path: Path) -> None:
    with serving(tmp_path):
        second = run_command(tmp_path, "serve", "--port", "0")
    assert second.returncode == 1
    assert "uses the data directory" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1


def test_a_taken_port_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = run_command(tmp_path, "serve", "--port", str(taken.getsockname()[1]))
    assert refused.returncode == 1
    assert "is taken by another program" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_wrong_settings_are_told_all_at_once(tmp_path: Path) -> None:
    refused = run_command(tmp_path, "serve", TRADEWRIGHT_PORT="x", TRADEWRIGHT_LOG_FORMAT="xml")
    assert refused.returncode == 2
    lines = refused.stderr.strip().splitlines()
    assert len(lines) == 2
    assert all(line.startswith("tradewright: TRADEWRIGHT_") for line in lines)


def test_a_directory_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = run_command(tmp_path / "file" / "data", "serve")
    assert refused.returncode == 2
    assert "TRADEWRIGHT_DATA_DIR" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_damaged_secrets_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "secrets.toml").write_text("jwt_secret = 'short'\n")
    refused = run_command(tmp_path, "serve", "--port", "0")
    assert refused.returncode == 2
    assert "secrets.toml" in refused.stderr
    assert (tmp_path / "secrets.toml").read_text() == "jwt_secret = 'short'\n"


def newer_database(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize(
    ("name", "spoil", "code", "sentence"),
    [
        ("bars.sqlite3", lambda path: path.write_text("garbage\n"), 1, "is not a database, or is damaged"),
        ("bars.sqlite3", newer_database, 2, "was written by a newer version"),
        ("bars.sqlite3", Path.mkdir, 1, "can't be opened"),
        ("server.lock", Path.mkdir, 2, "can't be used (Is a directory)"),
        ("secrets.toml", Path.mkdir, 2, "can't be read as TOML"),
    ],
    ids=["damaged", "newer", "directory", "lock", "secrets"],
)
def test_a_spoiled_data_directory_is_refused_in_one_sentence(
    tmp_path: Path, name: str, spoil: Callable[[Path], object], code: int, sentence: str
) -> None:
    spoil(tmp_path / name)
    refused = run_command(tmp_path, "serve", "--port", "0", TRADEWRIGHT_LOG_LEVEL="ERROR")
    assert refused.returncode == code, refused.stderr
    assert refused.stderr.startswith("tradewright: ")
    assert f"{tmp_path / name}" in refused.stderr
    assert sentence in refused.stderr
    assert len(refused.stderr.splitlines()) == 1, refused.stderr
    assert "serves on" not in refused.stdout


def test_a_host_that_cannot_be_one_is_refused_in_one_sentence(tmp_path: Path) -> None:
    refused = run_command(tmp_path, "serve", "--host", "a" * 70, TRADEWRIGHT_ENV="development")
    assert refused.returncode == 1
    assert "correct TRADEWRIGHT_HOST" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def bar_file(path: Path, first_ms: int, closes: list[float]) -> Path:
    times = [first_ms + index * 60_000 for index in range(len(closes))]
    columns = {"time_ms": times, "open": closes, "high": closes, "low": closes, "close": closes}
    pq.write_table(pa.table({**columns, "volume": [1.0] * len(closes)}), path)
    return path


def test_an_import_beside_the_server_is_seen_at_once(tmp_path: Path) -> None:
    file = bar_file(tmp_path / "bars.parquet", 1_600_000_020_000, [10.0, 11.0, 12.0])
    address = ("--market", "crypto", "--provider", "tapes", "--symbol", "ABC/USD")
    query = (
        "/api/v1/market/ohlcv?market=crypto&provider=tapes&symbol=ABC/USD&timeframe=1m&start=1600000020000"
    )
    with serving(tmp_path / "data") as server:
        for closes in ([10.0, 11.0, 12.0], [10.0, 11.5, 12.0]):
            bar_file(file, 1_600_000_020_000, closes)
            done = run_command(tmp_path / "data", "import", str(file), *address, "--replace")
            assert done.returncode == 0, done.stderr
            assert "3 rows read" in done.stdout
            assert [bar[4] for bar in server.get(query)["bars"]] == closes
        providers = server.get("/api/v1/market/providers?market=crypto")["items"]
        assert providers[-1]["provider"] == "tapes"


def test_a_refused_import_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "bars.csv"
    file.write_text("time,open,high,low,close,volume\n1600000020000,10,9,11,10,1\n")
    address = ("--market", "crypto", "--provider", "tapes", "--symbol", "ABC/USD")
    refused = run_command(tmp_path / "data", "import", str(file), *address)
    assert refused.returncode == 1
    assert "bars.csv" in refused.stderr
    assert "line 2" in refused.stderr
    assert "Traceback" not in refused.stderr
    simulated = run_command(tmp_path / "data", "import", str(file), *address[:3], "simulated", *address[4:])
    assert simulated.returncode == 1
    assert "simulated" in simulated.stderr
    unknown = run_command(tmp_path / "data", "import", str(file), "--market", "bonds", *address[2:])
    assert unknown.returncode == 1


async def test_sockets_are_told_before_the_server_goes(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        async with connect(
            server.url.replace("http", "ws") + "/api/v1/ws",
            subprotocols=[websockets.Subprotocol("tradewright.v1")],
        ) as client:
            await client.send(json.dumps(SUBSCRIBE))
            kinds = [json.loads(await client.recv())["type"] for _ in range(2)]
            assert kinds == ["ok", "snapshot"]
            server.process.terminate()
            seen: list[str] = []
            with contextlib.suppress(websockets.ConnectionClosed):
                async for message in client:
                    seen.append(json.loads(message)["type"])  # noqa: PERF401  the socket ends by raising
            assert "draining" in seen
            assert client.close_code == 1012
        assert server.process.wait(timeout=15) in (0, -15)
        assert server.process.stderr is not None
        assert "Traceback" not in server.process.stderr.read()


def test_requests_that_cannot_be_read_do_not_flood_the_log(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        host, port = server.url.removeprefix("http://").split(":")
        for _ in range(20):
            with socket.create_connection((host, int(port)), timeout=10) as client:
                client.sendall(b"no request\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.1 400")
        server.process.terminate()
        _, errors = server.process.communicate(timeout=30)
    assert errors.count("Invalid HTTP request received.") == 1


async def test_foreign_origins_get_no_socket(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        url = server.url.replace("http", "ws") + "/api/v1/ws"
        own = server.url
        for origin, accepted in (
            (None, True),
            (own, True),
            ("https://evil.example", False),
            ("null", False),
            (own + ".evil.example", False),
        ):
            attempt = connect(url, additional_headers={} if origin is None else {"Origin": origin})
            if accepted:
                async with attempt:
                    continue
            with pytest.raises(websockets.InvalidStatus) as refused:
                await attempt
            assert refused.value.response.status_code == 403, origin


def test_the_help_names_every_command(tmp_path: Path) -> None:
    shown = run_command(tmp_path, "--help")
    assert shown.returncode == 0
    assert {"serve", "import"} <= set(shown.stdout.split())
