"""``tradewright backfill`` as a user runs it: to its end, killed, interrupted, beside a server."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.backfill_kills import CLOCK, END_MS, Command, candle_venue, killed_history, wanted
from tests.support.ledger import START_MS
from tests.support.processes import serving
from tests.venues.binance import BinanceVenue
from tradewright.domain.timeframes import MINUTE_MS

ANSWER_S = 0.2


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[BinanceVenue]:
    async with candle_venue(tmp_path, answer_s=ANSWER_S) as opened:
        yield opened


async def test_what_was_killed_and_resumed_equals_what_was_not(venue: BinanceVenue, tmp_path: Path) -> None:
    whole, killed = (Command.over(venue, tmp_path, name) for name in ("whole", "killed"))
    await venue.faults.heal()  # only what is to be killed has to take its time
    code, said, complained = await whole.run(*wanted())
    assert code == 0, complained
    assert "bars of XRP/ETH from binance" in said
    assert "Traceback" not in complained
    assert len(whole.rows()) > (END_MS - START_MS) // MINUTE_MS * 0.7
    venue.faults.delay(ANSWER_S, "/api/v3/klines")
    await killed_history(venue, killed, random.Random(1), kills=2)
    await venue.faults.heal()
    job_id = killed.open_job()
    if job_id is not None:
        code, _, complained = await killed.run("--resume", job_id)
        assert code == 0, complained
    assert killed.checksum() == whole.checksum()
    requests = venue.requests("klines")
    code, said, _ = await killed.run(*wanted("--newest-first"))
    assert code == 0
    assert "Stored 0 bars" in said
    assert venue.requests("klines") - requests <= 3, "only the listing is asked for"


async def test_ctrl_c_leaves_the_job_to_be_resumed(venue: BinanceVenue, tmp_path: Path) -> None:
    venue.faults.delay(1.0, "/api/v3/klines")
    command = Command.over(venue, tmp_path, "data")
    process = await command.start(*wanted())
    async with asyncio.timeout(60):
        while not venue.requests("klines"):
            await CLOCK.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, complained = await process.communicate()
    job_id = command.open_job()
    assert process.returncode == 1
    assert f"tradewright backfill --resume {job_id}" in complained.decode()
    assert "Traceback" not in complained.decode()
    code, listed, _ = await command.run("--list")
    assert code == 0
    assert f"{job_id}  queued" in listed


async def test_beside_a_server_the_server_works_and_the_command_watches(
    venue: BinanceVenue, tmp_path: Path
) -> None:
    await venue.faults.heal()
    venue.faults.delay(2.0, "/api/v3/klines")
    command = Command.over(venue, tmp_path, "data")
    with serving(command.data_dir, TRADEWRIGHT_CONFIG=str(command.config)) as server:
        watching = await command.start(*wanted())
        await command.until_owned_by("server")
        job_id = command.open_job() or ""
        watching.kill()
        await watching.communicate()
        watching = await command.start("--resume", job_id)
        server.process.kill()
        server.process.wait()
        command.end_lease()
        await command.until_owned_by("command")
    async with asyncio.timeout(60):
        with serving(command.data_dir, TRADEWRIGHT_CONFIG=str(command.config)):
            await command.until_owned_by("server")
            watching.send_signal(signal.SIGINT)
            _, complained = await watching.communicate()
            assert f"tradewright backfill --cancel {job_id}" in complained.decode()
            code, _, complained_of = await command.run("--cancel", job_id)
            assert (code, complained_of) == (0, "")
            assert command.state(job_id) == "cancelled"
            await venue.faults.heal()
            requests = venue.requests("klines")
            code, said, complained_of = await command.run(*wanted())
    assert code == 0, complained_of
    assert "A server on this database does the work" in complained_of
    assert "bars of XRP/ETH from binance" in said
    assert venue.requests("klines") > requests
    assert len(command.rows()) > (END_MS - START_MS) // MINUTE_MS * 0.7
