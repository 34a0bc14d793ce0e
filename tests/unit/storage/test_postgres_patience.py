"""How long one call waits for a server that says nothing."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from tests.support.loop_time import LoopTime, driven_loop
from tradewright.domain.errors import StorageUnavailable
from tradewright.storage.postgres.lending import Lender
from tradewright.storage.postgres.session import Patience

STEP_S, CALL_S_MAX = 4.0, 5.0


async def silent(patience: Patience) -> None:
    """Wait for an answer that never comes."""
    async with patience.step():
        await asyncio.get_running_loop().create_future()


async def waited_s(time: LoopTime, patience: Patience) -> float:
    """How long the call waits."""
    began_s = time.now()
    waiting = asyncio.create_task(silent(patience))
    while not waiting.done():
        await time.advance(0.1)
    with pytest.raises(StorageUnavailable):
        waiting.result()
    return time.now() - began_s


async def test_silence_ends_a_call_however_long_the_server_answered_before() -> None:
    with driven_loop() as time:
        patience = Patience(30.0, STEP_S)
        for _ in range(4):
            async with patience.step():
                await time.advance(2.0)
        assert STEP_S <= await waited_s(time, patience) <= STEP_S + 0.5


@pytest.mark.parametrize(("away_s", "least_s"), [(0.2, 3.9), (1.6, 3.0), (2.5, 2.1)])
async def test_a_server_that_goes_away_and_then_falls_silent_takes_no_more_than_five_seconds(
    away_s: float, least_s: float
) -> None:
    with driven_loop() as time:
        patience = Patience(30.0, STEP_S)
        await time.advance(away_s)
        patience.went_away()
        silence_s = await waited_s(time, patience)
        assert least_s <= silence_s <= CALL_S_MAX - away_s


async def test_a_server_that_came_back_late_is_given_a_second_still() -> None:
    with driven_loop() as time:
        patience = Patience(30.0, STEP_S)
        patience.went_away()
        async with patience.step():
            await time.advance(3.0)
        async with patience.step():
            await time.advance(1.0)
        async with patience.step():
            await time.advance(0.9)
        assert 1.0 <= await waited_s(time, patience) <= 1.5


@pytest.mark.parametrize(
    "failure", [OSError(9, "Bad file descriptor"), TimeoutError(), asyncpg.InterfaceError("gone")]
)
async def test_connections_that_can_not_be_closed_any_more_are_ended(failure: Exception) -> None:
    """As after the server was killed under them: a server of ours that ends must not fail by it."""

    class Pool:
        ended = False

        async def close(self) -> None:
            raise failure

        def terminate(self) -> None:
            self.ended = True

    pool = Pool()
    await Lender(pool, 1).close()
    assert pool.ended
