"""What is sealed opens for its owner alone, and outlives the renewal of keys."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.accounts import Secrets, key
from tradewright.domain.errors import ConfigError
from tradewright.services.encryption_service import (
    EncryptionService,
    SealedUnreadable,
    SealingContext,
    SealingKeyMissing,
)
from tradewright.storage.memory_canary import MemoryCanaryStore

FIELDS = {"api_key": "AKIA-visible-somewhere", "secret": "s3cr3t-π-\0"}
CONTEXT = SealingContext("credential", "user-1", "record-1", "binance")


def service(*keys: str) -> EncryptionService:
    return EncryptionService(Secrets(*(key(name) for name in keys or ("a",))))


def test_what_is_sealed_opens_and_shows_nothing() -> None:
    sealing = service()
    blob = sealing.seal(CONTEXT, FIELDS)
    assert sealing.open(CONTEXT, blob) == FIELDS
    assert not any(value.encode() in blob for value in FIELDS.values())
    assert sealing.seal(CONTEXT, FIELDS) != blob
    with pytest.raises(ValueError, match="without fields"):
        sealing.seal(CONTEXT, {})


@pytest.mark.parametrize(
    "other",
    [
        SealingContext("totp", "user-1", "record-1", "binance"),
        SealingContext("credential", "user-2", "record-1", "binance"),
        SealingContext("credential", "user-1", "record-2", "binance"),
        SealingContext("credential", "user-1", "record-1", "kraken"),
        SealingContext("credential", "user-1record-1", "", "binance"),
    ],
)
def test_a_record_in_another_place_does_not_open(other: SealingContext) -> None:
    sealing = service()
    with pytest.raises(SealedUnreadable):
        sealing.open(other, sealing.seal(CONTEXT, FIELDS))


def test_no_field_can_be_moved_taken_away_or_added() -> None:
    import msgspec

    sealing = service()
    blob, other = sealing.seal(CONTEXT, FIELDS), sealing.seal(CONTEXT, FIELDS)
    key_id, purpose, wrapped, fields = msgspec.msgpack.decode(blob[1:])
    theirs = msgspec.msgpack.decode(other[1:])
    forgeries = [
        (key_id, purpose, wrapped, {"api_key": fields["secret"], "secret": fields["api_key"]}),
        (key_id, purpose, wrapped, {"api_key": fields["api_key"]}),
        (key_id, purpose, wrapped, {**fields, "uid": fields["secret"]}),
        (key_id, purpose, wrapped, {**fields, "secret": theirs[3]["secret"]}),
        (key_id, purpose, theirs[2], fields),
        (key_id, purpose, wrapped, {}),
        (key_id, "totp", wrapped, fields),
    ]
    for forged in forgeries:
        with pytest.raises(SealedUnreadable):
            sealing.open(CONTEXT, blob[:1] + msgspec.msgpack.encode(forged))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_changed_byte_goes_unseen(data: st.DataObject) -> None:
    sealing = service()
    blob = bytearray(sealing.seal(CONTEXT, {"api_key": "abc"}))
    place = data.draw(st.integers(0, len(blob) - 1))
    blob[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SealedUnreadable):
        sealing.open(CONTEXT, bytes(blob))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_break_it(blob: bytes) -> None:
    with pytest.raises(SealedUnreadable):
        service().open(CONTEXT, blob)
    with pytest.raises(SealedUnreadable):
        service().open(CONTEXT, b"\x01" + blob)


def test_a_ring_opens_what_its_older_keys_sealed() -> None:
    old, both, new = service("a"), service("b", "a"), service("b")
    blob = old.seal(CONTEXT, FIELDS)
    assert both.open(CONTEXT, blob) == FIELDS
    assert not both.is_current(blob)
    renewed = both.reseal(blob)
    assert both.is_current(renewed)
    assert new.open(CONTEXT, renewed) == FIELDS
    with pytest.raises(SealingKeyMissing):
        new.open(CONTEXT, blob)
    with pytest.raises(SealingKeyMissing):
        old.open(CONTEXT, renewed)
    assert old.open(CONTEXT, blob) == FIELDS, "a wrong key destroys nothing"


def test_a_renewed_ring_is_used_at_once() -> None:
    secrets = Secrets(key("a"))
    sealing = EncryptionService(secrets)
    blob = sealing.seal(CONTEXT, FIELDS)
    secrets.keys = (key("b"), key("a"))
    assert not sealing.is_current(blob)
    assert sealing.is_current(sealing.seal(CONTEXT, FIELDS))
    assert sealing.open(CONTEXT, blob) == FIELDS


async def test_a_wrong_key_is_refused_at_start_and_changes_nothing() -> None:
    canary = MemoryCanaryStore()
    await service("a").check_canary(canary)
    kept = await canary.kept()
    await service("a").check_canary(canary)
    await service("b", "a").check_canary(canary)
    for wrong in (service("b"), service("c", "b")):
        with pytest.raises(ConfigError, match="not the key with which this database was sealed"):
            await wrong.check_canary(canary)
    assert await canary.kept() == kept


def test_no_two_records_share_a_nonce_or_a_key() -> None:
    sealing = service()
    blobs = [sealing.seal(CONTEXT, {"secret": "the same"}) for _ in range(200)]
    for one, two in itertools.pairwise(blobs):
        assert one[-16:] != two[-16:]
    assert len(set(blobs)) == 200
