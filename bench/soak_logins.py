"""Guessing passwords: how many guesses are looked at, and whether the owner still comes in.

    python -m bench.soak_logins [tries] [pairs of times]

Wrong passwords at 50 a second from one address, then from thousands, on a driven clock and an embedded
database: of one address at most 30 may be looked at in ten minutes, and the owner has to come in each time
from another address and from a device that was known. Two hundred at once count exactly. Then, with
Argon2id as it is used, whether the time of a refusal tells a name that there is from one that there is not,
and how long the loop stands while fifty log in.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import sys
import tempfile
import time
from pathlib import Path

from tests.support.accounts import PASSWORD, People
from tests.support.login_attack import LoginAttack, area_under_curve, refusal_times, under_attack
from tradewright.domain.people import TooManyLogins
from tradewright.services.auth.passwords import PasswordCost
from tradewright.services.auth.throttle import BY_PAIR
from tradewright.services.auth.visits import Visit

TRIES, PAIRS = 10_000, 500
PER_S = 50.0
LOOKED_AT_MAX = 30
AREA_MAX = 0.55
LAG_S_MAX = 0.25
MEMORY_MB_MAX = 256 + 200
"""Four hashes of 64 MiB at once, and the program that makes them."""


async def soak(tries: int, pairs: int) -> int:
    """Attack, and print what came of it."""
    with tempfile.TemporaryDirectory() as directory:
        broken = await _guess(Path(directory), tries)
    known, unknown = await refusal_times(pairs, PasswordCost())
    area = area_under_curve(known, unknown)
    distinguished = max(area, 1 - area)
    print(f"{pairs} refusals each of a known and an unknown name: area under the curve {distinguished:.3f}")
    return int(broken or distinguished > AREA_MAX or await _fifty_at_once())


async def _guess(directory: Path, tries: int) -> bool:
    ways = {
        "one address": LoginAttack.from_one_address,
        "as many addresses": LoginAttack.from_the_whole_world,
    }
    broken = False
    for number, (what, way) in enumerate(ways.items()):
        (directory / str(number)).mkdir()
        async with under_attack(directory / str(number)) as attack:
            await way(attack, tries, PER_S)
            elsewhere, known = attack.owner_elsewhere, attack.owner_known
            print(
                f"{tries} guesses at {PER_S:g} a second from {what}: {attack.looked_at} looked at; the owner "
                f"came in {sum(elsewhere)} of {len(elsewhere)} times from elsewhere, "
                f"{sum(known)} of {len(known)} by a known device"
            )
            met = elsewhere + known
            broken = broken or not all(met) or attack.looked_at > LOOKED_AT_MAX
            exact = await attack.at_once(200)
            print(f"200 at once: {exact} looked at")
            broken = broken or exact != BY_PAIR.free
    return broken


async def _fifty_at_once() -> bool:
    """Fifty people log in while the loop is watched."""
    people = People(cost=PasswordCost())
    for number in range(50):
        await people.add(f"user{number}")
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lags: list[float] = []
    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            lags.append(time.perf_counter() - began - 0.005)

    watching = asyncio.create_task(watch(), name="watch the loop")
    began = time.perf_counter()
    homes = [Visit(address=f"192.0.2.{number}") for number in range(50)]
    tries = (people.login(f"user{number}", PASSWORD, visit=home) for number, home in enumerate(homes))
    answers = await asyncio.gather(*tries, return_exceptions=True)
    busy = sum(isinstance(answer, TooManyLogins) for answer in answers)
    others = [answer for answer in answers if isinstance(answer, BaseException)]
    taken = time.perf_counter() - began
    done.set()
    await watching
    lag = sorted(lags)[int(len(lags) * 0.99)]
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"50 log in at once in {taken:.1f} s, {busy} sent away as too many: the loop stands for "
        f"{lag * 1000:.0f} ms (p99) and {max(lags) * 1000:.0f} ms at most; {memory_mb:.0f} MB at most, "
        f"{before_mb:.0f} before"
    )
    await people.auth.close()
    return len(others) > busy or lag > LAG_S_MAX or memory_mb > MEMORY_MB_MAX


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    given = [int(each) for each in sys.argv[1:3]]
    sys.exit(asyncio.run(soak(*given, *(TRIES, PAIRS)[len(given) :])))
