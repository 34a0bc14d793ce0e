"""Proving who one is: name, password and second factor, against a throttle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tradewright.domain.people import InvalidLogin, LoginRecord, TooManyLogins, TotpRequired, login_key
from tradewright.domain.people_stores import UserStore
from tradewright.services.auth.audit import AuditLog
from tradewright.services.auth.devices import Devices
from tradewright.services.auth.held_back import HeldBack
from tradewright.services.auth.passwords import Passwords
from tradewright.services.auth.second_factor import SecondFactor
from tradewright.services.auth.sessions import Sessions
from tradewright.services.auth.throttle import Guess, Throttle, guess_of_device, guess_of_login
from tradewright.services.auth.visits import Visit


@dataclass(frozen=True, slots=True)
class Proven:
    """Somebody who has just proved who they are, by ``factors`` (``password``, ``password+totp``, …)."""

    record: LoginRecord
    factors: str
    device_id: str | None = None


class Proving:
    """Checks names, passwords and codes. What is wrong about a try is not told, nor does it show in time."""

    def __init__(
        self,
        users: UserStore,
        passwords: Passwords,
        second_factor: SecondFactor,
        throttle: Throttle,
        sessions: Sessions,
        devices: Devices,
        audit: AuditLog,
        held_back: HeldBack,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._second_factor = second_factor
        self._throttle = throttle
        self._sessions = sessions
        self._devices = devices
        self._audit = audit
        self._held_back = held_back

    async def by_name(self, login: str, password: str, code: str | None, visit: Visit) -> Proven:
        """Who logs in. ``InvalidLogin``, ``TotpRequired``, ``TooManyLogins``."""
        record = await self._users.find(login)
        device_id = await self._known_device(record, visit)
        owner_id = record.user.id if record else None
        guess = guess_of_device(device_id) if device_id else guess_of_login(login_key(login), owner_id, visit)
        proven = await self._prove(record, guess, password, code, visit, "login")
        return Proven(proven.record, proven.factors, device_id)

    async def again(self, record: LoginRecord, session_id: str, password: str, code: str | None,
                    visit: Visit) -> Proven:  # fmt: skip
        """The same for somebody whose session it is; what strangers try does not hold them back."""
        return await self._prove(record, _guess_in(session_id), password, code, visit, "step_up")

    async def password_again(self, record: LoginRecord, session_id: str, password: str, visit: Visit) -> None:
        """Look at the password alone; ``InvalidLogin``, ``TooManyLogins``."""
        with self._noting(record, visit, "password"):
            await self._check_password(record, _guess_in(session_id), password, visit, "password")

    async def _prove(
        self,
        record: LoginRecord | None,
        guess: Guess,
        password: str,
        code: str | None,
        visit: Visit,
        what: str,
    ) -> Proven:
        with self._noting(record, visit, what):
            found = await self._check_password(record, guess, password, visit, what)
            try:
                second = await self._second_factor.check(found, code)
            except TotpRequired:
                if code:
                    await self._audit.note(
                        f"{what}.failed", visit, user_id=found.user.id, why="second factor"
                    )
                raise
        return Proven(found, f"password+{second}" if second else "password")

    @contextmanager
    def _noting(self, record: LoginRecord | None, visit: Visit, what: str) -> Iterator[None]:
        """Count what is held back."""
        try:
            yield
        except TooManyLogins:
            self._held_back.count(f"{what}.held_back", record.user.id if record else None, visit)
            raise

    async def _check_password(
        self, record: LoginRecord | None, guess: Guess, password: str, visit: Visit, what: str
    ) -> LoginRecord:
        user_id = record.user.id if record else None
        async with self._throttle.attempt(guess) as attempt:
            compared = None if record is None or attempt.spent else record.password_hash
            fits = await self._passwords.check(compared, password)
            if record is None or not fits or record.user.disabled:
                attempt.fail()
                why = "held back" if attempt.spent else "password"
                # With a name that nobody has goes no name: people type passwords into the wrong field.
                await self._audit.note(f"{what}.failed", visit, user_id=user_id, why=why)
                raise InvalidLogin("Name or password is wrong.")
            attempt.succeed()
        return record

    async def _known_device(self, record: LoginRecord | None, visit: Visit) -> str | None:
        device = self._devices.read(visit.device)
        if record is None or device is None or device.user_id != record.user.id:
            return None
        known = await self._sessions.known_device(record.user, device.device_id)
        return device.device_id if known else None


def _guess_in(session_id: str) -> Guess:
    return guess_of_device(f"session:{session_id}")
