"""Accounts: who people are, how they prove it, and what is believed of them afterwards."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tradewright.domain.errors import Conflict, NotFound
from tradewright.domain.people import (
    AUDIT_BEGINNING,
    TOKEN_HOLDER,
    ApiToken,
    Caller,
    InvalidLogin,
    InvalidToken,
    LoginRecord,
    Registration,
    Role,
    Scope,
    Session,
    User,
)
from tradewright.domain.people_stores import PeopleStores
from tradewright.domain.ports import MessageBus
from tradewright.runtime.clock import Clock
from tradewright.runtime.ids import new_id
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.auth.access_tokens import AccessTokens
from tradewright.services.auth.administration import Administration
from tradewright.services.auth.api_tokens import PREFIX, ApiTokens
from tradewright.services.auth.audit import AuditLog
from tradewright.services.auth.devices import Device, Devices
from tradewright.services.auth.endings import Endings
from tradewright.services.auth.held_back import HeldBack
from tradewright.services.auth.passwords import PasswordCost, Passwords, check_new_password
from tradewright.services.auth.proving import Proving
from tradewright.services.auth.registration import Applicant, RegistrationDesk, words_of
from tradewright.services.auth.second_factor import Enrolment, SecondFactor
from tradewright.services.auth.sessions import Client, Granted, Sessions
from tradewright.services.auth.throttle import Throttle
from tradewright.services.auth.visits import Visit
from tradewright.services.encryption_service import EncryptionService
from tradewright.services.key_ring import SecretSource

_log = logging.getLogger(__name__)

STEP_UP_MS: Final = 5 * 60_000
_TIDY_INTERVAL_S: Final = 3_600.0

ForgetUser = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """``trusts_loopback``: the server can be reached from this machine alone, and nobody here speaks for
    others."""

    registration: Registration = "closed"
    trusts_loopback: bool = True
    password_cost: PasswordCost = field(default_factory=PasswordCost)


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """What a login hands out; ``device`` is the cookie by which this browser is known again."""

    granted: Granted
    device: str = field(repr=False)


class AuthService:
    """Registers people, logs them in and out, and says on every request who it speaks for.

    ``administration``, ``registration`` and ``audit`` are for administrators; whoever calls them has looked
    whether the caller is one. ``forget_user`` removes what other stores keep of a user; ``shut_out`` ends
    what still runs for one who may not come in any more.
    """

    def __init__(
        self,
        stores: PeopleStores,
        secrets: SecretSource,
        encryption: EncryptionService,
        clock: Clock,
        settings: AuthSettings | None = None,
        forget_user: ForgetUser | None = None,
        bus: MessageBus | None = None,
        shut_out: ForgetUser | None = None,
    ) -> None:
        settings = settings or AuthSettings()
        self._stores = stores
        self._clock = clock
        self._forget_user = forget_user
        self._users = stores.users
        self.audit = AuditLog(stores.audit, clock)
        self._passwords = Passwords(settings.password_cost)
        self._throttle = Throttle(stores.attempts, clock)
        self._access = AccessTokens(secrets, clock)
        self._devices = Devices(secrets, clock)
        self._endings = Endings(bus)
        self._sessions = Sessions(
            stores.sessions, stores.users, self._access, self.audit, self._endings, clock
        )
        self._tokens = ApiTokens(stores.api_tokens, stores.users, self.audit, self._endings, clock)
        self._second_factor = SecondFactor(stores.users, encryption, self._throttle, clock)
        self._held_back = HeldBack(self.audit, clock)
        self._proving = Proving(
            stores.users,
            self._passwords,
            self._second_factor,
            self._throttle,
            self._sessions,
            self._devices,
            self.audit,
            self._held_back,
        )
        self.administration = Administration(stores.users, self._sessions, self._tokens, self.audit, shut_out)
        self.registration = RegistrationDesk(
            stores.users,
            stores.invites,
            self._passwords,
            self._throttle,
            self.audit,
            clock,
            mode=settings.registration,
            trusts_loopback=settings.trusts_loopback,
        )
        self._tasks: TaskSupervisor | None = None

    def start(self) -> None:
        """Tidy up in the background from now on."""
        if self._tasks is None:
            self._tasks = TaskSupervisor("accounts")
            self._tasks.keep("forget what has ended", self._tidy, self._clock)
            self._tasks.start("make the hash of nobody", self._passwords.warm())
            self._tasks.keep("hear of sessions that end", self._endings.listen, self._clock)
            self._tasks.keep("tell what was held back", self._held_back.run, self._clock)

    async def close(self) -> None:
        """End what was started; may be called twice."""
        if self._tasks is not None:
            await self._tasks.close()
            self._tasks = None
            await self._held_back.tell(everything=True)
        self._passwords.close()

    async def _tidy(self) -> None:
        while True:
            await self._sessions.forget_ended()
            await self._throttle.forget_old()
            await self._clock.sleep(_TIDY_INTERVAL_S)

    # Coming in and going out

    async def register(self, applicant: Applicant, visit: Visit) -> User:
        """A new user, where the server lets them in; the first one is administrator."""
        return await self.registration.register(applicant, visit)

    async def login(
        self, login: str, password: str, code: str | None, client: Client, visit: Visit
    ) -> LoggedIn:
        """A new session. ``InvalidLogin``, ``TotpRequired``, ``TooManyLogins``."""
        proven = await self._proving.by_name(login, password, code, visit)
        record = proven.record
        device_id = proven.device_id or new_id(16)
        try:
            granted = await self._sessions.begin(record.user, visit, client, device_id)
        except NotFound:  # deleted while the password was looked at
            raise InvalidLogin("Name or password is wrong.") from None
        await self._check_unchanged(record, granted)
        await self._renew_hash(record, password)
        await self._users.note_login(record.user.id, self._clock.now_ms())
        await self.audit.note("login.ok", visit, user_id=record.user.id, session=granted.session.id,
                              factors=proven.factors, known_device=proven.device_id is not None)  # fmt: skip
        return LoggedIn(granted, self._devices.cookie(Device(record.user.id, device_id)))

    async def _check_unchanged(self, record: LoginRecord, granted: Granted) -> None:
        """What ends all sessions while a password is looked at must end this one, too, which was not there
        yet."""
        now = await self._users.get(record.user.id)
        changed_ms = record.user.password_changed_ms
        if now is None or now.user.disabled or now.user.password_changed_ms != changed_ms:
            await self._sessions.end(granted.session.id)
            raise InvalidLogin("Name or password is wrong.")

    async def _renew_hash(self, record: LoginRecord, password: str) -> None:
        if self._passwords.is_outdated(record.password_hash):
            better = await self._passwords.make(password)
            await self._users.update_hash(record.user.id, record.password_hash, better)

    async def refresh(self, token: str, visit: Visit) -> Granted:
        """The next tokens of a session; ``InvalidToken`` where it has ended, or ends because the token was
        used before."""
        return await self._sessions.refresh(token, visit)

    async def logout(self, visit: Visit, *, caller: Caller | None, refresh_token: str | None) -> None:
        """End the caller's session, or that of the refresh token; nothing happens where there is none."""
        session_id = caller.session_id if caller else None
        user_id = caller.user_id if caller else None
        if session_id is None and refresh_token is not None:
            session = await self._sessions.of_token(refresh_token)
            session_id, user_id = (session.id, session.user_id) if session else (None, None)
        if session_id is not None and await self._sessions.end(session_id):
            await self.audit.note("logout", visit, user_id=user_id, session=session_id)

    async def logout_all(self, caller: Caller, visit: Visit) -> None:
        """End every session of the caller's."""
        ended = await self._sessions.end_all(caller.user_id)
        await self.audit.note("logout.all", visit, user_id=caller.user_id, sessions=len(ended))

    async def authenticate(self, token: str) -> Caller:
        """Who an access token or an API token speaks for now; ``InvalidToken``."""
        if token.startswith(PREFIX):
            return await self._tokens.caller(token)
        return await self._sessions.caller(self._access.read(token))

    async def is_alive(self, user_id: str, holder: str) -> bool:
        """Whether what that user holds (``Caller.holder``) still counts, for who keeps something open."""
        if holder.startswith(TOKEN_HOLDER):
            return await self._tokens.is_alive(user_id, holder.removeprefix(TOKEN_HOLDER))
        return await self._sessions.is_alive(user_id, holder)

    def watch_endings(self, ended: Callable[[str], None]) -> None:
        """Call this with the holder (``Caller.holder``) of each session or API token that ends, here or,
        where servers share a bus, elsewhere; a notice may be lost, so ``is_alive`` is to be asked as well."""
        self._endings.watch(ended)

    def has_proved_lately(self, caller: Caller) -> bool:
        """Whether the person has proved who they are within ``STEP_UP_MS``."""
        if caller.session_id is None or caller.verified_ms is None:
            return False
        return self._clock.now_ms() - caller.verified_ms < STEP_UP_MS

    async def step_up(self, caller: Caller, password: str, code: str | None, visit: Visit) -> int:
        """The caller proves anew who they are; until when (epoch ms) that is believed."""
        record, session_id = await self._record(caller), _session_of(caller)
        proven = await self._proving.again(record, session_id, password, code, visit)
        verified_ms = await self._sessions.verify(session_id)
        await self.audit.note("step_up", visit, user_id=caller.user_id, factors=proven.factors)
        return verified_ms + STEP_UP_MS

    # One's own account

    async def me(self, caller: Caller) -> tuple[User, int]:
        """The caller's user, and how many recovery codes are left."""
        record = await self._record(caller)
        return record.user, len(record.recovery_hashes)

    async def change_password(self, caller: Caller, present: str, new: str, visit: Visit) -> None:
        """Replace the password, which ends every other session; API tokens, of which programs live, go on.
        ``InvalidLogin`` where the present one is wrong, ``InvalidInput`` where the new one can't be taken."""
        record, session_id = await self._record(caller), _session_of(caller)
        user = record.user
        check_new_password(new, words_of(user.username, user.email))
        await self._proving.password_again(record, session_id, present, visit)
        ended = await self._set_password(user.id, new, but=session_id)
        await self.audit.note("password.changed", visit, user_id=user.id, sessions=len(ended))

    async def reset_password(self, user_id: str, new: str, visit: Visit, *, keep_totp: bool) -> None:
        """What the operator does for somebody who can't log in any more: ends every session and API token
        and, unless it is to be kept, removes the second factor."""
        user = await self.administration.user(user_id)
        check_new_password(new, words_of(user.username, user.email))
        await self._set_password(user_id, new)
        if not keep_totp:
            await self._second_factor.remove(user_id)
        await self._tokens.delete_all(user_id, visit)
        await self.audit.note("password.reset", visit, user_id=user_id, totp_kept=keep_totp)

    async def _set_password(self, user_id: str, new: str, *, but: str | None = None) -> tuple[str, ...]:
        """Replace it and end the user's sessions but one, whose ids come back."""
        password_hash = await self._passwords.make(new)
        ended = await self._users.set_password(user_id, password_hash, self._clock.now_ms(), but=but)
        if ended is None:
            raise NotFound("There is no such user.")
        await self._sessions.gone(ended)
        return ended

    async def sessions(self, caller: Caller) -> tuple[Session, ...]:
        """The caller's sessions, the last used first."""
        return await self._sessions.of_user(caller.user_id)

    async def end_session(self, caller: Caller, session_id: str, visit: Visit) -> None:
        """End one of the caller's own; ``NotFound`` where it is none of theirs."""
        if session_id not in {each.id for each in await self._sessions.of_user(caller.user_id)}:
            raise NotFound("There is no such session.")
        await self._sessions.end(session_id)
        await self.audit.note("session.ended", visit, user_id=caller.user_id, session=session_id)

    async def enrol_totp(self, caller: Caller, visit: Visit) -> Enrolment:
        """Begin to set up a second factor; ``Conflict`` where there is one."""
        enrolment = await self._second_factor.enrol(await self._record(caller))
        await self.audit.note("totp.enrolled", visit, user_id=caller.user_id)
        return enrolment

    async def confirm_totp(self, caller: Caller, code: str, visit: Visit) -> tuple[str, ...]:
        """Make it count; the recovery codes, told once."""
        codes = await self._second_factor.confirm(await self._record(caller), code)
        self._sessions.forget()
        await self.audit.note("totp.confirmed", visit, user_id=caller.user_id)
        return codes

    async def disable_totp(self, caller: Caller, visit: Visit) -> None:
        """Remove the second factor."""
        await self._second_factor.remove(caller.user_id)
        self._sessions.forget()
        await self.audit.note("totp.disabled", visit, user_id=caller.user_id)

    async def make_token(
        self, caller: Caller, label: str, scopes: Sequence[Scope], days: int, visit: Visit
    ) -> tuple[ApiToken, str]:
        """A new API token and its text, told once."""
        return await self._tokens.make(caller.user_id, caller.role, label, scopes, days, visit)

    async def tokens(self, caller: Caller) -> tuple[ApiToken, ...]:
        """The caller's API tokens, newest first."""
        return await self._tokens.of_user(caller.user_id)

    async def delete_token(self, caller: Caller, token_id: str, visit: Visit) -> None:
        """Remove one of the caller's own; ``NotFound``."""
        await self._tokens.delete(caller.user_id, token_id, visit)

    async def delete_me(self, caller: Caller, visit: Visit) -> None:
        """Remove the caller with everything that is kept of them but the audit log; ``Conflict`` where
        nobody could manage the server any more."""
        if not await self.administration.another_administrator(caller.user_id):
            raise Conflict("You are the only administrator: make somebody else one first.")
        # What others keep goes first: were it left behind, nobody would be there to remove it.
        if self._forget_user is not None:
            await self._forget_user(caller.user_id)
        await self._sessions.end_all(caller.user_id)
        await self._users.delete(caller.user_id)
        # And once more, for what was kept while the first of it went.
        if self._forget_user is not None:
            await self._forget_user(caller.user_id)
        self._sessions.forget()
        self._tokens.forget()
        await self.audit.note("user.deleted", visit, user_id=caller.user_id)

    async def _record(self, caller: Caller) -> LoginRecord:
        record = await self._users.get(caller.user_id)
        if record is None:
            raise InvalidToken("The session has ended: log in again.")
        return record

    # For the operator

    async def find_user(self, login: str) -> User:
        """The user of that name or address; ``NotFound``."""
        record = await self._users.find(login)
        if record is None:
            raise NotFound("There is no such user.")
        return record.user

    async def add_user(self, applicant: Applicant, role: Role, visit: Visit) -> User:
        """A user whom the operator adds."""
        return await self.registration.add(applicant, role, visit)

    async def first_broken_event(self) -> int | None:
        """The position of the first event of the audit log that was changed, or before which one is missing;
        None where all is as it was written. That the newest ones are missing does not show."""
        before = AUDIT_BEGINNING
        async for event in self._stores.audit.all():
            if event.digest != event.expected_digest(before):
                return event.position
            before = event.digest
        return None


def _session_of(caller: Caller) -> str:
    if caller.session_id is None:
        raise InvalidToken("This is for people who are logged in, not for API tokens.")
    return caller.session_id
