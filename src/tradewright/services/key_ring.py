"""Keys derived from the operator's secrets, each for one purpose, so that no secret is ever used itself."""

from __future__ import annotations

from typing import Final, Protocol

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_SALT: Final = b"tradewright/1"


class SecretSource(Protocol):
    """Where a secret comes from, which may be renewed while the program runs."""

    def ring(self) -> tuple[str, ...]:
        """The secret as it is now: the present one first, then those that came before it. The same object
        as long as nothing changed."""
        ...


class FixedSecrets:
    """Secrets that never change."""

    def __init__(self, *secrets: str) -> None:
        self._secrets = secrets

    def ring(self) -> tuple[str, ...]:
        """Those that were given."""
        return self._secrets


def derive(secret: str | bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose (HKDF, SHA-256). The secret must be long and random."""
    material = secret.encode() if isinstance(secret, str) else secret
    return HKDF(SHA256(), 32, _SALT, purpose.encode()).derive(material)


class KeyRing:
    """The keys of one purpose. Each has an id, made of its secret alone, so that servers which share
    secrets agree on it."""

    def __init__(self, source: SecretSource, purpose: str) -> None:
        self._source = source
        self._purpose = purpose
        self._made_of: tuple[str, ...] = ()
        self._keys: dict[str, bytes] = {}

    def current(self) -> tuple[str, bytes]:
        """Id and key for what is made now."""
        return next(iter(self._present().items()))

    def get(self, key_id: str) -> bytes | None:
        """The key of that id, present or earlier."""
        return self._present().get(key_id)

    def keys(self) -> tuple[bytes, ...]:
        """All of them, the present one first."""
        return tuple(self._present().values())

    def _present(self) -> dict[str, bytes]:
        ring = self._source.ring()
        if ring is not self._made_of:
            self._keys = {
                derive(secret, f"id of {self._purpose}")[:6].hex(): derive(secret, self._purpose)
                for secret in ring
            }
            self._made_of = ring
        return self._keys
