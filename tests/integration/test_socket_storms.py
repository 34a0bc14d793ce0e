"""A small share, of fixed seeds, of what `bench/soak_sockets.py` counts in full."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from websockets.sync.client import connect

from tests.support import socket_storms as storms
from tests.support.processes import environment

pytestmark = pytest.mark.alone


async def test_who_reads_everything_gets_everything_though_others_lag() -> None:
    assert await storms.slow_among_many(20, 5, 1.5) > 10


async def test_a_greedy_client_gets_its_share_alone() -> None:
    topics, errors = await storms.greedy(400)
    assert topics == 200
    assert errors >= 200


async def test_peers_that_are_gone_are_cut_off() -> None:
    assert await storms.half_open(20, interval_s=0.2, timeout_s=0.25) <= 3


async def test_all_come_back_after_a_storm() -> None:
    took_s, attempts = await storms.reconnect(60, random.Random(1))
    assert attempts >= 60
    assert took_s < storms.BACK_S_MAX


async def test_garbage_leaves_no_trace() -> None:
    closes = await storms.garbage(2_000, random.Random(2))
    assert {1007, 1009} <= set(closes)


async def test_who_resumes_ends_with_what_the_server_has() -> None:
    times, anew = await storms.resumes(10, 4, random.Random(3))
    assert times == 40
    assert anew <= times // 4, "what was missed is mostly still known"


async def test_tokens_that_run_out_and_sessions_that_end_close_in_time() -> None:
    await storms.logins(20, random.Random(4))


async def test_who_comes_and_goes_leaves_nothing_behind() -> None:
    tasks, _ = await storms.churn(20, 8, random.Random(5))
    assert tasks <= 0


def test_a_token_is_never_logged(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tradewright", "serve", "--port", "0"]
    settings = environment(tmp_path / "data", {"TRADEWRIGHT_LOG_LEVEL": "DEBUG"})
    log = tmp_path / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, stderr=stderr, text=True)
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if " serves on " in line)
            url = line.split(" serves on ")[1].split()[0].replace("http", "ws", 1) + "/api/v1/ws"
            with connect(url, subprotocols=["tradewright.v1", "bearer.s3cret-one"]) as client:  # type: ignore[list-item]
                assert msgspec.json.decode(client.recv(timeout=10))["code"] == "invalid_token"
                client.send('{"type":"authenticate","id":1,"token":"s3cret-two"}')
                assert msgspec.json.decode(client.recv(timeout=10))["code"] == "invalid_token"
        finally:
            process.terminate()
            process.communicate(timeout=30)
    assert "s3cret" not in log.read_text()
