"""How often passwords and codes may be guessed.

Wrong tries are counted under keys, and each key holds back the next try ever longer once its free tries are
used. A try is counted while its keys are held, so that those who try at once are looked at one by one.

What whoever guesses may learn. A login is held back by what was typed, whether somebody has that name or not:
were it held back by the account, its user name and its e-mail address would share one wait, and so tell that
they are one account. But then an account could be guessed at twice as often, by each of its two names. So
its failures are counted a second time, under the account itself, and that count is silent: where it says to
wait, the try is not held back but simply wrong. The password is not compared, one that nobody has is (which
takes as long), and whoever asks sees the same answer as to any wrong password. A name that nobody has gets a
silent count as well, so that the same is read and written for both. Silent keys are not held: two tries that
waited for each other would show that their names belong together; without that at most one try for each name
is looked at beyond the silent count. Nor does a login by one name take back what was counted under the other.

The price: while an account is under attack by one of its names, its owner, who comes from a new device by the
other, may be told that a right password is wrong, instead of how long to wait. A device that is known is not
concerned, and the silent count never waits longer than the attacked name itself would have.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
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
BY_RENAMER: Final = Allowance(10, FORGOTTEN_AFTER_MS)


@dataclass(frozen=True, slots=True)
class Guess:
    """What one try is counted under: allowances by key, ``silent`` those that nobody is told of.

    ``shared`` are keys that stop counting what one address alone does, so that one address can't shut
    somebody's account for all others: each counts only while the key that it names has free tries left.
    """

    keys: dict[str, Allowance]
    silent: dict[str, Allowance] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)

    @property
    def all(self) -> dict[str, Allowance]:
        """Those that are told and those that are not."""
        return self.keys | self.silent

    def counted(self, counts: Mapping[str, int], *, spent: bool) -> list[str]:
        """The keys that one more failure counts under. One that was ``spent`` has told nothing about the
        account, which it does not count against; that it writes as much must not show either."""
        allowed = self.all
        full = {key for key, by in self.shared.items() if counts.get(by, 0) >= allowed[by].free}
        counted = [key for key in allowed if key not in full]
        return [f"spent-{key}" if spent and key in self.silent else key for key in counted]

    def taken_back(self, counts: Mapping[str, int]) -> dict[str, int]:
        """How many failures a success takes back of each key: all that were counted here, and of a shared
        key those alone. What an address has tried at other accounts stays."""
        allowed = self.all
        taken = {key: counts.get(key, 0) for key in allowed if not key.startswith("address:")}
        for key, by in self.shared.items():
            taken[key] = min(counts.get(by, 0), allowed[by].free)
        return {key: count for key, count in taken.items() if count}


def guess_of_login(typed: str, owner_id: str | None, visit: Visit) -> Guess:
    """A try by somebody unknown at the account of that name, which is that user's, or nobody's."""
    owner = f"name:{typed}" if owner_id is None else f"user:{owner_id}"
    (pair, account), (owner_pair, owner_account) = _pair_of(typed, visit), _pair_of(owner, visit)
    return Guess(
        {f"address:{visit.network}": BY_ADDRESS, pair: BY_PAIR, account: BY_ACCOUNT},
        {f"silent-{owner_pair}": BY_PAIR, f"silent-{owner_account}": BY_ACCOUNT},
        {account: pair, f"silent-{owner_account}": f"silent-{owner_pair}"},
    )


def _pair_of(account: str, visit: Visit) -> tuple[str, str]:
    account = _short(account)
    return f"pair:{account}:{visit.network}", f"account:{account}"


def guess_of_device(device_id: str) -> Guess:
    """A try from a device that its user has logged in from: what strangers do does not hold it back."""
    return Guess({f"device:{device_id}": BY_DEVICE})


def guess_of_code(user_id: str) -> Guess:
    """A try at somebody's second factor."""
    return Guess({f"code:{user_id}": BY_CODE})


def guess_of_registration(visit: Visit) -> Guess:
    """A registration, whatever comes of it."""
    return Guess({f"register:{visit.network}": BY_ADDRESS})


def guess_of_names(user_id: str, visit: Visit) -> Guess:
    """A change of somebody's names, whatever comes of it: it tells whether another has them."""
    return Guess({f"names:{user_id}": BY_RENAMER, f"names-from:{visit.network}": BY_ADDRESS})


class Attempt:
    """One try that may be made; say how it ended. ``spent``: it must fail, whatever was given, and look like
    any other that does."""

    def __init__(self, *, spent: bool) -> None:
        self.spent = spent
        self.failed = False
        self.succeeded = False

    def fail(self) -> None:
        """It was wrong."""
        self.failed = True

    def succeed(self) -> None:
        """It was right: what was counted here against the account is taken back."""
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
                counts, spent = await self._check(guess)
                attempt = Attempt(spent=spent)
                try:
                    yield attempt
                except asyncio.CancelledError:
                    attempt.fail()  # whoever leaves before the answer has tried all the same
                    raise
                finally:
                    if attempt.failed:
                        await self._store.add_failure(
                            guess.counted(counts, spent=spent), self._clock.now_ms()
                        )
                    elif attempt.succeeded:
                        await self._store.take_back(guess.taken_back(counts))
        finally:
            self._in_flight -= 1

    async def forget_old(self) -> None:
        """Forget what does not count any more."""
        await self._store.forget(self._clock.now_ms() - FORGOTTEN_AFTER_MS)

    async def _check(self, guess: Guess) -> tuple[dict[str, int], bool]:
        """The counts that still hold, and whether a silent one says to wait; ``TooManyLogins`` where another
        does."""
        found = await self._store.failures(list(guess.all))
        now_ms, counts = self._clock.now_ms(), {}
        waits_ms = {True: 0, False: 0}
        forgotten = []
        for key, (count, last_ms) in found.items():
            silent = key in guess.silent
            allowance = guess.silent[key] if silent else guess.keys[key]
            if now_ms - last_ms >= allowance.quiet_ms:
                forgotten.append(key)
                continue
            counts[key] = count
            waits_ms[silent] = max(waits_ms[silent], last_ms + _delay_ms(count, allowance) - now_ms)
        if waits_ms[False] > 0:
            raise TooManyLogins("Too many wrong tries: wait before the next one.", waits_ms[False] / 1000)
        if forgotten:
            await self._store.clear(forgotten)
        return counts, waits_ms[True] > 0

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
