"""Guessing at a login: what is looked at, and whether the owner still comes in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.support.accounts import CHEAP, People
from tests.support.people import opened_people
from tradewright.domain.people import InvalidLogin, TooManyLogins
from tradewright.services.auth.passwords import PasswordCost
from tradewright.services.auth.visits import Visit
from tradewright.storage.people import SQLiteFile
from tradewright.testing.clock import DrivenClock

ATTACKER = Visit(address="198.51.100.7")
OWNER = Visit(address="192.0.2.44")
OWNER_TRIES_EVERY = 500


@dataclass
class LoginAttack:
    """An account under attack. ``looked_at`` counts the guesses whose password was looked at."""

    people: People
    looked_at: int = 0
    owner_elsewhere: list[bool] = field(default_factory=list)
    owner_known: list[bool] = field(default_factory=list)
    device: str = ""

    async def prepare(self) -> None:
        """Make the account, and let its owner log in once, from the attacker's own network."""
        await self.people.add()
        self.device = (await self.people.login(visit=ATTACKER)).device

    async def guess(self, visit: Visit, name: str = "anna") -> bool:
        """One wrong password; whether it was looked at."""
        try:
            await self.people.login(name, "wrong", visit=visit)
        except InvalidLogin:
            self.looked_at += 1
            return True
        except TooManyLogins:
            return False
        raise AssertionError("a wrong password was taken")

    async def from_one_address(self, tries: int, per_s: float) -> None:
        """So many, one after the other; now and then the owner comes, from elsewhere or by a known device."""
        for number in range(tries):
            await self.guess(ATTACKER)
            await self.people.clock.advance(1 / per_s)
            if number % OWNER_TRIES_EVERY == OWNER_TRIES_EVERY - 1:
                self.owner_elsewhere.append(await self._comes_in(OWNER))
                self.owner_known.append(await self._comes_in(replace(ATTACKER, device=self.device)))

    async def from_the_whole_world(self, tries: int, per_s: float) -> None:
        """The same from so many addresses; only a known device can be sure to come in."""
        for number in range(tries):
            await self.guess(replace(ATTACKER, address=f"203.{number % 250}.{number // 250 % 250}.9"))
            await self.people.clock.advance(1 / per_s)
            if number % OWNER_TRIES_EVERY == OWNER_TRIES_EVERY - 1:
                self.owner_known.append(await self._comes_in(replace(OWNER, device=self.device)))

    async def at_once(self, tries: int) -> int:
        """So many at the same time from one address at a name that nobody has; how many were looked at."""
        return sum(await asyncio.gather(*(self.guess(OWNER, "nobody") for _ in range(tries))))

    async def _comes_in(self, visit: Visit) -> bool:
        try:
            await self.people.login(visit=visit)
        except TooManyLogins:
            return False
        return True


@asynccontextmanager
async def under_attack(directory: Path) -> AsyncIterator[LoginAttack]:
    """An account in a database of its own, on a driven clock."""
    places = (SQLiteFile(directory / name) for name in ("auth.sqlite3", "user_configs.sqlite3"))
    async with opened_people(*places) as kept:
        people = People(clock=DrivenClock(), stores=kept.stores, cost=CHEAP)
        attack = LoginAttack(people)
        await attack.prepare()
        yield attack
        await people.auth.close()


async def refusal_times(pairs: int, cost: PasswordCost) -> tuple[list[float], list[float]]:
    """How long a wrong password takes to be refused, with a name that there is and with one that there is
    not, by turns; seconds."""
    people = People(cost=cost)
    attack = LoginAttack(people)
    await people.add()
    await people.auth._passwords.warm()
    known: list[float] = []
    unknown: list[float] = []
    for number in range(pairs):
        turn = [("anna", known), (f"x{number:03}", unknown)]
        for name, times in turn if number % 2 else reversed(turn):
            visit = Visit(address=f"203.{number % 250}.{number // 250}.{len(times) % 250}")
            began = time.perf_counter()
            assert await attack.guess(visit, name)
            times.append(time.perf_counter() - began)
        await people.clock.advance(901)
    await people.auth.close()
    return known, unknown


def area_under_curve(one: list[float], two: list[float]) -> float:
    """How often a time of one is longer than one of two: a half where they can't be told apart."""
    return sum((a > b) + 0.5 * (a == b) for a in one for b in two) / (len(one) * len(two))
