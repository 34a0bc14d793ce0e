"""One client's conversation, without I/O: what it sends in, what is to be done out.

A message that can't be read is answered by an error and the session goes on; only abuse ends it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeAlias

import msgspec

from tradewright.domain.errors import InvalidInput, LimitExceeded, LoginRequired, TradewrightError
from tradewright.domain.instruments import check_identifier, check_symbol
from tradewright.domain.streams import StreamKey
from tradewright.domain.timeframes import Timeframe
from tradewright.services.authentication import PrivateStream
from tradewright.services.subscription_service import ResumeFrom
from tradewright.web.protocol import (
    HISTORY_DEFAULT,
    MESSAGE_BYTES_MAX,
    Authenticate,
    ClientMessage,
    CloseCode,
    Error,
    Ping,
    Pong,
    ServerMessage,
    Subscribe,
    Unsubscribe,
)
from tradewright.web.ws.allowance import Allowance
from tradewright.web.ws.decoding import UnreadableMessage, decode

_encoder: Final = msgspec.json.Encoder()
_MISPLACED: Final = ("account_id", "bot_id")
_OF_BARS: Final = ("timeframe", "history")


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How fast a client may talk. The burst lets it renew all of its views at once."""

    messages_per_s: float = 20.0
    burst: int = 200
    refused_max: int = 10_000
    refused_bytes_max: int = 4 * 1024 * 1024
    """A client that goes on for so many refused messages, or so many bytes of them, is sent away. Both
    counts begin again once it has been quiet for as long as the burst takes to come back."""


@dataclass(frozen=True)
class Reply:
    """Send this."""

    message: ServerMessage

    @cached_property
    def data(self) -> bytes:
        """The message as it goes over the wire."""
        return _encoder.encode(self.message)


@dataclass(frozen=True, slots=True)
class OpenView:
    """Watch this, and answer ``id``."""

    id: int
    key: StreamKey
    history: int | None
    resume: ResumeFrom | None


@dataclass(frozen=True, slots=True)
class OpenPrivateView:
    """Watch the stream of this account or bot, if it is the user's, and answer ``id``."""

    id: int
    stream: PrivateStream
    subject: str
    resume: ResumeFrom | None


@dataclass(frozen=True, slots=True)
class TakeToken:
    """Find out whose token this is, and answer ``id``, if any; what follows is to be read after that."""

    id: int | None
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EndView:
    """Stop watching this, and answer ``id``."""

    id: int
    topic: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket."""

    code: int
    reason: str


Action: TypeAlias = Reply | OpenView | OpenPrivateView | TakeToken | EndView | Close


def error_reply(message_id: int | None, error: TradewrightError) -> Reply:
    """The error as an answer."""
    return Reply(Error(id=message_id, code=error.code, message=error.message))


class WsSession:
    """Takes messages in order; time is given from outside, in monotonic seconds, and whether the client has
    ``logged_in``."""

    __slots__ = (
        "_allowance",
        "_last_id",
        "_limits",
        "_login_first",
        "_refusal",
        "_refused",
        "_refused_bytes",
        "logged_in",
    )

    def __init__(
        self, now_s: float, limits: SessionLimits = SessionLimits(), *, login_first: bool = False
    ) -> None:
        """``login_first``: nothing is shown to somebody who has not logged in."""
        self.logged_in = False
        self._login_first = login_first
        self._limits = limits
        self._last_id: int | None = None
        self._allowance = Allowance(now_s, per_s=limits.messages_per_s, burst=limits.burst)
        self._refused = self._refused_bytes = 0
        self._refusal: Reply | None = None

    def receive(self, data: str | bytes, now_s: float) -> Action:
        """What is to be done about a message."""
        if len(data) > MESSAGE_BYTES_MAX:
            return Close(CloseCode.TOO_LARGE, "message too large")
        if self._allowance.earn(now_s):
            self._refused = self._refused_bytes = 0
        if not self._allowance.spend():
            return self._refuse(len(data))
        if isinstance(data, str):
            # A lone surrogate can't come from UTF-8, but must not break us either.
            data = data.encode(errors="replace")
            if len(data) > MESSAGE_BYTES_MAX:
                return Close(CloseCode.TOO_LARGE, "message too large")
        try:
            message = decode(data)
        except UnreadableMessage as error:
            return error_reply(error.id, error)
        return self._act_on(message)

    def _refuse(self, size: int) -> Action:
        """Answer what came too fast without looking at it, so that its ``id`` stays unknown."""
        self._refused += 1
        self._refused_bytes += size
        limits = self._limits
        if self._refused > limits.refused_max or self._refused_bytes > limits.refused_bytes_max:
            return Close(CloseCode.POLICY, "too many messages")
        if self._refusal is None:
            # One answer for all, encoded once: what is refused must cost next to nothing.
            too_fast = LimitExceeded(f"Send no more than {limits.messages_per_s:g} messages a second.")
            self._refusal = error_reply(None, too_fast)
        return self._refusal

    def _act_on(self, message: ClientMessage) -> Action:
        try:
            self._check_id(message.id)
            match message:
                case Ping():
                    return Reply(Pong(id=message.id))
                case Authenticate():
                    return TakeToken(message.id, message.token)
                case Unsubscribe():
                    return EndView(message.id, message.topic)
                case Subscribe():
                    return self._open(message)
        except TradewrightError as error:
            return error_reply(message.id, error)

    def _open(self, message: Subscribe) -> OpenView | OpenPrivateView:
        resume = ResumeFrom(message.resume.epoch, message.resume.seq) if message.resume else None
        private = message.stream == "orders" or message.stream == "bot"
        if (private or self._login_first) and not self.logged_in:
            raise LoginRequired("Log in to watch this.")
        if message.stream == "orders" or message.stream == "bot":
            return OpenPrivateView(message.id, message.stream, _subject(message), resume)
        history = None if message.stream != "ohlcv" else (message.history or HISTORY_DEFAULT)
        return OpenView(message.id, _stream_key(message), history, resume)

    def _check_id(self, message_id: int) -> None:
        if self._last_id is not None and message_id <= self._last_id:
            raise InvalidInput("Ids must increase from message to message.", {"id": "must increase"})
        self._last_id = message_id


def _subject(message: Subscribe) -> str:
    """The account or bot that is named."""
    wanted, other = ("account_id", "bot_id") if message.stream == "orders" else ("bot_id", "account_id")
    _refuse_misplaced(message, "market", "provider", "symbol", other, *_OF_BARS)
    subject: str | None = getattr(message, wanted)
    if subject is None:
        raise InvalidInput(f"{wanted} must be given.", {wanted: "required"})
    return subject


def _stream_key(message: Subscribe) -> StreamKey:
    """The stream that is asked for; ``InvalidInput`` where the fields don't make one."""
    if message.stream == "backfills":
        _refuse_misplaced(message, "market", "provider", "symbol", *_MISPLACED, *_OF_BARS)
        return StreamKey(kind="backfills")
    fields: dict[str, str | None] = {
        "market": message.market,
        "provider": message.provider,
        "symbol": message.symbol,
    }
    missing = [name for name, value in fields.items() if value is None]
    if message.stream == "ohlcv" and message.timeframe is None:
        missing.append("timeframe")
    if missing:
        raise InvalidInput(f"{', '.join(missing)} must be given.", dict.fromkeys(missing, "required"))
    _refuse_misplaced(message, *_MISPLACED, *(() if message.stream == "ohlcv" else _OF_BARS))
    assert message.market
    assert message.provider
    assert message.symbol
    assert message.stream != "orders"
    assert message.stream != "bot"
    return StreamKey(
        kind=message.stream,
        market=check_identifier("market", message.market),
        provider=check_identifier("provider", message.provider),
        symbol=check_symbol(message.symbol),
        timeframe=Timeframe.parse(message.timeframe).name if message.timeframe else None,
    )


def _refuse_misplaced(message: Subscribe, *names: str) -> None:
    wrong = [name for name in names if getattr(message, name) is not None]
    if wrong:
        raise InvalidInput(
            f"{', '.join(wrong)} does not go with {message.stream}.", dict.fromkeys(wrong, "unknown")
        )
