"""Keys to a venue, which never show themselves."""

from __future__ import annotations

import hashlib
import json
import threading
import weakref
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, quote_plus

import msgspec

from tradewright.domain.capabilities import CredentialFieldName

_TRACE_LETTERS_MIN: Final = 6
"""What is shorter can't be told from ordinary words."""


class KeyPermissions(msgspec.Struct, frozen=True, kw_only=True):
    """What a key may do, as far as its venue says.

    ``permissions`` are words such as ``read``, ``spot``, ``margin``, ``futures``, ``options``, ``trade``,
    ``transfer`` and ``withdraw``; None where the venue does not say. ``can_withdraw``: whether what the
    account holds can be sent elsewhere with it; None where that is not known, which is no reason to believe
    that it can't. ``ip_restricted``: whether the venue takes it from certain addresses alone.
    """

    permissions: tuple[str, ...] | None = None
    can_withdraw: bool | None = None
    ip_restricted: bool | None = None


class Credentials:
    """The fields of one key. ``repr``, ``str`` and pickling give nothing away."""

    __slots__ = ("__weakref__", "_fields", "_traces")

    def __init__(self, fields: Mapping[CredentialFieldName, str]) -> None:
        self._fields = dict(fields)
        self._traces = tuple(
            sorted({t for v in fields.values() for t in _traces_of(v)}, key=len, reverse=True)
        )
        with _lock:
            _living.add(self)

    def reveal(self, name: CredentialFieldName) -> str | None:
        """The secret itself, for the plugin that signs with it."""
        return self._fields.get(name)

    def fingerprint(self) -> str:
        """A digest that tells two keys apart and nothing else."""
        digest = hashlib.blake2b(digest_size=16)
        for name, value in sorted(self._fields.items()):
            digest.update(f"{len(name)}:{name}{len(value)}:{value}".encode())
        return digest.hexdigest()

    def hide_in(self, text: str) -> str:
        """The text with each field of this key, in the forms in which one is written, masked."""
        for trace in self._traces:
            if trace in text:
                text = text.replace(trace, "***")
        return text

    def __repr__(self) -> str:
        return f"Credentials({', '.join(f'{name}=***' for name in sorted(self._fields))})"

    def __reduce__(self) -> str:
        raise TypeError("credentials are not to be serialised")


_lock = threading.Lock()
_living: weakref.WeakSet[Credentials] = weakref.WeakSet()


def living_credentials() -> tuple[Credentials, ...]:
    """All keys that anything in this process holds now; who writes a log masks them."""
    with _lock:
        return tuple(_living)


def _traces_of(value: str) -> set[str]:
    """What would give the value away, in the forms in which it may be written."""
    lines = {line.strip() for line in value.splitlines()} | {value}
    written = {form for line in lines for form in (line, quote(line, safe=""), quote(line), quote_plus(line))}
    written |= {write(line)[1:-1] for line in lines for write in (ascii, repr, json.dumps)}
    return {form for form in written if len(form) >= _TRACE_LETTERS_MIN and not form.startswith("-----")}
