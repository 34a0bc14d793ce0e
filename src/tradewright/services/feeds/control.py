"""What the processes that share a feed tell each other, on one channel for each feed."""

from __future__ import annotations

import logging
from typing import Final, NamedTuple, TypeAlias

import msgspec

from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.streams import StreamKey, StreamKind
from tradewright.services.feeds.topic import TopicState

_log = logging.getLogger(__name__)


class FeedKey(NamedTuple):
    """Names one upstream feed: all timeframes of a symbol share one."""

    kind: StreamKind
    instrument: InstrumentKey

    @property
    def name(self) -> str:
        """The name of its lease and of its control channel."""
        instrument = self.instrument
        return ":".join(("feed", self.kind, instrument.market, instrument.provider, instrument.symbol))


class Rank(msgspec.Struct, frozen=True, order=True, array_like=True):
    """What a term of a keeper is known by; a later term has a higher one, and epochs begin with it.

    ``token`` is that of the lease. Who runs a feed without one, because the leases can't be had, goes on
    from the last token it knows, and ``alone`` is 1.
    """

    token: int = 0
    alone: int = 0
    process: str = ""

    def epoch(self, number: int) -> str:
        """The ``number``-th epoch of a process, in a term of this rank."""
        return f"{self.token:016d}.{self.alone}.{self.process}.{number:08d}"

    @classmethod
    def of_epoch(cls, epoch: str) -> Rank:
        """The rank of the term in which an epoch began; the lowest where it is no such name."""
        token, _, rest = epoch.partition(".")
        alone, _, rest = rest.partition(".")
        process, _, _ = rest.rpartition(".")
        return cls(int(token), int(alone), process) if token.isdecimal() and alone.isdecimal() else cls()


class Here(msgspec.Struct, frozen=True, tag=True):
    """The keeper says that it is; ``righted`` where it holds the lease."""

    rank: Rank
    righted: bool


class Want(msgspec.Struct, frozen=True, tag=True):
    """Who listens says what it wants, and the highest rank that it knows of."""

    streams: tuple[StreamKey, ...]
    seen: Rank


class Question(msgspec.Struct, frozen=True, tag=True):
    """Asks the keeper for the state of a stream, which is a want as well; the answer is a ``TopicState``."""

    stream: StreamKey
    reply_to: str


class Leaving(msgspec.Struct, frozen=True, tag=True):
    """The keeper has let the lease go."""

    process: str


ControlMessage: TypeAlias = Here | Want | Question | Leaving

_encoder: Final = msgspec.json.Encoder()
_control_decoder: Final[msgspec.json.Decoder[ControlMessage]] = msgspec.json.Decoder(ControlMessage)
_state_decoder: Final = msgspec.json.Decoder(TopicState)


def encode(message: ControlMessage | TopicState) -> bytes:
    """The message as it travels."""
    return _encoder.encode(message)


def control_message(channel: str, data: bytes) -> ControlMessage | None:
    """The message, or None where it can't be read, as one of another version may be."""
    try:
        return _control_decoder.decode(data)
    except msgspec.DecodeError as error:
        _log.warning("a message on %s could not be read: %s", channel, error)
        return None


def topic_state(channel: str, data: bytes) -> TopicState | None:
    """The answer, or None where it can't be read."""
    try:
        return _state_decoder.decode(data)
    except msgspec.DecodeError as error:
        _log.warning("an answer on %s could not be read: %s", channel, error)
        return None
