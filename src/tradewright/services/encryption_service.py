"""Seals what must not be read by who gets hold of the database: keys to venues, second factors.

Each record has a random key of its own, with which its fields are encrypted (AES-256-GCM) and bound to
whose they are and what they are for; that key is wrapped under the operator's, which is never stored beside
it. So a record that is put in another's place, or a field in another field's, can't be opened, and to renew
the operator's key no field has to be touched.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tradewright.domain.errors import ConfigError, StorageUnavailable
from tradewright.domain.people_stores import CanaryStore
from tradewright.services.key_ring import KeyRing, SecretSource

VERSION: Final = 1
_NONCE_BYTES: Final = 12
_CANARY: Final = "tradewright"
_WRONG_KEY: Final = (
    "TRADEWRIGHT_ENCRYPTION_KEY (or encryption_key in secrets.toml) is not the key with which this database "
    "was sealed: give the right one, or both as new,old. Nothing was changed."
)


class SealedUnreadable(StorageUnavailable):
    """What is sealed can't be opened: it was changed, or is not of the record in whose place it stands."""

    code = "sealed_unreadable"


class SealingKeyMissing(SealedUnreadable):
    """It was sealed under a key that this server does not have. Nothing is lost: with that key in the ring
    again it opens."""

    code = "sealing_key_missing"


@dataclass(frozen=True, slots=True)
class SealingContext:
    """What a record is for and whose it is; it opens for nobody and nothing else."""

    purpose: str
    user_id: str
    record_id: str
    provider: str = ""


class _Sealed(msgspec.Struct, array_like=True, frozen=True):
    key_id: str
    purpose: str
    wrapped: bytes
    fields: dict[str, bytes]


_decoder: Final = msgspec.msgpack.Decoder(_Sealed)


class EncryptionService:
    """Seals and opens records under the operator's ring of keys; ``source`` is asked each time, so that a
    renewed ring is used at once."""

    def __init__(self, source: SecretSource) -> None:
        self._ring = KeyRing(source, "wrapping key of sealed records")

    def seal(self, context: SealingContext, fields: Mapping[str, str]) -> bytes:
        """The fields, at least one, sealed under the present key."""
        if not fields:
            raise ValueError("a record without fields can't be bound to its context")
        key = AESGCM.generate_key(256)
        sealed = {
            name: _encrypt(key, value.encode(), _field_data(context, name)) for name, value in fields.items()
        }
        return self._wrap(context.purpose, key, sealed)

    def open(self, context: SealingContext, blob: bytes) -> dict[str, str]:
        """The fields; ``SealedUnreadable`` where the record is not of that context or was changed,
        ``SealingKeyMissing`` where its key is not here."""
        record = _parse(blob)
        if record.purpose != context.purpose:
            raise _broken()
        key = self._unwrap(record)
        return {
            name: _decrypt(key, value, _field_data(context, name)).decode()
            for name, value in record.fields.items()
        }

    def reseal(self, blob: bytes) -> bytes:
        """The same record under the present key; errors as in ``open``."""
        record = _parse(blob)
        return self._wrap(record.purpose, self._unwrap(record), record.fields)

    def is_current(self, blob: bytes) -> bool:
        """Whether it is sealed under the present key."""
        return _parse(blob).key_id == self._ring.current()[0]

    async def check_canary(self, store: CanaryStore) -> None:
        """Open the record that was sealed at the first start of all, or seal one where there is none.

        ``ConfigError`` where it does not open: the key is not the one of this database, and whatever was
        sealed with it would be mixed with what the right one has sealed.
        """
        context = SealingContext("canary", "", "canary")
        blob = await store.keep_first(self.seal(context, {"canary": _CANARY}))
        try:
            known = self.open(context, blob) == {"canary": _CANARY}
        except SealedUnreadable:
            known = False
        if not known:
            raise ConfigError([_WRONG_KEY])

    def _wrap(self, purpose: str, key: bytes, fields: dict[str, bytes]) -> bytes:
        key_id, wrapping = self._ring.current()
        wrapped = _encrypt(wrapping, key, _wrap_data(key_id, purpose, fields))
        return bytes([VERSION]) + msgspec.msgpack.encode(_Sealed(key_id, purpose, wrapped, fields))

    def _unwrap(self, record: _Sealed) -> bytes:
        wrapping = self._ring.get(record.key_id)
        if wrapping is None:
            raise SealingKeyMissing(
                "This was sealed under an encryption key that the server does not have any more; the "
                "operator can put it back behind the present one."
            )
        return _decrypt(wrapping, record.wrapped, _wrap_data(record.key_id, record.purpose, record.fields))


def _parse(blob: bytes) -> _Sealed:
    if blob[:1] != bytes([VERSION]):
        raise _broken()
    try:
        record = _decoder.decode(blob[1:])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _broken() from None
    if not record.fields:
        raise _broken()
    return record


def _field_data(context: SealingContext, name: str) -> bytes:
    """What a field is bound to."""
    bound = (context.purpose, context.user_id, context.record_id, context.provider, name)
    return msgspec.msgpack.encode((VERSION, *bound))


def _wrap_data(key_id: str, purpose: str, fields: Mapping[str, bytes]) -> bytes:
    """What a record's key is bound to: so no field can be taken away or put beside the others."""
    return msgspec.msgpack.encode((VERSION, key_id, purpose, sorted(fields)))


def _encrypt(key: bytes, plain: bytes, bound_to: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound_to)


def _decrypt(key: bytes, data: bytes, bound_to: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], bound_to)
    except (InvalidTag, ValueError):  # ValueError: too short to be any of ours
        raise _broken() from None


def _broken() -> SealedUnreadable:
    return SealedUnreadable("What is stored here can't be opened: it was changed, or is not of this record.")
