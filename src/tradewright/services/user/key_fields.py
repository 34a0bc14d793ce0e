"""The fields of a key, held to what the provider's plugin declares; nothing else ever reaches a plugin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tradewright.domain.capabilities import CredentialFieldName, ProviderInfo
from tradewright.domain.errors import InvalidInput

VALUE_LETTERS_MAX: Final = 4_096
HINT_LETTERS: Final = 4
_HINTED_LETTERS_MIN: Final = 12
"""Of what is shorter four letters would tell too much."""

# They stand in headers and addresses, so that no letter may end a line of one.
_ONE_WORD: Final = re.compile(r"[\x21-\x7e]+")
_ONE_LINE: Final = re.compile(r"[\x20-\x7e]+")
_PEM: Final = re.compile(r"-----BEGIN [A-Z0-9 ]+-----[\x20-\x7e\r\n\t]+")
_TOLD: Final[tuple[CredentialFieldName, ...]] = ("api_key", "wallet_address", "uid")


def checked_fields(info: ProviderInfo, given: Mapping[str, str]) -> dict[CredentialFieldName, str]:
    """The fields as they are kept; ``InvalidInput`` names what is missing, unknown or no key. What was given
    is never repeated, since somebody may have put a secret into the wrong place."""
    declared = {field.name: field for field in info.credential_fields}
    if not declared:
        raise InvalidInput(f"{info.name} takes no key.", {"provider": "takes no key"})
    wrong: dict[str, str] = {}
    if any(name not in declared for name in given):
        wrong["fields"] = f"takes {', '.join(declared)}, and nothing else"
    found: dict[CredentialFieldName, str] = {}
    for name, field in declared.items():
        value = given.get(name, "").strip()
        problem = _problem(name, value) if value else "required" if field.required else None
        if problem:
            wrong[f"fields.{name}"] = problem
        elif value:
            found[name] = value
    if not found and not wrong:
        wrong["fields"] = "required"
    if wrong:
        raise InvalidInput(f"This is no key for {info.name}.", wrong)
    return found


def hint_of(fields: Mapping[CredentialFieldName, str]) -> str:
    """The last letters of the key's public part, by which its owner knows it; empty where it has none. A
    secret is never hinted at."""
    for name in _TOLD:
        value = fields.get(name, "")
        if len(value) >= _HINTED_LETTERS_MIN:
            return value[-HINT_LETTERS:]
    return ""


def _problem(name: CredentialFieldName, value: str) -> str | None:
    if len(value) > VALUE_LETTERS_MAX:
        return f"at most {VALUE_LETTERS_MAX} letters"
    if name in ("secret", "private_key"):
        taken = _ONE_LINE.fullmatch(value) or _PEM.fullmatch(value)
    else:
        taken = (_ONE_LINE if name == "password" else _ONE_WORD).fullmatch(value)
    return None if taken else "has letters that no key has"
