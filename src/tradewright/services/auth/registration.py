"""Who may become a user: the first one, who is administrator, and then whom the operator lets in."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, get_args

from tradewright.domain.errors import InvalidInput, LimitExceeded, NotFound
from tradewright.domain.people import (
    Invite,
    LoginRecord,
    Registration,
    RegistrationClosed,
    Role,
    User,
)
from tradewright.domain.people_stores import InviteStore, UserStore
from tradewright.runtime.clock import Clock
from tradewright.runtime.ids import new_id
from tradewright.services.auth.audit import AuditLog
from tradewright.services.auth.passwords import Passwords, check_new_password
from tradewright.services.auth.refresh_tokens import token_hash
from tradewright.services.auth.throttle import Throttle, guess_of_registration
from tradewright.services.auth.visits import Visit

SETUP_TOKEN_MS: Final = 15 * 60_000
INVITE_MS: Final = 7 * 86_400_000
INVITES_OPEN_MAX: Final = 100
_USERNAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{2,31}")
_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")
_EMAIL_MAX: Final = 254
_ROLE_OF_LETTER: Final[dict[str, Role]] = {role[0]: role for role in get_args(Role)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicant:
    """Who wants to become a user."""

    email: str
    username: str
    password: str
    setup_token: str | None = None
    invite: str | None = None


class RegistrationDesk:
    """Registers users.

    While there is none, the first becomes administrator: from this machine where ``trusts_loopback`` (the
    server can be reached from nowhere else), else with the set-up token that the server printed.
    """

    def __init__(
        self,
        users: UserStore,
        invites: InviteStore,
        passwords: Passwords,
        throttle: Throttle,
        audit: AuditLog,
        clock: Clock,
        *,
        mode: Registration,
        trusts_loopback: bool,
    ) -> None:
        self._users = users
        self._invites = invites
        self._passwords = passwords
        self._throttle = throttle
        self._audit = audit
        self._clock = clock
        self._mode = mode
        self._trusts_loopback = trusts_loopback
        self._setup: tuple[bytes, int] | None = None
        self._has_users = False

    @property
    def mode(self) -> Registration:
        """Whom the operator lets in once there are users."""
        return self._mode

    async def has_users(self) -> bool:
        """Whether anybody has registered yet."""
        self._has_users = self._has_users or await self._users.count() > 0
        return self._has_users

    def may_come_first(self, visit: Visit) -> bool:
        """Whether a request may speak for the operator as long as there are no users."""
        return visit.local and self._trusts_loopback

    async def new_setup_token(self) -> str | None:
        """A token with which the first user can register from elsewhere, good for ``SETUP_TOKEN_MS``; only
        its hash is kept. None where there are users, or it isn't needed."""
        if self._trusts_loopback or await self.has_users():
            return None
        token = secrets.token_urlsafe(32)
        self._setup = token_hash(token), self._clock.now_ms() + SETUP_TOKEN_MS
        return token

    async def register(self, applicant: Applicant, visit: Visit) -> User:
        """The new user. ``RegistrationClosed``, ``NameTaken``, ``InvalidInput`` naming each wrong field."""
        if not await self.has_users():
            return await self._register_first(applicant, visit)
        role, invite_hash = self._admission(applicant)
        await self._count(visit)
        _check_names(applicant)
        record = await self._record(applicant, role)
        await self._users.add(record, invite_hash=invite_hash)
        await self._audit.note("user.registered", visit, user_id=record.user.id, role=role,
                               invited=invite_hash is not None)  # fmt: skip
        return record.user

    async def add(self, applicant: Applicant, role: Role, visit: Visit) -> User:
        """A user whom the operator adds, whatever the server lets strangers do."""
        _check_names(applicant)
        record = await self._record(applicant, role)
        if not (role == "admin" and await self._users.add_first(record)):
            await self._users.add(record)
        await self._audit.note("user.added", visit, user_id=record.user.id, role=role)
        return record.user

    async def _register_first(self, applicant: Applicant, visit: Visit) -> User:
        if not self.may_come_first(visit) and not self._is_setup_token(applicant.setup_token):
            raise RegistrationClosed(
                "The first user registers on the server's own machine, or with the set-up token that the "
                "server printed when it started."
            )
        _check_names(applicant)
        record = await self._record(applicant, "admin")
        if not await self._users.add_first(record):
            raise RegistrationClosed("Somebody else has just become the first user.")
        self._setup = None
        await self._audit.note("user.first", visit, user_id=record.user.id, role="admin")
        return record.user

    def _admission(self, applicant: Applicant) -> tuple[Role, bytes | None]:
        """As what the applicant may come in, and by which invitation."""
        if applicant.invite is not None and self._mode in ("invite", "open"):
            role = _ROLE_OF_LETTER.get(applicant.invite[:1])
            if role is None:
                raise RegistrationClosed("There is no such invitation, or it was used, or it has ended.")
            return role, token_hash(applicant.invite)
        if self._mode == "open":
            return "trader", None
        raise RegistrationClosed(
            "One can register here only with an invitation."
            if self._mode == "invite"
            else "Nobody can register here: the administrator adds users."
        )

    async def _count(self, visit: Visit) -> None:
        """Every registration counts as a wrong try, so that nobody makes users, or tries names, at will."""
        async with self._throttle.attempt(guess_of_registration(visit)) as attempt:
            attempt.fail()

    def _is_setup_token(self, token: str | None) -> bool:
        if token is None or self._setup is None:
            return False
        kept, until_ms = self._setup
        return hmac.compare_digest(token_hash(token), kept) and self._clock.now_ms() < until_ms

    async def _record(self, applicant: Applicant, role: Role) -> LoginRecord:
        check_new_password(applicant.password, words_of(applicant.username, applicant.email))
        password_hash = await self._passwords.make(applicant.password)
        now_ms = self._clock.now_ms()
        user = User(
            id=new_id(),
            email=applicant.email,
            username=applicant.username,
            role=role,
            created_ms=now_ms,
            password_changed_ms=now_ms,
        )
        return LoginRecord(user, password_hash)

    async def invite(self, role: Role, creator_id: str, visit: Visit) -> tuple[Invite, str]:
        """A new invitation and its code, told once. ``LimitExceeded`` where too many are open."""
        # The role's letter is part of what is hashed, so nobody can ask for another role.
        code = role[0] + secrets.token_urlsafe(24)
        now_ms = self._clock.now_ms()
        invite = Invite(
            id=new_id(),
            role=role,
            hint=code[:6],
            created_by=creator_id,
            created_ms=now_ms,
            expires_ms=now_ms + INVITE_MS,
        )
        if not await self._invites.add(invite, token_hash(code), open_max=INVITES_OPEN_MAX):
            raise LimitExceeded(f"There are {INVITES_OPEN_MAX} open invitations: delete some first.")
        await self._audit.note("invite.created", visit, user_id=creator_id, invite=invite.id, role=role)
        return invite, code

    async def invites(self, *, limit: int, behind: tuple[int, str] | None = None) -> Sequence[Invite]:
        """The newest invitations, newest first; those behind the one of that time and id."""
        return await self._invites.invites(limit=limit, behind=behind)

    async def delete_invite(self, invite_id: str, actor_id: str, visit: Visit) -> None:
        """Take it back; ``NotFound`` where there is none."""
        if not await self._invites.delete(invite_id):
            raise NotFound("There is no such invitation.")
        await self._audit.note("invite.deleted", visit, user_id=actor_id, invite=invite_id)


def words_of(username: str, email: str) -> tuple[str, ...]:
    """What somebody would try first who knows the account."""
    return username, *re.split(r"[@._+-]", email), email


def check_username(username: str) -> str | None:
    """What is wrong with it; None where nothing is."""
    if _USERNAME.fullmatch(username):
        return None
    return "takes 3 to 32 of the letters A to Z, digits, dots, dashes and underscores"


def check_email(email: str) -> str | None:
    """What is wrong with it; None where nothing is."""
    if len(email) <= _EMAIL_MAX and email.isprintable() and _EMAIL.fullmatch(email):
        return None
    return "is no e-mail address"


def _check_names(applicant: Applicant) -> None:
    problems = {"username": check_username(applicant.username), "email": check_email(applicant.email)}
    wrong = {name: problem for name, problem in problems.items() if problem}
    if wrong:
        raise InvalidInput("Some fields are wrong.", wrong)
