"""Passwords: which may be chosen, and how they are kept and checked (Argon2id)."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import argon2

from tradewright.domain.errors import InvalidInput
from tradewright.domain.people import TooManyLogins
from tradewright.services.auth.guessable import is_guessable

LENGTH_MIN: Final = 12
LENGTH_MAX: Final = 128
AT_ONCE: Final = 4
WAITING_MAX: Final = 64
_DEADLINE_S: Final = 20.0

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class PasswordCost:
    """What one check costs who guesses, and us: ``memory_kib`` for each of ``AT_ONCE`` at the same time."""

    time: int = 3
    memory_kib: int = 64 * 1024
    lanes: int = 4


class Passwords:
    """Hashes and checks passwords in threads of its own, a few at once, so that the loop goes on and memory
    stays bounded; who comes when too many wait is sent away (``TooManyLogins``)."""

    def __init__(self, cost: PasswordCost | None = None) -> None:
        cost = cost or PasswordCost()
        self._hasher = argon2.PasswordHasher(
            time_cost=cost.time, memory_cost=cost.memory_kib, parallelism=cost.lanes
        )
        self._pool = ThreadPoolExecutor(AT_ONCE, "passwords")
        self._waiting = 0
        self._nobodys: str | None = None

    def close(self) -> None:
        """Begin no more; what has begun ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def make(self, password: str) -> str:
        """The hash under which the password is kept."""
        return await self._run(lambda: self._hasher.hash(_bytes(password)))

    async def check(self, password_hash: str | None, password: str) -> bool:
        """Whether it is the password of that hash. None, for a user that there is not, takes as long."""
        return await self._run(lambda: self._check(password_hash, password))

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made at another cost than is wanted now."""
        return self._hasher.check_needs_rehash(password_hash)

    def _check(self, password_hash: str | None, password: str) -> bool:
        if password_hash is None and self._nobodys is None:
            self._nobodys = self._hasher.hash(secrets.token_urlsafe(16))
        try:
            self._hasher.verify(password_hash or self._nobodys or "", _bytes(password))
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False
        return password_hash is not None

    async def warm(self) -> None:
        """Make what the first check of a user that there is not would have to make."""
        await self.check(None, "")

    async def _run(self, work: Callable[[], ResultT]) -> ResultT:
        if self._waiting >= WAITING_MAX:
            raise _busy()
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(self._one_less)
        try:
            async with asyncio.timeout(_DEADLINE_S):
                return await future
        except TimeoutError:
            raise _busy() from None

    def _one_less(self, _: object) -> None:
        self._waiting -= 1


def check_new_password(password: str, context: Iterable[str]) -> None:
    """``InvalidInput`` where it may not be chosen; ``context`` are words of the account."""
    normal = _normal(password)
    if len(normal) < LENGTH_MIN:
        problem = f"must have {LENGTH_MIN} characters or more"
    elif len(normal) > LENGTH_MAX:
        problem = f"must have {LENGTH_MAX} characters or fewer"
    elif is_guessable(normal, ("tradewright", *context)):
        problem = "is easily guessed: take several words that have nothing to do with each other"
    else:
        return
    raise InvalidInput("This password can't be taken.", {"password": problem})


def _normal(password: str) -> str:
    """One form of the same letters, however a keyboard composes them."""
    return unicodedata.normalize("NFC", password)


def _bytes(password: str) -> bytes:
    """What is hashed; JSON can spell half a letter, which must not break us."""
    return _normal(password).encode("utf-8", "surrogatepass")


def _busy() -> TooManyLogins:
    return TooManyLogins("Too many people log in at this moment.", 1.0)
