"""What the API takes and answers about a person's profile and keys."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from tradewright.domain.people import StoredCredential
from tradewright.services.user.credentials import CredentialCheck
from tradewright.services.user.preferences import Preferences, Text
from tradewright.web.account_models import Name
from tradewright.web.models import Word, plain

KeyFields = Annotated[
    dict[
        Annotated[str, Meta(max_length=64)],
        Annotated[str, Meta(max_length=8_192)],
    ],
    Meta(max_length=16),
]
"""The fields of a key by the names that the provider declares; each is held to the rules of keys later."""


class ProfilePatch(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be changed about oneself. A new address wants a proof of who one is."""

    username: Name | None = None
    email: Name | None = None


class CredentialRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A key that is to be kept; ``fields`` are those that the provider declares."""

    market: Word
    provider: Word
    label: Text
    testnet: bool = False
    fields: KeyFields

    def __repr__(self) -> str:
        return f"CredentialRequest({self.provider!r})"


class CredentialPatch(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be changed about a key. ``fields`` replace all that was kept; ``withdrawal_accepted`` says
    that one uses it though it can withdraw."""

    label: Text | None = None
    fields: KeyFields | None = None
    withdrawal_accepted: bool | None = None

    def __repr__(self) -> str:
        return "CredentialPatch(…)"


class CredentialItem(msgspec.Struct, frozen=True, kw_only=True):
    """A key. Of its fields only ``key_hint``, the last four characters of its public part, is ever told.
    ``tested_ms`` is when the venue took it last, ``can_withdraw`` what the venue said then, null where it did
    not say; ``may_trade``: it was tested, and where it can withdraw its owner has accepted that."""

    id: str
    market: str
    provider: str
    label: str
    testnet: bool
    key_hint: str
    created_ms: int
    changed_ms: int
    tested_ms: int | None
    can_withdraw: bool | None
    withdrawal_accepted: bool
    may_trade: bool
    last_used_ms: int | None

    @classmethod
    def of(cls, credential: StoredCredential) -> CredentialItem:
        """The wire form of a stored key."""
        return cls(**{name: getattr(credential, name) for name in cls.__struct_fields__})


class CredentialList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of one's keys, oldest first."""

    items: list[CredentialItem]
    next_cursor: str | None = None


class CheckAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue says of a key: ``permissions`` (``read``, ``spot``, ``margin``, ``futures``,
    ``options``, ``trade``, ``transfer``, ``withdraw``), whether it can withdraw and whether it is taken from
    certain addresses alone, null where the venue does not say; ``balances`` as decimal strings, null where
    they can't be asked for. ``detail`` is a warning for the person, where there is one."""

    permissions: list[str] | None
    can_withdraw: bool | None
    ip_restricted: bool | None
    balances: dict[str, str] | None
    detail: str | None
    tested_ms: int | None

    @classmethod
    def of(cls, check: CredentialCheck) -> CheckAnswer:
        """The wire form of a test's outcome."""
        said, held = check.permissions, check.balances
        return cls(
            permissions=None if said.permissions is None else list(said.permissions),
            can_withdraw=said.can_withdraw,
            ip_restricted=said.ip_restricted,
            balances=None if held is None else {one.currency: plain(one.total) or "0" for one in held},
            detail=_CAN_WITHDRAW if said.can_withdraw else None,
            tested_ms=check.credential.tested_ms,
        )


_CAN_WITHDRAW: Final = (
    "This key can withdraw: whoever gets hold of it can empty the account. Make one without that right, or "
    "accept the risk; until then it is not used for orders."
)

USER_MODELS: Final = (Preferences, CredentialItem, CredentialList, CheckAnswer)
"""What the generator of the browser's types reads of people's own things."""
