"""Clients of Redis that neither hang nor try again on their own.

As redis-py comes, a call to a dead server tries ten times, and one to a frozen server waits for
seconds; and what stands in the query of a URL wins over what the program wants.
"""

from __future__ import annotations

from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from tradewright.domain.errors import ConfigError

STEP_TIMEOUT_S: Final = 0.25
CONNECTIONS_MAX: Final = 16
_READ_BYTES: Final = 256 * 1024


def make_client(
    url: str, *, step_timeout_s: float | None = STEP_TIMEOUT_S, connections_max: int = CONNECTIONS_MAX
) -> Redis:
    """A client that connects when it is first used; ``ConfigError`` where the URL is none of Redis.

    ``step_timeout_s`` bounds each waiting for a connection, each sending and each reading; None leaves
    that to a caller that gives whole calls a deadline, which says more and costs less. No message of an
    error holds the URL, which may hold a password.
    """
    try:
        options: dict[str, Any] = dict(parse_url(url))
        options.update(
            max_connections=connections_max,
            timeout=step_timeout_s,
            socket_timeout=step_timeout_s,
            socket_connect_timeout=STEP_TIMEOUT_S,
            socket_read_size=_READ_BYTES,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
            decode_responses=False,
            protocol=2,
            driver_info=None,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        pool = BlockingConnectionPool(**options)
        # Opens nothing, but tells an option of the URL that there is not.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (TypeError, ValueError, AttributeError, OSError):
        problem = "TRADEWRIGHT_REDIS_URL is no address of a Redis server: give one such as redis://127.0.0.1:6379/0."
        raise ConfigError([problem]) from None
    return Redis.from_pool(pool)


def client_at(client: Redis, host: str, port: int) -> Redis:
    """A client like one of ``make_client``, for another node of the same cluster."""
    known = client.connection_pool
    assert isinstance(known, BlockingConnectionPool)
    options = {**known.connection_kwargs, "host": host, "port": port}
    return Redis.from_pool(
        BlockingConnectionPool(
            connection_class=known.connection_class,
            max_connections=known.max_connections,
            timeout=known.timeout,
            **options,
        )
    )
