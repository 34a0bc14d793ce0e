"""Keys to a venue, which never show themselves."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import quote, quote_plus

import msgspec

from tradewright.domain.capabilities import CredentialFieldName

_TRACE_LETTERS_MIN: Final = 6
"""What is shorter is in every line, and no venue gives it as a key."""
_WORD: Final = re.compile(r"[a-z]{1,11}|[A-Z][a-z]{1,10}|[A-Z]{1,11}|[0-9]{1,11}")
"""What may be an ordinary word or number. A venue makes its keys by chance and longer, so that none looks
like this; a passphrase that somebody chose may, or a number of an account. Masked wherever it stands it would
let whoever keeps such a key blot a word of their choice out of everybody's log; so it is masked as a value
alone."""


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

    __slots__ = ("__weakref__", "_as_values", "_fields", "_traces")

    def __init__(self, fields: Mapping[CredentialFieldName, str]) -> None:
        self._fields = dict(fields)
        traces = {trace for value in fields.values() for trace in _traces_of(value)}
        words = sorted(trace for trace in traces if _WORD.fullmatch(trace))
        self._traces = tuple(sorted(traces.difference(words)))
        self._as_values = _as_value(words) if words else None
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
        """The text with each field of this key, in the forms in which one is written, masked. A short word or
        number is where it stands as a value: in quotes, or behind a colon or a sign of equality."""
        return hide_all((self,), text)

    def spans_in(self, text: str) -> Iterator[tuple[int, int]]:
        """Where something of this key stands in the text, from and to; they may overlap."""
        for trace in self._traces:
            at = text.find(trace)
            while at >= 0:
                yield at, at + len(trace)
                at = text.find(trace, at + 1)
        if self._as_values is not None:
            yield from (found.span() for found in self._as_values.finditer(text))

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


def hide_all(held: Iterable[Credentials], text: str) -> str:
    """The text with whatever belongs to one of these keys masked: all of it, also where a part of one is the
    whole of another, or two of them overlap."""
    shown: list[str] = []
    at = 0
    spans = sorted(span for credentials in held for span in credentials.spans_in(text))
    for begin, end in spans:
        if begin > at or not shown:
            shown += [text[at:begin], "***"]
        at = max(at, end)
    return "".join(shown) + text[at:]


def _as_value(words: Iterable[str]) -> re.Pattern[str]:
    any_of_them = "|".join(words)
    return re.compile(rf"""(?:(?<=["'=:])|(?<=[=:]\s))(?:{any_of_them})(?![\w-])""")


def _traces_of(value: str) -> set[str]:
    """What would give the value away, in the forms in which it may be written."""
    lines = {line.strip() for line in value.splitlines()} | {value}
    written = {form for line in lines for form in (line, quote(line, safe=""), quote(line), quote_plus(line))}
    written |= {write(line)[1:-1] for line in lines for write in (ascii, repr, json.dumps)}
    return {form for form in written if len(form) >= _TRACE_LETTERS_MIN and not form.startswith("-----")}
