"""What the API takes and answers about accounts."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from tradewright.domain.people import (
    ApiToken,
    AuditEvent,
    Invite,
    Registration,
    Role,
    Scope,
    Session,
    User,
)
from tradewright.services.auth.api_tokens import DAYS_MAX
from tradewright.web.models import PageQuery

Name = Annotated[str, Meta(min_length=1, max_length=254)]
Password = Annotated[str, Meta(min_length=1, max_length=512)]
Code = Annotated[str, Meta(min_length=1, max_length=64)]
Secret = Annotated[str, Meta(min_length=1, max_length=128)]
Label = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+$(?!\n)")
]


class Nothing(msgspec.Struct, frozen=True):
    """No field is taken."""


class RegisterRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants to become a user; ``setup_token`` for the first one, ``invite`` where one is needed."""

    email: Name
    username: Name
    password: Password
    setup_token: Secret | None = None
    invite: Secret | None = None


class RegistrationState(msgspec.Struct, frozen=True, kw_only=True):
    """Who may register here. ``first``: there is no user yet, so that the next one is administrator;
    ``setup_token``: whoever asks needs the set-up token for that."""

    mode: Registration
    first: bool
    setup_token: bool


class LoginRequest(msgspec.Struct, frozen=True, kw_only=True):
    """``login`` is the user name or the e-mail address, ``totp`` a code of the authenticator or a recovery
    code. With ``"client":"api"`` the refresh token comes in the body instead of a cookie."""

    login: Name
    password: Password
    totp: Code | None = None
    client: Literal["browser", "api"] = "browser"


class RefreshRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Programs give their refresh token here; browsers give it by cookie."""

    refresh_token: Secret | None = None


class StepUpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The proof of who one is."""

    password: Password
    totp: Code | None = None


class PasswordRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The present password and the one that is to take its place."""

    current_password: Password
    new_password: Password


class TotpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A code of the authenticator."""

    totp: Code


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The API token that is wanted."""

    label: Label
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=2)]
    days: Annotated[int, Meta(ge=1, le=DAYS_MAX)] = 90


class InviteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """As what somebody is invited."""

    role: Role = "trader"


class UserPatch(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be changed about a user."""

    role: Role | None = None
    disabled: bool | None = None


class AuditQuery(PageQuery, frozen=True, kw_only=True):
    """Which events; ``user_id`` asks for those of one user."""

    user_id: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


class UserItem(msgspec.Struct, frozen=True, kw_only=True):
    """A user."""

    id: str
    email: str
    username: str
    role: Role
    disabled: bool
    totp_enabled: bool
    created_ms: int
    last_login_ms: int | None

    @classmethod
    def of(cls, user: User) -> UserItem:
        """The wire form of a domain user."""
        return cls(**{name: getattr(user, name) for name in cls.__struct_fields__})


class UserAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The new user."""

    user: UserItem


class UserList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of users."""

    items: list[UserItem]
    next_cursor: str | None = None


class TokenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a login or a refresh gives; ``expires_in`` in seconds. The refresh token stands here only for
    programs."""

    access_token: str
    expires_in: int
    user: UserItem
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  its kind
    refresh_token: str | msgspec.UnsetType = msgspec.UNSET


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """The caller: their user, what this token may do, and until when they need not prove themselves anew
    (epoch ms, null where they must)."""

    user: UserItem
    scopes: tuple[Scope, ...]
    session_id: str | None
    verified_until: int | None
    recovery_codes_left: int


class StepUpAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Until when (epoch ms) the proof is believed."""

    verified_until: int


class EnrolAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the authenticator needs: the secret, the same as an address, and that as an image (data URL)."""

    secret: str
    uri: str
    image: str


class RecoveryCodes(msgspec.Struct, frozen=True, kw_only=True):
    """Codes for the day when the authenticator is lost, each good once; told this once."""

    recovery_codes: tuple[str, ...]


class SessionItem(msgspec.Struct, frozen=True, kw_only=True):
    """A login that is alive."""

    id: str
    current: bool
    client: Literal["browser", "api"]
    address: str
    agent: str
    created_ms: int
    last_used_ms: int
    expires_ms: int

    @classmethod
    def of(cls, session: Session, current_id: str | None) -> SessionItem:
        """The wire form of a session."""
        names = [name for name in cls.__struct_fields__ if name != "current"]
        return cls(current=session.id == current_id, **{name: getattr(session, name) for name in names})


class SessionList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of one's sessions, the last used first."""

    items: list[SessionItem]
    next_cursor: str | None = None


class TokenItem(msgspec.Struct, frozen=True, kw_only=True):
    """An API token; ``hint`` is how it begins. ``token`` itself is told once, when it is made."""

    id: str
    label: str
    scopes: tuple[Scope, ...]
    hint: str
    created_ms: int
    expires_ms: int
    last_used_ms: int | None
    token: str | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, token: ApiToken, text: str | None = None) -> TokenItem:
        """The wire form of an API token."""
        names = [name for name in cls.__struct_fields__ if name != "token"]
        return cls(**{name: getattr(token, name) for name in names}, token=text or msgspec.UNSET)


class TokenList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of one's API tokens, newest first."""

    items: list[TokenItem]
    next_cursor: str | None = None


class InviteItem(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation; ``hint`` is how its code begins. ``code`` itself is told once, when it is made."""

    id: str
    role: Role
    hint: str
    created_by: str
    created_ms: int
    expires_ms: int
    used_by: str | None
    code: str | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, invite: Invite, code: str | None = None) -> InviteItem:
        """The wire form of an invitation."""
        names = [name for name in cls.__struct_fields__ if name != "code"]
        return cls(**{name: getattr(invite, name) for name in names}, code=code or msgspec.UNSET)


class InviteList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of invitations, newest first."""

    items: list[InviteItem]
    next_cursor: str | None = None


class AuditList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of events, newest first."""

    items: list[AuditEvent]
    next_cursor: str | None = None


ACCOUNT_MODELS: Final = (
    RegistrationState,
    UserAnswer,
    UserList,
    TokenAnswer,
    Me,
    StepUpAnswer,
    EnrolAnswer,
    RecoveryCodes,
    SessionList,
    TokenList,
    InviteList,
    AuditList,
)
"""What the generator of the browser's types reads of accounts."""
