"""The nodes of a Redis: the one of the URL, or all that share the slots of a cluster."""

from __future__ import annotations

import asyncio
from typing import Final

from hiredis import ReplyError
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from tradewright.runtime.clock import Clock
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.storage.redis.address import RedisAddress
from tradewright.storage.redis.node import Node, NodesListener
from tradewright.storage.redis.wire import Reply, Wire, WireClosed

MAP_EACH_S: Final = 10.0
MAP_UNSETTLED_S: Final = 1.0
MAP_SOONEST_S: Final = 0.2
MAP_ANSWER_S: Final = 1.0


class Nodes:
    """Connects to the node of the address, and to all the others where that one is of a cluster.

    Which node has which slot is asked for anew every ten seconds, each second while one is away, and at
    once when a node says that a slot is another's.
    """

    def __init__(self, address: RedisAddress, clock: Clock, listener: NodesListener, *, name: str) -> None:
        self._clock = clock
        self._listener = listener
        self._tasks = TaskSupervisor(name)
        self._running: dict[Node, asyncio.Task[None]] = {}
        self._first = self._node(address)
        self._nowhere = self._node(address)  # has the slots that nobody has, and is never connected
        self._nowhere.problem = "Some slots of the cluster of Redis have no node."
        self._owners: list[Node] | None = None
        self._stale = asyncio.Event()
        self._closed = False

    @property
    def clustered(self) -> bool:
        """Whether the nodes are a cluster; False as long as that is not known."""
        return self._owners is not None

    @property
    def wanted(self) -> set[Node]:
        """The nodes that have something; that of the address as long as nothing is known of others."""
        return set(self._owners) if self._owners is not None else {self._first}

    def start(self) -> None:
        """Begin to connect, where that has not begun yet."""
        if not self._running and not self._closed:
            self._run(self._first)

    async def close(self) -> None:
        """End every connection; may be called twice."""
        self._closed = True
        await self._tasks.close()

    def node_of(self, name: bytes) -> Node:
        """The node that has the channel or key of this name."""
        return self._first if self._owners is None else self._owners[key_slot(name)]

    def refresh(self) -> None:
        """Ask soon which node has which slot."""
        self._stale.set()

    def _node(self, address: RedisAddress) -> Node:
        return Node(address, self._clock, self._listener, self._greet)

    def _run(self, node: Node) -> None:
        # A URL may hold any host; the name of a task says no address.
        self._running[node] = self._tasks.start("node", node.keep())

    async def _greet(self, node: Node, wire: Wire, cluster: bool) -> None:
        if not cluster:
            return
        if self._owners is None:
            self._adopt(node, await wire.call("CLUSTER", "SLOTS"))
            self._tasks.start("slots", self._keep_map())
        else:
            self.refresh()

    async def _keep_map(self) -> None:
        while True:
            unsettled = not all(node.up for node in self.wanted)
            try:
                async with asyncio.timeout(MAP_UNSETTLED_S if unsettled else MAP_EACH_S):
                    await self._stale.wait()
            except TimeoutError:
                pass
            self._stale.clear()
            await self._read_map()
            await self._clock.sleep(MAP_SOONEST_S)

    async def _read_map(self) -> None:
        """Take the word of the first node that answers; that one stands last the next time."""
        for node in list(self._running):
            if node.wire is None:
                continue
            try:
                async with asyncio.timeout(MAP_ANSWER_S):
                    self._adopt(node, await node.wire.call("CLUSTER", "SLOTS"))
            except (OSError, ReplyError):
                continue
            if node in self._running:
                self._running[node] = self._running.pop(node)
            return

    def _adopt(self, told_by: Node, slots: Reply) -> None:
        self._owners = owners = self._owners_of(told_by, slots)
        wanted = {self._first, *owners} - {self._nowhere}
        for node in self._running.keys() - wanted:
            self._running.pop(node).cancel()
        for node in wanted - self._running.keys():
            self._run(node)
        self._listener.remapped()

    def _owners_of(self, told_by: Node, slots: Reply) -> list[Node]:
        """The node of each slot, as ``CLUSTER SLOTS`` tells them; a node that is known stays itself."""
        if isinstance(slots, ReplyError):
            raise slots
        known = {(each.address.host, each.address.port): each for each in [*self._running, self._first]}
        owners = [self._nowhere] * REDIS_CLUSTER_HASH_SLOTS
        try:
            for first, last, (host, port, *_), *_replicas in slots:
                address = told_by.address.at((host or b"").decode(), port)
                place = (address.host, address.port)
                node = known[place] = known.get(place) or self._node(address)
                owners[first : last + 1] = [node] * (last + 1 - first)
        except (TypeError, ValueError):
            raise WireClosed("What answers at that address is no cluster of Redis.") from None
        return owners
