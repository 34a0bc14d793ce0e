"""Accounts in memory: the real services over memory stores, a driven clock, and cheap password hashes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyotp

from tradewright.domain.people import Caller, Registration, Role, User
from tradewright.domain.people_stores import PeopleStores
from tradewright.services.auth.passwords import PasswordCost
from tradewright.services.auth.registration import Applicant
from tradewright.services.auth.sessions import Client
from tradewright.services.auth.visits import Visit
from tradewright.services.auth_service import AuthService, AuthSettings, LoggedIn
from tradewright.services.encryption_service import EncryptionService
from tradewright.services.key_ring import SecretSource
from tradewright.storage.memory_user_configs import memory_people
from tradewright.testing.clock import DrivenClock

CHEAP = PasswordCost(time=1, memory_kib=64, lanes=1)
PASSWORD = "correct staple 9 horse lamp"
HOME = Visit(address="127.0.0.1", agent="tests", request_id="r1", local=True)
AWAY = Visit(address="198.51.100.7", agent="tests", request_id="r2")


class Secrets:
    """A ring that a test changes."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    def ring(self) -> tuple[str, ...]:
        return self.keys


def key(name: str) -> str:
    """A secret of that name, long enough to be one."""
    return f"{name}-{'k' * 40}"


@dataclass
class People:
    """Accounts, and what they stand on."""

    clock: DrivenClock = field(default_factory=DrivenClock)
    jwt: SecretSource = field(default_factory=lambda: Secrets(key("jwt")))
    encryption: EncryptionService = field(default_factory=lambda: EncryptionService(Secrets(key("seal"))))
    stores: PeopleStores = field(default_factory=memory_people)
    registration: Registration = "closed"
    trusts_loopback: bool = True
    cost: PasswordCost = CHEAP
    auth: AuthService = field(init=False)

    def __post_init__(self) -> None:
        settings = AuthSettings(
            registration=self.registration, trusts_loopback=self.trusts_loopback, password_cost=self.cost
        )
        self.auth = AuthService(self.stores, self.jwt, self.encryption, self.clock, settings)

    async def add(self, name: str = "anna", role: Role = "admin", password: str = PASSWORD) -> User:
        """A user, added by the operator."""
        applicant = Applicant(email=f"{name}@example.com", username=name, password=password)
        return await self.auth.add_user(applicant, role, HOME)

    async def login(
        self,
        name: str = "anna",
        password: str = PASSWORD,
        code: str | None = None,
        visit: Visit = HOME,
        client: Client = "browser",
    ) -> LoggedIn:
        """Log in."""
        return await self.auth.login(name, password, code, client, visit)

    async def caller(self, name: str = "anna", **login: Any) -> Caller:
        """Somebody who has just logged in."""
        found = await self.login(name, **login)
        return await self.auth.authenticate(found.granted.access_token)

    async def with_totp(self, name: str = "anna") -> tuple[pyotp.TOTP, tuple[str, ...]]:
        """Set up a second factor for them: its generator, and the recovery codes."""
        caller = await self.caller(name)
        enrolment = await self.auth.enrol_totp(caller, HOME)
        generator = pyotp.TOTP(enrolment.secret)
        codes = await self.auth.confirm_totp(caller, self.code(generator), HOME)
        await self.clock.advance(60)
        return generator, codes

    def code(self, generator: pyotp.TOTP, steps: int = 0) -> str:
        """The code that an authenticator shows now, or so many steps from now."""
        return generator.generate_otp(self.clock.now_ms() // 30_000 + steps)

    async def kinds(self) -> list[str]:
        """The kinds of the audit log's events, oldest first."""
        return [event.kind async for event in self.stores.audit.all()]
