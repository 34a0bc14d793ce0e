"""Who somebody is, by a token: what sockets need of accounts, and what they get where there are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from tradewright.domain.errors import NotFound
from tradewright.domain.people import InvalidToken
from tradewright.domain.streams import StreamKey

PrivateStream: TypeAlias = Literal["orders", "bot"]


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, the session in which they logged in, and how long the token says so (epoch ms)."""

    user: str
    session: str
    expires_at_ms: int


class Authenticator(Protocol):
    """Knows tokens and sessions. It never puts a token into a log, an error or an answer."""

    async def authenticate(self, token: str) -> Identity:
        """Whose token it is; ``InvalidToken``, or ``StorageUnavailable`` where that can't be told now."""
        ...

    async def is_current(self, identity: Identity) -> bool:
        """Whether the session has not been ended. Asked now and then, since a notice may be lost;
        ``StorageUnavailable`` where that can't be told now."""
        ...

    def watch_endings(self, ended: Callable[[str], None]) -> None:
        """Call this with the id of each session that is ended, by logging out or by being revoked."""
        ...


class NoAccounts:
    """Nobody can log in."""

    async def authenticate(self, token: str) -> Identity:
        """No token is valid."""
        raise InvalidToken

    async def is_current(self, identity: Identity) -> bool:
        """No session is."""
        return False

    def watch_endings(self, ended: Callable[[str], None]) -> None:
        """None ends."""


class PrivateStreams(Protocol):
    """The streams that only their owner may watch."""

    async def key(self, identity: Identity, stream: PrivateStream, subject: str) -> StreamKey:
        """The stream of that account or bot; ``NotFound`` where there is none, or it is another user's,
        which is not told apart."""
        ...


class NoPrivateStreams:
    """There are none yet."""

    async def key(self, identity: Identity, stream: PrivateStream, subject: str) -> StreamKey:
        """None."""
        raise NotFound("There is no such stream.")
