"""Client messages from bytes, strictly: bounded size and depth, no duplicate keys, no unknown fields."""

from __future__ import annotations

import json
import re
from typing import Final

import msgspec

from tradewright.domain.errors import InvalidInput, MalformedInput
from tradewright.web.protocol import ClientMessage

DEPTH_MAX: Final = 5
# Possessive, and an unclosed string reaches to the end: nothing is looked at twice, whatever is sent.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_AS_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_OTHERS: Final = bytes(sorted(set(range(256)) - set(b"{}[]")))
_decoder: Final[msgspec.json.Decoder[ClientMessage]] = msgspec.json.Decoder(ClientMessage)


class UnreadableMessage(InvalidInput):
    """The message can't be taken; ``id`` is the one it carried, where that much could be read."""

    def __init__(self, message: str, message_id: int | None, code: str) -> None:
        super().__init__(message)
        self.id = message_id
        self.code = code


def decode(data: bytes) -> ClientMessage:
    """The message; ``UnreadableMessage`` where it is none of ours."""
    fields = _parse(data)
    message_id = fields.get("id") if isinstance(fields, dict) else None
    if type(message_id) is not int or not 0 <= message_id < 2**53:
        message_id = None
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError as error:
        raise UnreadableMessage(f"{error}.", message_id, InvalidInput.code) from None
    except msgspec.DecodeError as error:
        raise UnreadableMessage(f"{error}.", None, MalformedInput.code) from None


def _parse(data: bytes) -> object:
    """What the JSON says; duplicate keys and deep nesting are refused before anything is built from it."""
    if _too_deep(data):
        raise UnreadableMessage("The message is nested too deeply.", None, MalformedInput.code)
    try:
        return json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise UnreadableMessage("The message is not JSON as we take it.", None, MalformedInput.code) from None


def _too_deep(data: bytes) -> bool:
    """Whether brackets nest deeper than allowed, or don't match. Linear, and without a loop over bytes:
    each round takes the innermost pairs away."""
    left = _STRING.sub(b"", data).translate(_AS_BRACKETS, _OTHERS)
    for _ in range(DEPTH_MAX):
        left = left.replace(b"[]", b"")
    return bool(left)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice")
    return result


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON")
