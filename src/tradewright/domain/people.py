"""Who uses this server: users, their sessions, tokens and invitations, and what was done by whom.

Passwords, tokens and recovery codes are in none of these but as hashes. Times are epoch ms, UTC.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import msgspec

from tradewright.domain.errors import Conflict, LimitExceeded, LoginRequired, NotAllowed

Role: TypeAlias = Literal["admin", "trader", "viewer"]
Scope: TypeAlias = Literal["read", "trade"]
Registration: TypeAlias = Literal["open", "invite", "closed"]

ROLE_SCOPES: Final[dict[Role, tuple[Scope, ...]]] = {
    "admin": ("read", "trade"),
    "trader": ("read", "trade"),
    "viewer": ("read",),
}


DEVICES_KEPT: Final = 20
"""So many of the devices that somebody logged in from are remembered."""

TOKEN_HOLDER: Final = "token:"  # noqa: S105  the beginning of a name
"""How the name of an API token begins where that of a session could stand; no session's id does."""

AUDIT_BEGINNING: Final = "0" * 64
"""What stands in the place of a digest before the first event."""


def login_key(name: str) -> str:
    """What two user names or addresses have in common that are the same to us: case, width, composition."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def storable(text: str) -> str:
    """``text`` without what a database can't hold: PostgreSQL takes no NUL, nobody takes half a surrogate."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


class User(msgspec.Struct, frozen=True, kw_only=True):
    """One person. ``email`` and ``username`` are as they were given; both are unique whatever their case."""

    id: str
    email: str
    username: str
    role: Role
    created_ms: int
    disabled: bool = False
    totp_enabled: bool = False
    last_login_ms: int | None = None
    password_changed_ms: int = 0


@dataclass(frozen=True, slots=True)
class LoginRecord:
    """What a login is checked against. ``totp_secret`` is sealed, ``totp_last_step`` the time step of the
    last code that was taken, ``recovery_hashes`` those of the codes that are left."""

    user: User
    password_hash: str = field(repr=False)
    totp_secret: bytes | None = field(default=None, repr=False)
    totp_last_step: int | None = None
    recovery_hashes: tuple[str, ...] = field(default=(), repr=False)


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One login, for as long as its refresh tokens are renewed: the family of those tokens.

    ``verified_ms`` is when the person last proved who they are (password, and second factor where there is
    one), ``device_id`` the random name of the browser or program that logged in.
    """

    id: str
    user_id: str
    created_ms: int
    last_used_ms: int
    expires_ms: int
    verified_ms: int
    client: Literal["browser", "api"] = "browser"
    address: str = ""
    agent: str = ""
    device_id: str | None = None


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """One refresh token, by its hash. One that was used keeps its successor, sealed under the token itself,
    so that only who holds it can be given the same successor once more."""

    token_hash: bytes = field(repr=False)
    session_id: str
    created_ms: int
    used_ms: int | None = None
    successor: bytes | None = field(default=None, repr=False)


class ApiToken(msgspec.Struct, frozen=True, kw_only=True):
    """A program's token. ``hint`` is the beginning of it, by which its owner knows it."""

    id: str
    user_id: str
    label: str
    scopes: tuple[Scope, ...]
    hint: str
    created_ms: int
    expires_ms: int
    last_used_ms: int | None = None


class Invite(msgspec.Struct, frozen=True, kw_only=True):
    """Lets one person register with this role; ``hint`` is the beginning of its code."""

    id: str
    role: Role
    hint: str
    created_by: str
    created_ms: int
    expires_ms: int
    used_by: str | None = None


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was done, by whom and from where. ``position`` counts all events; ``digest`` (hex) is
    made of the event and of the digest before it, so that a changed or removed one shows."""

    position: int
    time_ms: int
    kind: str
    user_id: str | None
    actor_id: str | None
    address: str
    request_id: str
    details: dict[str, Any]
    digest: str

    def expected_digest(self, before: str) -> str:
        """What ``digest`` must be behind an event whose digest is ``before``: SHA-256 over that and the
        canonical JSON of everything else."""
        told = msgspec.structs.asdict(self)
        del told["digest"]
        written = msgspec.json.encode(told, order="deterministic")
        return hashlib.sha256(before.encode("ascii") + b"\n" + written).hexdigest()


@dataclass(frozen=True, slots=True)
class NewAuditEvent:
    """An event that is to be written. ``kind`` is a dotted word such as ``login.failed``; ``user_id`` whom it
    is about, ``actor_id`` who did it. ``details`` hold no secret."""

    time_ms: int
    kind: str
    user_id: str | None = None
    actor_id: str | None = None
    address: str = ""
    request_id: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def chained(self, position: int, digest: str) -> AuditEvent:
        """The event as it stands in the log behind the one with this position and digest."""

        def kept(text: str | None) -> str | None:
            return None if text is None else storable(text)

        unsealed = AuditEvent(
            position=position + 1,
            time_ms=self.time_ms,
            kind=storable(self.kind),
            user_id=kept(self.user_id),
            actor_id=kept(self.actor_id),
            address=storable(self.address),
            request_id=storable(self.request_id),
            # As it will be read: what JSON does not tell apart must not make another digest.
            details=msgspec.json.decode(msgspec.json.encode(self.details)),
            digest="",
        )
        return msgspec.structs.replace(unsealed, digest=unsealed.expected_digest(digest))


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request or a socket speaks for, and until when that may be believed.

    ``scopes`` are those of the role, or fewer where an API token says so. ``verified_ms`` is None for an API
    token: what needs a person who has just proved who they are is not for programs.
    """

    user_id: str
    role: Role
    scopes: tuple[Scope, ...]
    expires_ms: int
    session_id: str | None = None
    token_id: str | None = None
    verified_ms: int | None = None

    @property
    def holder(self) -> str:
        """What all of this rests on, by a name of its own: the session, or the API token."""
        return self.session_id if self.session_id is not None else f"{TOKEN_HOLDER}{self.token_id}"

    @property
    def is_admin(self) -> bool:
        """Whether the person manages the server; an API token never does."""
        return self.role == "admin" and self.session_id is not None


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """A user's key to a provider as it is kept: every field of it sealed. ``key_hint`` holds the last four
    characters of the key, ``can_withdraw`` what the venue said when it was tested (None: it did not say)."""

    id: str
    user_id: str
    market: str
    provider: str
    label: str
    testnet: bool
    sealed: bytes = field(repr=False)
    key_hint: str
    created_ms: int
    changed_ms: int
    tested_ms: int | None = None
    can_withdraw: bool | None = None
    withdrawal_accepted: bool = False
    last_used_ms: int | None = None


class InvalidLogin(LoginRequired):
    """Name and password do not belong together, or there is no such user; which of them is not told."""

    code = "invalid_login"


class InvalidToken(LoginRequired):
    """The token is none that we gave, or it has ended, or its session has."""

    code = "invalid_token"

    def __init__(self, message: str = "The token is not valid.") -> None:
        super().__init__(message)


class TotpRequired(LoginRequired):
    """The password is right; the code of the second factor is missing or wrong."""

    code = "totp_required"


class StepUpRequired(NotAllowed):
    """This needs a person who has just proved who they are: ``POST /auth/step_up`` first."""

    code = "step_up_required"


class MissingScope(NotAllowed):
    """The role or the API token does not allow this."""

    code = "missing_scope"


class RegistrationClosed(NotAllowed):
    """Nobody can register here, or not without an invitation."""

    code = "registration_closed"


class NameTaken(Conflict):
    """Somebody has this user name or e-mail address already."""

    code = "name_taken"


class TooManyLogins(LimitExceeded):
    """Too many wrong passwords: ``retry_after_s`` says when the next one is looked at."""

    code = "too_many_logins"
