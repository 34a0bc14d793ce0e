"""Keys to a venue, which never show themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from tradewright.domain.capabilities import CredentialFieldName


class Credentials:
    """The fields of one key. ``repr``, ``str`` and pickling give nothing away."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[CredentialFieldName, str]) -> None:
        self._fields = dict(fields)

    def reveal(self, name: CredentialFieldName) -> str | None:
        """The secret itself, for the plugin that signs with it."""
        return self._fields.get(name)

    def fingerprint(self) -> str:
        """A digest that tells two keys apart and nothing else."""
        digest = hashlib.blake2b(digest_size=16)
        for name, value in sorted(self._fields.items()):
            digest.update(f"{len(name)}:{name}{len(value)}:{value}".encode())
        return digest.hexdigest()

    def __repr__(self) -> str:
        return f"Credentials({', '.join(f'{name}=***' for name in sorted(self._fields))})"

    def __reduce__(self) -> str:
        raise TypeError("credentials are not to be serialised")
