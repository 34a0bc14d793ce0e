"""People, sessions and tokens for the checks of the stores."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from tradewright.domain.people import (
    ApiToken,
    Invite,
    LoginRecord,
    RefreshToken,
    Role,
    Session,
    StoredCredential,
    User,
)

NOW = 1_800_000_000_000
DAY = 86_400_000


def hashed(text: str) -> bytes:
    """A hash such as tokens are kept by."""
    return hashlib.sha256(text.encode()).digest()


def record(name: str, role: Role = "trader", **others: Any) -> LoginRecord:
    """A user called ``name``, who can log in."""
    user = User(
        id=f"id-{name}",
        email=f"{name}@example.com",
        username=name,
        role=role,
        created_ms=NOW,
        password_changed_ms=NOW,
    )
    return LoginRecord(user=msgspec.structs.replace(user, **others), password_hash=f"hash of {name}")


def session(user_id: str, name: str, used_ms: int = NOW, **others: Any) -> Session:
    """A session that lasts for thirty days."""
    made = Session(
        id=f"session-{name}",
        user_id=user_id,
        created_ms=NOW,
        last_used_ms=used_ms,
        expires_ms=NOW + 30 * DAY,
        verified_ms=NOW,
        address="192.0.2.1",
        agent="a browser",
    )
    return msgspec.structs.replace(made, **others)


def token(session_id: str, secret: str) -> RefreshToken:
    """A refresh token that was not used."""
    return RefreshToken(token_hash=hashed(secret), session_id=session_id, created_ms=NOW)


def api_token(user_id: str, name: str, created_ms: int = NOW) -> ApiToken:
    """A program's token that reads and trades."""
    return ApiToken(
        id=f"token-{name}",
        user_id=user_id,
        label=name,
        scopes=("read", "trade"),
        hint="tw_abcd",
        created_ms=created_ms,
        expires_ms=created_ms + DAY,
    )


def invite(by: str, name: str, created_ms: int = NOW, lasts_ms: int = DAY) -> Invite:
    """An invitation that nobody has used."""
    return Invite(
        id=f"invite-{name}",
        role="trader",
        hint="abcd",
        created_by=by,
        created_ms=created_ms,
        expires_ms=created_ms + lasts_ms,
    )


def credential(user_id: str, name: str, created_ms: int = NOW) -> StoredCredential:
    """A sealed key."""
    return StoredCredential(
        id=f"credential-{name}",
        user_id=user_id,
        market="crypto",
        provider="binance",
        label=name,
        testnet=True,
        sealed=b"\x00sealed\xff",
        key_hint="wxyz",
        created_ms=created_ms,
        changed_ms=created_ms,
    )
