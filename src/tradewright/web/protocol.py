"""The messages of ``/api/v1/ws``, as structs; the browser's types are generated from the two tuples below.

Every client message carries an ``id`` that increases; every one is answered by ``ok``, ``pong`` or
``error`` with that ``id``. Unknown fields are refused.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from tradewright.domain.streams import FeedStatus, Snapshot, Update

SUBPROTOCOL: Final = "tradewright.v1"
MESSAGE_BYTES_MAX: Final = 64 * 1024
TOKEN_BYTES_MAX: Final = 4_096
HISTORY_DEFAULT: Final = 500
HISTORY_MAX: Final = 5_000

MessageId: TypeAlias = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Word: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
ResyncReason: TypeAlias = Literal["slow_client", "epoch_changed"]


class ResumePoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last update that the client has of a topic."""

    epoch: Annotated[str, Meta(min_length=1, max_length=128)]
    seq: Annotated[int, Meta(ge=0, le=2**53 - 1)]


class Subscribe(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="subscribe", tag_field="type"
):
    """Watch a stream. ``market``, ``provider`` and ``symbol`` go with the market streams, none with
    ``backfills``,
    ``timeframe`` (required) and ``history`` (bars in the snapshot) with ``ohlcv`` alone,
    ``account_id`` with ``orders``, ``bot_id`` with ``bot``."""

    id: MessageId
    stream: Literal["ohlcv", "trades", "ticker", "order_book", "backfills", "orders", "bot"]
    market: Word | None = None
    provider: Word | None = None
    symbol: Word | None = None
    timeframe: Word | None = None
    history: Annotated[int, Meta(ge=1, le=HISTORY_MAX)] | None = None
    resume: ResumePoint | None = None
    account_id: Word | None = None
    bot_id: Word | None = None


class Unsubscribe(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="unsubscribe", tag_field="type"
):
    """Stop watching; ``topic`` as the answer to the subscription gave it."""

    id: MessageId
    topic: Annotated[str, Meta(min_length=1, max_length=256)]


class Authenticate(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag="authenticate",
    tag_field="type",
):
    """Say who is there, or renew it on an open socket."""

    id: MessageId
    token: Annotated[str, Meta(min_length=1, max_length=TOKEN_BYTES_MAX)]


class Ping(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ping", tag_field="type"
):
    """Ask whether the server is there."""

    id: MessageId


class Ok(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="ok", tag_field="type"):
    """The request was carried out; ``topic`` is set for a subscription and its end."""

    id: int
    topic: str | None = None


class Error(msgspec.Struct, frozen=True, kw_only=True, tag="error", tag_field="type"):
    """The request was not carried out; ``id`` is null where the message could not be read.

    ``code`` is stable, ``message`` a sentence for people.
    """

    id: int | None
    code: str
    message: str


class Pong(msgspec.Struct, frozen=True, kw_only=True, tag="pong", tag_field="type"):
    """The answer to a ping."""

    id: int


class Resync(msgspec.Struct, frozen=True, kw_only=True, tag="resync", tag_field="type"):
    """What the client holds of the topic is no longer whole; a snapshot follows."""

    topic: str
    reason: ResyncReason


class TokenExpiring(msgspec.Struct, frozen=True, kw_only=True, tag="token_expiring", tag_field="type"):
    """The socket will be closed with 4401 unless a fresh token arrives before then."""

    in_ms: int


class Draining(msgspec.Struct, frozen=True, kw_only=True, tag="draining", tag_field="type"):
    """The server is going away and will close the socket with 1012."""

    in_ms: int


ClientMessage: TypeAlias = Subscribe | Unsubscribe | Authenticate | Ping
ServerMessage: TypeAlias = (
    Ok | Error | Pong | Snapshot | Update | FeedStatus | Resync | TokenExpiring | Draining
)

CLIENT_MESSAGES: Final = (Subscribe, Unsubscribe, Authenticate, Ping)
SERVER_MESSAGES: Final = (Ok, Error, Pong, Snapshot, Update, FeedStatus, Resync, TokenExpiring, Draining)
"""An ``Update`` with several bars holds the last state of each, ascending; all but the last of them
are final, and ``final`` speaks of the last."""


class CloseCode:
    """Why a socket was closed by us."""

    NORMAL: Final = 1000
    INVALID_DATA: Final = 1007
    POLICY: Final = 1008
    TOO_LARGE: Final = 1009
    NO_PONG: Final = 1011
    RESTART: Final = 1012
    SLOW_CLIENT: Final = 1013
    TOKEN_EXPIRED: Final = 4401
