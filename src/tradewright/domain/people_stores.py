"""The interfaces through which services reach what is kept of people; each has one contract suite.

``auth_db`` holds users, sessions, tokens, invitations, failed logins and the audit log, ``user_configs_db``
preferences and credentials. They may be one database or two, so no method touches both. Every method may
raise ``StorageUnavailable``. Writes of one call are one transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tradewright.domain.people import (
    ApiToken,
    AuditEvent,
    Invite,
    LoginRecord,
    NewAuditEvent,
    RefreshToken,
    Role,
    Session,
    StoredCredential,
    User,
)


class UserStore(Protocol):
    """Users with what their logins are checked against."""

    async def add(self, record: LoginRecord, *, invite_hash: bytes | None = None) -> None:
        """Keep a new user; ``NameTaken`` where name or address (whatever their case) is somebody's.

        With ``invite_hash`` the invitation of that hash is used up in the same transaction, as it stands at
        the user's ``created_ms``; ``RegistrationClosed`` where there is none that is free, has not ended
        and was made by somebody who is an administrator still, whatever the name: who has no invitation
        learns no names.
        """
        ...

    async def add_first(self, record: LoginRecord) -> bool:
        """Keep the first user of all; False, and nothing is kept, where there is one, however many call at
        once."""
        ...

    async def count(self) -> int:
        """How many users there are."""
        ...

    async def get(self, user_id: str) -> LoginRecord | None:
        """One of them."""
        ...

    async def find(self, login: str) -> LoginRecord | None:
        """The user of that name or address, whatever its case."""
        ...

    async def users(self, *, after: str | None = None, limit: int = 100) -> tuple[User, ...]:
        """Users by id ascending, those behind ``after``."""
        ...

    async def set_password(
        self, user_id: str, password_hash: str, changed_ms: int, *, but: str | None = None
    ) -> tuple[str, ...] | None:
        """Replace it and end all of the user's sessions but one, in one step; the ids of those that ended,
        None where there is no such user."""
        ...

    async def update_hash(self, user_id: str, old_hash: str, new_hash: str) -> bool:
        """Replace a hash by a better one of the same password; False where it is not the old one any more."""
        ...

    async def set_profile(
        self, user_id: str, *, email: str | None = None, username: str | None = None
    ) -> User | None:
        """Change what is given; ``NameTaken`` as in ``add``; None where there is no such user."""
        ...

    async def set_role(self, user_id: str, role: Role) -> User | None:
        """Change it; ``Conflict`` where no enabled administrator would be left."""
        ...

    async def set_disabled(self, user_id: str, disabled: bool) -> tuple[User, tuple[str, ...]] | None:
        """Let the user in, or shut them out and end all of their sessions, in one step; the user, and the ids
        of the sessions that ended. ``Conflict`` where no enabled administrator would be left; None where
        there is no such user."""
        ...

    async def set_totp(
        self, user_id: str, secret: bytes | None, *, enabled: bool, recovery_hashes: Sequence[str] = ()
    ) -> bool:
        """Replace the second factor and its recovery codes; one that is not ``enabled`` waits to be
        confirmed. The last step that was taken is forgotten only with the secret (None), so that the code
        which confirmed a factor opens nothing. False where there is no such user."""
        ...

    async def reseal_totp(self, user_id: str, old: bytes, new: bytes) -> bool:
        """Replace the sealed secret of the second factor; False where it is not the old one any more."""
        ...

    async def take_totp_step(self, user_id: str, step: int) -> bool:
        """Note that a code of that time step was taken; False, and nothing changes, where that step or a
        later one was taken before, however many try at once."""
        ...

    async def take_recovery_code(self, user_id: str, code_hash: str) -> bool:
        """Use one up; False where it is not among those that are left."""
        ...

    async def note_login(self, user_id: str, time_ms: int) -> None:
        """The user has logged in."""
        ...

    async def delete(self, user_id: str) -> bool:
        """Remove the user with all sessions, tokens and invitations of theirs; ``Conflict`` where no enabled
        administrator would be left though other users are. The audit log stays."""
        ...


class SessionStore(Protocol):
    """Sessions and the refresh tokens that keep them alive. A session that has ended is not there any
    more."""

    async def add(self, session: Session, token: RefreshToken, *, kept_max: int) -> tuple[str, ...]:
        """Keep a new session with its first token; of the user's, the newest ``kept_max`` stay. The ids of
        those that had to go. ``NotFound`` where the user is not there any more."""
        ...

    async def get(self, session_id: str) -> Session | None:
        """One of them."""
        ...

    async def of_user(self, user_id: str) -> tuple[Session, ...]:
        """A user's, the last used first."""
        ...

    async def token(self, token_hash: bytes) -> RefreshToken | None:
        """The token of that hash, used or not, whose session has not ended."""
        ...

    async def rotate(
        self, token_hash: bytes, successor: RefreshToken, sealed: bytes, used_ms: int, address: str
    ) -> bool:
        """Mark the token as used, keep its successor (sealed, and as a token of its own) and note where its
        session was last used from; False, and nothing changes, where it was used before, however many try at
        once."""
        ...

    async def verify(self, session_id: str, verified_ms: int) -> bool:
        """The person has proved anew who they are."""
        ...

    async def end(self, session_id: str) -> bool:
        """End one; False where there is none."""
        ...

    async def end_all(self, user_id: str, *, but: str | None = None) -> tuple[str, ...]:
        """End all of a user's but one; the ids of those that ended."""
        ...

    async def known_device(self, user_id: str, device_id: str, since_ms: int) -> bool:
        """Whether the user has logged in from that device since then; that is kept beyond the session's
        end, for a user's newest devices."""
        ...

    async def forget_ended(self, now_ms: int, idle_ms: int) -> int:
        """Remove what has ended by age or was not used for so long, with its tokens; how many sessions."""
        ...


class ApiTokenStore(Protocol):
    """Programs' tokens, by their hash."""

    async def add(self, token: ApiToken, token_hash: bytes, *, kept_max: int) -> bool:
        """Keep a new one; False, and nothing is kept, where the user has ``kept_max``. ``NotFound`` where the
        user is not there any more."""
        ...

    async def find(self, token_hash: bytes) -> ApiToken | None:
        """The token of that hash, ended or not."""
        ...

    async def of_user(self, user_id: str) -> tuple[ApiToken, ...]:
        """A user's, newest first."""
        ...

    async def note_use(self, token_id: str, used_ms: int) -> None:
        """It was used."""
        ...

    async def delete(self, user_id: str, token_id: str) -> bool:
        """Remove it; False where that user has none of that id."""
        ...


class InviteStore(Protocol):
    """Invitations, by the hash of their code; ``UserStore.add`` uses them up."""

    async def add(self, invite: Invite, code_hash: bytes, *, open_max: int) -> bool:
        """Keep a new one; False, and nothing is kept, where ``open_max`` are open: not used, and not ended
        when the new one is made. ``NotFound`` where who made it is not there any more."""
        ...

    async def invites(self, *, limit: int = 100, behind: tuple[int, str] | None = None) -> tuple[Invite, ...]:
        """The newest, newest first, those of one time by id ascending; those behind a time (``created_ms``)
        and id."""
        ...

    async def delete(self, invite_id: str) -> bool:
        """Remove it; False where there is none."""
        ...


class AttemptStore(Protocol):
    """How often something was tried under a key, counted so that two who try at once are both counted."""

    async def failures(self, keys: Sequence[str]) -> Mapping[str, tuple[int, int]]:
        """For each key with failures how many, and when (epoch ms) the last one was."""
        ...

    async def add_failure(self, keys: Sequence[str], now_ms: int) -> None:
        """Count one more for each."""
        ...

    async def take_back(self, failures: Mapping[str, int]) -> None:
        """Count so many fewer for each key; none is left where there were no more."""
        ...

    async def clear(self, keys: Sequence[str]) -> None:
        """Forget them."""
        ...

    async def forget(self, before_ms: int) -> None:
        """Forget those whose last failure was before."""
        ...


class AuditStore(Protocol):
    """The audit log: events are added, and never changed or removed."""

    async def append(self, event: NewAuditEvent) -> AuditEvent:
        """Write the event behind the last one, with a digest over both."""
        ...

    async def newest(
        self, *, limit: int = 100, before: int | None = None, user_id: str | None = None
    ) -> tuple[AuditEvent, ...]:
        """The newest events, newest first; those before a position, of one user where that is given."""
        ...

    def all(self) -> AsyncIterator[AuditEvent]:
        """Every event, the oldest first, for who checks the digests."""
        ...


class PreferenceStore(Protocol):
    """What users like, as one JSON object for each."""

    async def get(self, user_id: str) -> dict[str, object]:
        """The user's; empty where nothing is kept."""
        ...

    async def merge(
        self, user_id: str, changes: Mapping[str, object], *, bytes_max: int
    ) -> dict[str, object] | None:
        """Replace the keys that are given (None removes one), in one step; the object as it is then, or None,
        and nothing changes, where its JSON would be longer than ``bytes_max``."""
        ...

    async def delete(self, user_id: str) -> None:
        """Forget all of it."""
        ...


class CredentialStore(Protocol):
    """Users' keys to providers, every field sealed. Nobody else's can be reached by its id."""

    async def add(self, credential: StoredCredential, *, kept_max: int) -> bool:
        """Keep a new one; False, and nothing is kept, where the user has ``kept_max``."""
        ...

    async def get(self, user_id: str, credential_id: str) -> StoredCredential | None:
        """That user's credential of that id."""
        ...

    async def of_user(self, user_id: str) -> tuple[StoredCredential, ...]:
        """A user's, oldest first."""
        ...

    async def replace(self, old: StoredCredential, new: StoredCredential) -> bool:
        """Put the new one in the place of the old, whose user and id it has; False, and nothing changes,
        where the old one is not there, or not as it was read: somebody has changed it, or sealed it anew."""
        ...

    async def reseal(self, credential_id: str, old: bytes, new: bytes) -> bool:
        """Replace what is sealed; False where it is not the old one any more."""
        ...

    async def delete(self, user_id: str, credential_id: str) -> bool:
        """Remove it; False where there is none."""
        ...

    async def delete_all(self, user_id: str) -> tuple[str, ...]:
        """Remove all of a user's; their ids."""
        ...

    async def all(self, *, after: str | None = None, limit: int = 100) -> tuple[StoredCredential, ...]:
        """Everybody's by id ascending, those behind ``after``; for who seals them anew."""
        ...


class CanaryStore(Protocol):
    """One sealed record in ``auth_db`` by which a wrong encryption key shows itself."""

    async def keep_first(self, sealed: bytes) -> bytes:
        """Keep the record where there is none yet; the one that is kept, however many try at once."""
        ...

    async def kept(self) -> bytes | None:
        """The record, where there is one."""
        ...

    async def reseal(self, old: bytes, new: bytes) -> bool:
        """Replace it; False where it is not the old one any more."""
        ...


@dataclass(frozen=True, slots=True)
class PeopleStores:
    """All that is kept of people; preferences and credentials in ``user_configs_db``."""

    users: UserStore
    sessions: SessionStore
    api_tokens: ApiTokenStore
    invites: InviteStore
    attempts: AttemptStore
    audit: AuditStore
    canary: CanaryStore
    preferences: PreferenceStore
    credentials: CredentialStore
