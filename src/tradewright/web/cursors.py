"""Pages of lists, and their cursors: where the next one begins, opaque to clients."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias, TypeVar

import msgspec

from tradewright.domain.errors import InvalidInput
from tradewright.web.models import PageQuery

ItemT = TypeVar("ItemT")
Position: TypeAlias = tuple[int, str]
"""Where an item stands in its list, ascending: a time (negative where the newest comes first), and an id."""
PositionT = TypeVar("PositionT")
_encoder: Final = msgspec.json.Encoder()


def after_of(query: PageQuery) -> Position | None:
    """Behind which position the page begins; None for the first one. ``InvalidInput``."""
    return None if query.cursor is None else read_cursor(query.cursor, tuple[int, str])


def page_of(
    found: Sequence[ItemT], query: PageQuery, position: Callable[[ItemT], Position]
) -> tuple[Sequence[ItemT], str | None]:
    """The page, and the cursor of the next; ``found`` are the items behind ``after_of``, one more than
    ``query.limit`` of them where there are more."""
    page = found[: query.limit]
    return page, write_cursor(position(page[-1])) if len(found) > len(page) else None


def page_of_all(
    items: Iterable[ItemT], query: PageQuery, position: Callable[[ItemT], Position]
) -> tuple[Sequence[ItemT], str | None]:
    """The same of a list that is short enough to be read whole, whatever its order."""
    after = after_of(query)
    behind = [item for item in items if after is None or position(item) > after]
    return page_of(sorted(behind, key=position), query, position)


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
