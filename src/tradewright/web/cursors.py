"""Cursors of lists: where the next page begins, opaque to clients."""

from __future__ import annotations

import base64
import binascii
from typing import Final, TypeVar

import msgspec

from tradewright.domain.errors import InvalidInput

PositionT = TypeVar("PositionT")
_encoder: Final = msgspec.json.Encoder()


def write_cursor(position: object) -> str:
    """The position of the last item of a page, as a client gives it back."""
    return base64.urlsafe_b64encode(_encoder.encode(position)).decode("ascii").rstrip("=")


def read_cursor(cursor: str, kind: type[PositionT]) -> PositionT:
    """The position that was written; ``InvalidInput`` where it is none of ours."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        data = base64.b64decode(padded, altchars=b"-_", validate=True)
        _check_numbers(msgspec.json.decode(data))
        return msgspec.json.decode(data, type=kind)
    except (binascii.Error, msgspec.DecodeError, UnicodeError, ValueError):
        raise InvalidInput("The cursor is not one of ours.", {"cursor": "not valid"}) from None


def _check_numbers(position: object) -> None:
    """``ValueError`` where a number is larger than a database can hold."""
    parts = position if isinstance(position, list) else [position]
    if any(isinstance(part, int) and abs(part) >= 1 << 63 for part in parts):
        raise ValueError("a number is too large")
