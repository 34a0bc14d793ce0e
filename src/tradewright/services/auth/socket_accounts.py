"""What sockets need of accounts, out of what accounts have."""

from __future__ import annotations

from collections.abc import Callable

from tradewright.domain.people import MissingScope
from tradewright.services.auth_service import AuthService
from tradewright.services.authentication import Identity


class SocketAccounts:
    """An ``Authenticator`` over accounts: access tokens of people, and API tokens of programs."""

    def __init__(self, auth: AuthService) -> None:
        self._auth = auth

    async def authenticate(self, token: str) -> Identity:
        """Whose token it is; ``InvalidToken``, ``MissingScope`` where it is not for reading."""
        caller = await self._auth.authenticate(token)
        if "read" not in caller.scopes:
            raise MissingScope("This token is not for reading.")
        return Identity(caller.user_id, caller.holder, caller.expires_ms)

    async def is_current(self, identity: Identity) -> bool:
        """Whether its session, or the API token, has not been ended."""
        return await self._auth.is_alive(identity.user, identity.session)

    def watch_endings(self, ended: Callable[[str], None]) -> None:
        """Call this with the session of each identity that is ended."""
        self._auth.watch_endings(ended)
