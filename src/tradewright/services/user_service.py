"""``UserService``: a person's profile, preferences and keys to providers."""

from __future__ import annotations

from typing import Final

from tradewright.domain.errors import InvalidInput, NotFound, StorageUnavailable
from tradewright.domain.people import StepUpRequired, User
from tradewright.domain.people_stores import PeopleStores
from tradewright.runtime.clock import Clock
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.auth.audit import AuditLog
from tradewright.services.auth.registration import check_email, check_username
from tradewright.services.auth.throttle import Throttle, guess_of_names
from tradewright.services.auth.visits import Visit
from tradewright.services.market_service import MarketService
from tradewright.services.user.credentials import CredentialDesk
from tradewright.services.user.preferences import PreferenceDesk, Preferences
from tradewright.services.user.vault import CredentialVault

CHECK_INTERVAL_S: Final = 15.0


class UserService:
    """What belongs to one person. Every method takes the id of the user who asks, and reaches nobody else's.

    An instance of a plugin that has a person's key lives no longer than the key: what is changed by this
    process ends it at once, what is changed elsewhere (by another server, on the command line) within
    ``CHECK_INTERVAL_S``.
    """

    def __init__(
        self, stores: PeopleStores, vault: CredentialVault, markets: MarketService, clock: Clock
    ) -> None:
        audit = AuditLog(stores.audit, clock)
        self._users = stores.users
        self._vault = vault
        self._markets = markets
        self._audit = audit
        self._clock = clock
        self._throttle = Throttle(stores.attempts, clock)
        self._preferences = PreferenceDesk(stores.preferences)
        self.credentials = CredentialDesk(stores.credentials, stores.users, vault, markets, audit, clock)
        self._tasks: TaskSupervisor | None = None

    def start(self) -> None:
        """Look from now on whether the keys in use are still their users'."""
        if self._tasks is None:
            self._tasks = TaskSupervisor("user_service")
            self._tasks.keep("end what uses keys that are gone", self._watch_keys, self._clock)

    async def close(self) -> None:
        """End what was started; may be called twice."""
        if self._tasks is not None:
            await self._tasks.close()
            self._tasks = None

    # Profile

    async def profile(self, user_id: str) -> User:
        """Who they are."""
        record = await self._users.get(user_id)
        if record is None:
            raise _unknown()
        return record.user

    async def change_profile(
        self, user_id: str, *, username: str | None, email: str | None, proved: bool, visit: Visit
    ) -> User:
        """Change what is given. ``InvalidInput``, ``NameTaken``, ``TooManyLogins``; ``StepUpRequired`` where
        the address is to be changed and the person has not ``proved`` lately who they are."""
        given = {"username": username, "email": email}
        if not any(given.values()):
            raise InvalidInput("Nothing is to be changed.", {"username": "or email must be given"})
        problems = {
            "username": check_username(username) if username is not None else None,
            "email": check_email(email) if email is not None else None,
        }
        wrong = {name: problem for name, problem in problems.items() if problem}
        if wrong:
            raise InvalidInput("Some fields are wrong.", wrong)
        if email is not None and not proved:
            raise StepUpRequired("Prove again who you are: POST /api/v1/auth/step_up.")
        # Every change counts as a wrong try: each tells whether somebody has that name.
        async with self._throttle.attempt(guess_of_names(user_id, visit)) as attempt:
            attempt.fail()
            user = await self._users.set_profile(user_id, username=username, email=email)
        if user is None:
            raise _unknown()
        await self._audit.note("user.profile", visit, user_id=user_id,
                               changed=" ".join(name for name, value in given.items() if value))  # fmt: skip
        return user

    # Preferences

    async def preferences(self, user_id: str) -> Preferences:
        """What they have chosen."""
        return await self._preferences.get(user_id)

    async def change_preferences(self, user_id: str, changes: Preferences) -> Preferences:
        """Change what is given, and take back what is null; ``InvalidInput``."""
        changed = await self._preferences.change(user_id, changes)
        if await self._users.get(user_id) is None:  # deleted meanwhile: nobody would remove them
            await self._preferences.forget(user_id)
            raise _unknown()
        return changed

    # When somebody goes

    async def forget(self, user_id: str) -> None:
        """Remove preferences and keys; whatever uses a key of theirs ends."""
        await self.credentials.forget(user_id)
        await self._preferences.forget(user_id)

    async def shut_out(self, user_id: str) -> None:
        """The user may not come in any more: whatever uses a key of theirs ends. What they have stays."""
        await self._markets.retire_account(user_id)

    async def check_keys(self) -> None:
        """End what uses a key that is not its user's any more, or not in this form."""
        for owner, fingerprint in self._markets.keys_in_use():
            try:
                kept = await self._vault.peek(owner.user_id, owner.credential_id)
            except NotFound:
                await self._markets.retire_account(owner.user_id, owner.credential_id)
            except StorageUnavailable:
                continue  # nothing can be told now
            else:
                if kept.credentials.fingerprint() != fingerprint:
                    await self._markets.retire_account(owner.user_id, owner.credential_id)

    async def _watch_keys(self) -> None:
        while True:
            await self._clock.sleep(CHECK_INTERVAL_S)
            await self.check_keys()


def _unknown() -> NotFound:
    return NotFound("There is no such user.")
