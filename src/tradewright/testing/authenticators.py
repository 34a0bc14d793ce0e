"""Tokens and sessions in memory, for tests of what needs somebody to be logged in."""

from __future__ import annotations

from collections.abc import Callable

from tradewright.domain.errors import StorageUnavailable
from tradewright.domain.people import InvalidToken
from tradewright.runtime.clock import Clock
from tradewright.services.authentication import Identity


class MemoryAuthenticator:
    """Gives tokens to whoever is named, and ends their sessions.

    ``available`` False is a database that does not answer; ``tells`` False loses the notices of endings.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._identities: dict[str, Identity] = {}
        self._ended: set[str] = set()
        self._watchers: list[Callable[[str], None]] = []
        self.available = True
        self.tells = True
        self.asked = 0

    def issue(self, user: str, *, session: str, lifetime_s: float = 600.0) -> str:
        """A token of that user's session, for so long."""
        token = f"token-{len(self._identities)}"
        expires_at_ms = self._clock.now_ms() + round(lifetime_s * 1000)
        self._identities[token] = Identity(user, session, expires_at_ms)
        return token

    def end(self, session: str) -> None:
        """End the session, as logging out or revoking does."""
        self._ended.add(session)
        if self.tells:
            for watcher in self._watchers:
                watcher(session)

    async def authenticate(self, token: str) -> Identity:
        """Whose token it is."""
        self.asked += 1
        self._check_available()
        identity = self._identities.get(token)
        if identity is None or identity.session in self._ended:
            raise InvalidToken
        if identity.expires_at_ms <= self._clock.now_ms():
            raise InvalidToken
        return identity

    async def is_current(self, identity: Identity) -> bool:
        """Whether the session has not been ended."""
        self._check_available()
        return identity.session not in self._ended

    def watch_endings(self, ended: Callable[[str], None]) -> None:
        """Call this with each session that is ended."""
        self._watchers.append(ended)

    def _check_available(self) -> None:
        if not self.available:
            raise StorageUnavailable("The accounts can't be reached.")
