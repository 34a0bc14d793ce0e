"""Leases in Redis, for all processes that use the same one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from hiredis import ReplyError

from tradewright.domain.ports import Lease, LeasesUnavailable
from tradewright.runtime.clock import Clock
from tradewright.storage.redis.address import RedisAddress
from tradewright.storage.redis.cache import PREFIX
from tradewright.storage.redis.node import Node, NodesListener, said_by_redis
from tradewright.storage.redis.nodes import Nodes
from tradewright.storage.redis.wire import Reply, Wire, WireClosed, Word

DEADLINE_S: Final = 0.25
KEPT_S: Final = 86_400
"""For so long the last token of a name is remembered; after that, the time alone makes tokens rise."""

# A lease is one key, so that its script finds all it needs on one node of a cluster. It outlives the lease,
# whose end stands in it: so no token comes twice.
_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('HMGET', KEYS[1], 'owner', 'token', 'until')
local valid = held[1] and tonumber(held[3]) > now
"""
_KEEP: Final = f"""
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ARGV[2] + {KEPT_S * 1000}))
"""
_ACQUIRE: Final = f"""{_NOW}
if valid and held[1] ~= ARGV[1] then return false end
local token = math.max((tonumber(held[2]) or 0) + 1, now)
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'token', string.format('%.0f', token),
           'until', string.format('%.0f', now + ARGV[2]))
{_KEEP}
return token
"""
_RENEW: Final = f"""{_NOW}
if not valid or held[1] ~= ARGV[1] or held[2] ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + ARGV[2]))
{_KEEP}
return 1
"""
_RELEASE: Final = """
local held = redis.call('HMGET', KEYS[1], 'owner', 'token')
if held[1] == ARGV[1] and held[2] == ARGV[2] then return redis.call('HDEL', KEYS[1], 'owner', 'until') end
return 0
"""


class RedisLeases:
    """Each call is one script per lease, sent to the node that has it together with the others of that node;
    tried once, and over within ``deadline_s``.

    Time is that of Redis alone. A token is at least the time in milliseconds, so that tokens rise even
    where Redis has lost everything.
    """

    def __init__(
        self, address: RedisAddress, clock: Clock, *, prefix: str = PREFIX, deadline_s: float = DEADLINE_S
    ) -> None:
        self._listener = _Leases()
        self._nodes = Nodes(address, clock, self._listener, name="leases")
        self._prefix = f"{prefix}:lease:"
        self._deadline_s = deadline_s
        self._closed = False

    async def acquire(self, name: str, owner: str, ttl_s: float) -> Lease | None:
        """Have the lease for so many seconds; None where another owner has it."""
        token = await self._run(_ACQUIRE, name, owner, _ms(ttl_s))
        return None if token is None else Lease(name, owner, token)

    async def renew(self, leases: Sequence[Lease], ttl_s: float) -> list[bool | None]:
        """Have each of them for so many seconds from now; False for one that is not the present one, None
        where the node that has it does not answer."""
        answers = await asyncio.gather(*(self._renew(lease, _ms(ttl_s)) for lease in leases))
        refusals = [answer for answer in answers if isinstance(answer, LeasesUnavailable)]
        if refusals and len(refusals) == len(answers):
            raise refusals[0]
        return [None if isinstance(answer, LeasesUnavailable) else answer for answer in answers]

    async def release(self, lease: Lease) -> None:
        """Let it go, where it is still the present one of its name."""
        await self._run(_RELEASE, lease.name, lease.owner, lease.token)

    async def close(self) -> None:
        """End the connections; may be called twice."""
        self._closed = True
        await self._nodes.close()

    async def _renew(self, lease: Lease, ttl_ms: int) -> bool | LeasesUnavailable:
        try:
            answer: Reply = await self._run(_RENEW, lease.name, lease.owner, ttl_ms, lease.token)
        except LeasesUnavailable as error:
            return error
        return bool(answer == 1)

    async def _run(self, script: str, name: str, *words: Word) -> Reply:
        if self._closed:
            raise LeasesUnavailable("The leases are closed.")
        self._nodes.start()
        key = (self._prefix + name).encode()
        try:
            async with asyncio.timeout(self._deadline_s):
                wire = await self._wire(key)
                reply: Reply = await wire.call("EVAL", script, 1, key, *words)
        except TimeoutError:
            raise LeasesUnavailable("Redis did not answer in time.") from None
        except WireClosed as error:
            raise LeasesUnavailable(str(error)) from None
        if isinstance(reply, ReplyError):
            if str(reply).startswith("MOVED "):
                self._nodes.refresh()
            raise LeasesUnavailable(said_by_redis(str(reply)))
        return reply

    async def _wire(self, key: bytes) -> Wire:
        """The connection to the node that has the key; it is waited for where it was never lost."""
        while True:
            node = self._nodes.node_of(key)
            if node.wire is not None:
                return node.wire
            if node.problem is not None:
                raise WireClosed(node.problem)
            self._listener.changed.clear()
            await self._listener.changed.wait()


class _Leases(NodesListener):
    """Tells when there is something new about a node."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = asyncio.Event()

    def connected(self, node: Node) -> None:
        node.up = True
        self.changed.set()

    def lost(self, node: Node, wire: Wire | None) -> None:
        self.changed.set()

    def remapped(self) -> None:
        self.changed.set()


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
