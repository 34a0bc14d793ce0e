"""How often passwords and codes may be guessed.

Wrong tries are counted under keys, and each key holds back the next try ever longer once its free tries are
used. A try is counted while its keys are held, so that those who try at once are looked at one by one.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tradewright.domain.people import TooManyLogins
from tradewright.domain.people_stores import AttemptStore
from tradewright.runtime.clock import Clock
from tradewright.services.auth.visits import Visit

DELAY_MS_MIN: Final = 1_000
DELAY_MS_MAX: Final = 15 * 60_000
IN_FLIGHT_MAX: Final = 256
WAIT_S_MAX: Final = 15.0
FORGOTTEN_AFTER_MS: Final = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """``free`` wrong tries cost nothing, each further one doubles the wait; after ``quiet_ms`` without one
    all is forgotten."""

    free: int
    quiet_ms: int


BY_ADDRESS: Final = Allowance(20, 3_600_000)
BY_ACCOUNT: Final = Allowance(10, FORGOTTEN_AFTER_MS)
BY_PAIR: Final = Allowance(5, FORGOTTEN_AFTER_MS)
BY_DEVICE: Final = Allowance(5, FORGOTTEN_AFTER_MS)
BY_CODE: Final = Allowance(5, FORGOTTEN_AFTER_MS)


@dataclass(frozen=True, slots=True)
class Guess:
    """What one try is counted under: allowances by key. ``shared`` is the key that stops counting what one
    address alone does, so that one address can't shut somebody's account for all others: it counts only
    while the key ``by`` has free tries left."""

    keys: dict[str, Allowance]
    shared: str | None = None
    by: str | None = None


def guess_of_login(account: str, visit: Visit) -> Guess:
    """A try at an account (a user's id, or a name that nobody has) by somebody unknown."""
    account = _short(account)
    pair = f"pair:{account}:{visit.network}"
    keys = {f"address:{visit.network}": BY_ADDRESS, pair: BY_PAIR, f"account:{account}": BY_ACCOUNT}
    return Guess(keys, shared=f"account:{account}", by=pair)


def guess_of_device(device_id: str) -> Guess:
    """A try from a device that its user has logged in from: what strangers do does not hold it back."""
    return Guess({f"device:{device_id}": BY_DEVICE})


def guess_of_code(user_id: str) -> Guess:
    """A try at somebody's second factor."""
    return Guess({f"code:{user_id}": BY_CODE})


def guess_of_registration(visit: Visit) -> Guess:
    """A registration, whatever comes of it."""
    return Guess({f"register:{visit.network}": BY_ADDRESS})


class Attempt:
    """One try that may be made; say how it ended."""

    def __init__(self) -> None:
        self.failed = False
        self.succeeded = False

    def fail(self) -> None:
        """It was wrong."""
        self.failed = True

    def succeed(self) -> None:
        """It was right: what was counted against the account is forgotten."""
        self.succeeded = True


class Throttle:
    """Lets tries through or holds them back. Where the counts can't be read nothing is let through."""

    def __init__(self, store: AttemptStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._held: dict[str, _Hold] = {}
        self._in_flight = 0

    @asynccontextmanager
    async def attempt(self, guess: Guess) -> AsyncIterator[Attempt]:
        """Make a try; ``TooManyLogins`` where one of its keys is held back."""
        if self._in_flight >= IN_FLIGHT_MAX:
            raise TooManyLogins("Too many people log in at this moment.", 1.0)
        self._in_flight += 1
        try:
            # Looked at before and after waiting: who is held back anyway does not even queue.
            await self._check(guess)
            async with AsyncExitStack() as stack:
                for key in sorted(guess.keys):
                    await stack.enter_async_context(self._hold(key))
                counts = await self._check(guess)
                attempt = Attempt()
                try:
                    yield attempt
                except asyncio.CancelledError:
                    attempt.fail()  # whoever leaves before the answer has tried all the same
                    raise
                finally:
                    if attempt.failed:
                        await self._store.add_failure(self._counted(guess, counts), self._clock.now_ms())
                    elif attempt.succeeded:
                        await self._store.clear([key for key in guess.keys if not key.startswith("address:")])
        finally:
            self._in_flight -= 1

    async def forget_old(self) -> None:
        """Forget what does not count any more."""
        await self._store.forget(self._clock.now_ms() - FORGOTTEN_AFTER_MS)

    async def _check(self, guess: Guess) -> dict[str, int]:
        """The counts that still hold; ``TooManyLogins`` while one of them says to wait."""
        found = await self._store.failures(list(guess.keys))
        now_ms, counts, wait_ms = self._clock.now_ms(), {}, 0
        forgotten = []
        for key, (count, last_ms) in found.items():
            allowance = guess.keys[key]
            if now_ms - last_ms >= allowance.quiet_ms:
                forgotten.append(key)
                continue
            counts[key] = count
            wait_ms = max(wait_ms, last_ms + _delay_ms(count, allowance) - now_ms)
        if wait_ms > 0:
            raise TooManyLogins("Too many wrong tries: wait before the next one.", wait_ms / 1000)
        if forgotten:
            await self._store.clear(forgotten)
        return counts

    @staticmethod
    def _counted(guess: Guess, counts: dict[str, int]) -> list[str]:
        by_one = guess.by is not None and counts.get(guess.by, 0) >= guess.keys[guess.by].free
        return [key for key in guess.keys if not (by_one and key == guess.shared)]

    @asynccontextmanager
    async def _hold(self, key: str) -> AsyncIterator[None]:
        hold = self._held.setdefault(key, _Hold())
        hold.users += 1
        try:
            try:
                async with asyncio.timeout(WAIT_S_MAX):
                    await hold.lock.acquire()
            except TimeoutError:
                raise TooManyLogins("Too many people log in at this moment.", 1.0) from None
            try:
                yield
            finally:
                hold.lock.release()
        finally:
            hold.users -= 1
            if not hold.users:
                del self._held[key]


class _Hold:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


def _delay_ms(count: int, allowance: Allowance) -> int:
    over = count - allowance.free
    return 0 if over < 0 else min(DELAY_MS_MAX, DELAY_MS_MIN * 2 ** min(over, 20))


def _short(account: str) -> str:
    """A name of bounded length that tells nothing about what somebody typed."""
    return hashlib.blake2b(account.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
