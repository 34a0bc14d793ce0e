"""Access tokens: short-lived, signed, and believed only together with a session that still is.

JSON Web Tokens (HS256). The key is looked up by ``kid`` in our own ring and nowhere else; nothing in a token
can choose how or with what it is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import jwt

from tradewright.domain.people import ROLE_SCOPES, InvalidToken, Role, Session
from tradewright.runtime.clock import Clock
from tradewright.runtime.ids import new_id
from tradewright.services.key_ring import KeyRing, SecretSource

LIFETIME_S: Final = 600
BYTES_MAX: Final = 4_096
_ISSUER: Final = "tradewright"
_AUDIENCE: Final = "tradewright"
_SKEW_S: Final = 5
_HEADER: Final = {"alg", "kid", "typ"}
_CLAIMS: Final = ("iss", "aud", "sub", "jti", "sid", "role", "typ", "iat", "nbf", "exp")
_TEXTS: Final = ("sub", "jti", "sid", "role")
_TIMES: Final = ("iat", "nbf", "exp")


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What a token that we made says; whether it still holds is for its session to tell."""

    user_id: str
    session_id: str
    expires_ms: int


class AccessTokens:
    """Makes and reads access tokens."""

    def __init__(self, source: SecretSource, clock: Clock) -> None:
        self._ring = KeyRing(source, "signing key of access tokens")
        self._clock = clock

    def make(self, session: Session, role: Role) -> tuple[str, int]:
        """A token of the session, and for how many seconds it holds."""
        now_s = self._clock.now_ms() // 1000
        expires_s = min(now_s + LIFETIME_S, session.expires_ms // 1000)
        key_id, key = self._ring.current()
        claims = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": session.user_id,
            "jti": new_id(),
            "sid": session.id,
            "role": role,
            "typ": "access",
            "iat": now_s,
            "nbf": now_s,
            "exp": expires_s,
        }
        return jwt.encode(claims, key, algorithm="HS256", headers={"kid": key_id}), expires_s - now_s

    def read(self, token: str) -> AccessClaims:
        """What the token says; ``InvalidToken`` where it is none of ours or has ended."""
        if len(token) > BYTES_MAX or not token.isascii():
            raise _invalid()
        try:
            claims = jwt.decode(
                token,
                self._key_of(token),
                algorithms=["HS256"],
                audience=_AUDIENCE,
                issuer=_ISSUER,
                # Times are looked at below, by our own clock.
                options={
                    "require": list(_CLAIMS),
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "enforce_minimum_key_length": True,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise _invalid() from None
        return self._believed(claims)

    def _key_of(self, token: str) -> bytes:
        header = jwt.get_unverified_header(token)
        key_id = header.get("kid")
        if set(header) != _HEADER or header["typ"] != "JWT" or not isinstance(key_id, str):
            raise _invalid()
        key = self._ring.get(key_id)
        if key is None:
            raise _invalid()
        return key

    def _believed(self, claims: dict[str, object]) -> AccessClaims:
        texts = [claims[name] for name in _TEXTS]
        times = [claims[name] for name in _TIMES]
        if (
            claims["typ"] != "access"
            or claims["aud"] != _AUDIENCE
            or not all(isinstance(text, str) and text for text in texts)
            or not all(type(time) is int for time in times)
        ):
            raise _invalid()
        user_id, _, session_id, role = map(str, texts)
        issued_s, begins_s, expires_s = (time for time in times if isinstance(time, int))
        now_s = self._clock.now_ms() / 1000
        if (
            role not in ROLE_SCOPES
            or begins_s != issued_s
            or not issued_s - _SKEW_S <= now_s < expires_s <= issued_s + LIFETIME_S
        ):
            raise _invalid()
        return AccessClaims(user_id, session_id, expires_s * 1000)


def _invalid() -> InvalidToken:
    return InvalidToken("The token is not valid any more: log in again.")
