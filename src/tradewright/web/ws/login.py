"""Who is at a socket, from one token to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tradewright.domain.errors import StorageUnavailable
from tradewright.domain.people import InvalidToken
from tradewright.runtime.clock import Clock
from tradewright.services.authentication import Authenticator, Identity
from tradewright.services.feeds.timing import within
from tradewright.web.protocol import TOKEN_BYTES_MAX, CloseCode, TokenExpiring
from tradewright.web.ws.session import Close, Reply

ANSWER_DEADLINE_S: Final = 5.0
WARNING_S: Final = 60.0
"""So long before its end a token is said to expire; after half of its time where that is shorter."""

_NEVER: Final = float("inf")


class Login:
    """One socket's user. Nobody at first; with a valid token somebody, until that ends or is renewed.

    ``identify`` counts the user's connections and raises where there are too many; ``ended`` tells whether a
    session has been ended already.
    """

    __slots__ = ("_authenticator", "_clock", "_ended", "_expires_s", "_identify", "_warned_s", "identity")

    def __init__(
        self,
        authenticator: Authenticator,
        clock: Clock,
        *,
        identify: Callable[[str], None],
        ended: Callable[[str], bool],
    ) -> None:
        self._authenticator = authenticator
        self._clock = clock
        self._identify = identify
        self._ended = ended
        self.identity: Identity | None = None
        self._expires_s = self._warned_s = _NEVER

    async def take(self, token: str) -> None:
        """Log in, or renew; ``InvalidToken``, ``LimitExceeded``, ``StorageUnavailable``. What was before
        holds on where this fails."""
        if len(token) > TOKEN_BYTES_MAX:
            raise InvalidToken
        work = self._authenticator.authenticate(token)
        try:
            identity = await within(self._clock, ANSWER_DEADLINE_S, work)
        except TimeoutError:
            raise StorageUnavailable("Who you are could not be looked up in time; try again.") from None
        left_s = (identity.expires_at_ms - self._clock.now_ms()) / 1000
        if left_s <= 0 or self._ended(identity.session):
            raise InvalidToken
        if self.identity is not None and self.identity.user != identity.user:
            raise InvalidToken("This token is another user's: open a connection of their own.")
        self._identify(identity.user)
        self.identity = identity
        # From here on monotonic time counts, which nobody sets.
        self._expires_s = self._clock.monotonic() + left_s
        self._warned_s = self._expires_s - min(WARNING_S, left_s / 2)

    def check(self) -> Reply | Close | None:
        """What is to be said or done at this time."""
        now_s = self._clock.monotonic()
        if now_s >= self._expires_s:
            return Close(CloseCode.TOKEN_EXPIRED, "token expired")
        if now_s >= self._warned_s:
            self._warned_s = _NEVER
            return Reply(TokenExpiring(in_ms=round((self._expires_s - now_s) * 1000)))
        return None
