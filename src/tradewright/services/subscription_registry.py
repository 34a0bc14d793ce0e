"""``SubscriptionRegistry``: who watches what in this process, and how much of it is allowed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tradewright.domain.errors import LimitExceeded, TooManySubscriptions


@dataclass(frozen=True, slots=True)
class SubscriptionLimits:
    """How much one connection, one logged-in user and one address may have open."""

    views_per_connection: int = 200
    connections_per_user: int = 5
    connections_per_address: int = 100


@dataclass(slots=True)
class _Connection:
    address: str
    user: str | None = None
    topics: dict[str, None] = field(default_factory=dict)


class SubscriptionRegistry:
    """Connections, their topics, and the counts of both. Knows nothing of sockets or feeds."""

    def __init__(self, limits: SubscriptionLimits = SubscriptionLimits()) -> None:
        self.limits = limits
        self._connections: dict[str, _Connection] = {}
        self._viewers: Counter[str] = Counter()
        self._by_address: Counter[str] = Counter()
        self._by_user: Counter[str] = Counter()

    def check_address(self, address: str) -> None:
        """``LimitExceeded`` where the address has as many connections as it may."""
        if self._by_address[address] >= self.limits.connections_per_address:
            raise LimitExceeded("Too many connections come from this address.")

    def connect(self, connection: str, address: str) -> None:
        """Note a new connection; ``LimitExceeded`` where its address has too many."""
        assert connection not in self._connections, "a connection is noted once"
        self.check_address(address)
        self._connections[connection] = _Connection(address)
        self._by_address[address] += 1

    def identify(self, connection: str, user: str) -> None:
        """Note whose connection it is; ``LimitExceeded`` where that user has too many."""
        entry = self._connections[connection]
        if entry.user == user:
            return
        if self._by_user[user] >= self.limits.connections_per_user:
            raise LimitExceeded(f"You have {self.limits.connections_per_user} connections open already.")
        self._count_down(self._by_user, entry.user)
        entry.user = user
        self._by_user[user] += 1

    def add(self, connection: str, topic: str) -> bool:
        """Note that the connection watches the topic; False where it did already.

        ``TooManySubscriptions`` where that would be more than it may.
        """
        topics = self._connections[connection].topics
        if topic in topics:
            return False
        if len(topics) >= self.limits.views_per_connection:
            raise TooManySubscriptions(f"A connection may watch {self.limits.views_per_connection} topics.")
        topics[topic] = None
        self._viewers[topic] += 1
        return True

    def remove(self, connection: str, topic: str) -> bool:
        """Note that it watches the topic no more; False where it did not."""
        topics = self._connections[connection].topics
        if topic not in topics:
            return False
        del topics[topic]
        self._count_down(self._viewers, topic)
        return True

    def disconnect(self, connection: str) -> tuple[str, ...]:
        """Forget the connection; the topics that it watched. Nothing where it is not known."""
        entry = self._connections.pop(connection, None)
        if entry is None:
            return ()
        self._count_down(self._by_address, entry.address)
        self._count_down(self._by_user, entry.user)
        for topic in entry.topics:
            self._count_down(self._viewers, topic)
        return tuple(entry.topics)

    def topics(self, connection: str) -> tuple[str, ...]:
        """What the connection watches."""
        return tuple(self._connections[connection].topics)

    def viewers(self, topic: str) -> int:
        """How many connections watch the topic."""
        return self._viewers[topic]

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    @property
    def watched(self) -> dict[str, int]:
        """The topics that somebody watches, and how many do."""
        return dict(self._viewers)

    @staticmethod
    def _count_down(counts: Counter[str], name: str | None) -> None:
        if name is None:
            return
        counts[name] -= 1
        if counts[name] <= 0:
            del counts[name]
