"""Where a Redis is and how one logs in there, from its URL."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace

from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection

from tradewright.storage.redis.client import make_client


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """One node. ``path`` is a socket of Unix, and wins over ``host`` and ``port``. The words of the login
    are in no text that is made of it."""

    host: str = ""
    port: int = 0
    path: str = ""
    login: tuple[str, str] | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of_url(cls, url: str) -> RedisAddress:
        """The address; ``ConfigError`` where the URL is none of Redis."""
        # Connects to nothing, but reads the URL and its options as the client of the cache does.
        known = make_client(url).connection_pool.make_connection()  # type: ignore[no-untyped-call]
        login = (known.username or "default", known.password) if known.password else None
        if isinstance(known, UnixDomainSocketConnection):
            return cls(path=known.path, login=login)
        tls = known.ssl_context.get() if isinstance(known, SSLConnection) else None
        return cls(known.host, int(known.port), login=login, tls=tls)

    def at(self, host: str, port: int) -> RedisAddress:
        """Another node of the same cluster; its ``host`` is empty where it is the one that was asked."""
        return replace(self, host=host or self.host, port=port, path="")
