"""JSON from strangers: bounded depth, no key twice, nothing that is no JSON (``NaN``)."""

from __future__ import annotations

import json
import re
from typing import Final

from tradewright.domain.errors import MalformedInput

# Possessive, and an unclosed string reaches to the end: nothing is looked at twice, whatever is sent.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_AS_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NO_JSON: Final = "The message is not JSON as we take it."
_OTHERS: Final = bytes(sorted(set(range(256)) - set(b"{}[]")))


def parse_json(data: bytes, *, depth_max: int) -> object:
    """What the JSON says; ``MalformedInput`` where it is none, nested deeper, or names a key twice. Depth
    is looked at before anything is built."""
    brackets = _brackets_beyond(data, depth_max)
    if b"[]" in brackets:
        raise MalformedInput("The message is nested too deeply.")
    if brackets:
        raise MalformedInput(_NO_JSON)
    try:
        return json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise MalformedInput(_NO_JSON) from None


def _brackets_beyond(data: bytes, depth_max: int) -> bytes:
    """The brackets that nest deeper than allowed, as pairs, and those that don't match. Linear, and without a
    loop over bytes: each round takes the innermost pairs away."""
    left = _STRING.sub(b"", data).translate(_AS_BRACKETS, _OTHERS)
    for _ in range(depth_max):
        left = left.replace(b"[]", b"")
    return left


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice")
    return result


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON")
