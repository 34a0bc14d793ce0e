"""Which channels this process listens to, and on which node of a Redis each is subscribed to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from tradewright.runtime.clock import Clock
from tradewright.runtime.metrics import BusMetrics
from tradewright.storage.redis.channels import Channel
from tradewright.storage.redis.node import Node, NodesListener, said_by_redis
from tradewright.storage.redis.nodes import Nodes
from tradewright.storage.redis.wire import Changes, Wire, pack

_log = logging.getLogger(__name__)

_NAMES_MAX: Final = 1_000


class Subscriptions(NodesListener):
    """One subscription for each channel, however many listen to it; made anew when a connection is."""

    def __init__(self, clock: Clock, metrics: BusMetrics) -> None:
        super().__init__()
        self.nodes: Nodes
        self.channels: dict[bytes, Channel] = {}
        self.on_publish_lost: list[Callable[[], None]] = []
        self.lost_messages = 0
        self.lost_connections = 0
        self._clock = clock
        self._metrics = metrics
        self._asked: dict[bytes, Node] = {}
        self._changed: set[bytes] = set()
        self._alone_since_s: float | None = None
        self._told = 0

    def channel(self, name: bytes) -> Channel:
        """The channel of that name, which ends when ``change`` finds that nobody listens to it."""
        known = self.channels.get(name)
        if known is None:
            known = self.channels[name] = Channel(name, self.sinks)
        return known

    def change(self, name: bytes) -> None:
        """Join or leave the channel, as somebody listens to it or not; all changes of one turn of the
        event loop leave together."""
        if not self._changed:
            asyncio.get_running_loop().call_soon(self._make_changes)
        self._changed.add(name)

    def hand_over(self, name: bytes, message: bytes) -> None:
        """Give a message that can't be sent to those who listen in this process."""
        self._count_lost(1)
        channel = self.channels.get(name)
        if channel is not None:
            channel.hand_over(message)

    # What the nodes tell

    def connected(self, node: Node) -> None:
        """Join all channels of the node; it may be used when they are confirmed."""
        names = [name for name in self.channels if self.nodes.node_of(name) is node]
        if names:
            self._join(node, names)
        else:
            self._up(node)
            self._tell_publishers()

    def lost(self, node: Node, wire: Wire | None) -> None:
        """Nothing comes from the node, and what was sent to it may be lost."""
        unanswered = wire.unanswered() if wire is not None else []
        self._count_lost(len(unanswered))
        if wire is not None and node.problem is not None:
            self.lost_connections += 1
            self._metrics.lost_connection()
        missed = set(unanswered)
        for name, channel in self.channels.items():
            if node in (self._asked.get(name), self.nodes.node_of(name)):
                self._asked.pop(name, None)
                if channel.ready or name in missed:
                    channel.tear(lost=name in missed)
                channel.give_up_waiting()
            elif name in missed:
                channel.lose()
        if node.problem is not None and self._alone_since_s is None:
            self._alone_since_s = self._clock.monotonic()
            self._metrics.alone(True)
            _log.warning("Messages do not reach other servers: %s", node.problem)

    def dropped(self, node: Node, name: bytes) -> None:
        """The channel is another node's now."""
        if self._asked.get(name) is node:
            del self._asked[name]
            self._tear(name)
            self.nodes.refresh()

    def refused(self, node: Node, error: str) -> None:
        """A message was not taken: the channel is another node's, or the node is of no use."""
        self._count_lost(1)
        if error.startswith("MOVED "):
            self.nodes.refresh()
        elif node.wire is not None:
            node.wire.give_up(said_by_redis(error))

    def remapped(self) -> None:
        """Join each channel at the node that has it now."""
        joining: dict[Node, list[bytes]] = {}
        for name in self.channels:
            node = self.nodes.node_of(name)
            if self._asked.get(name) is not node:
                self._asked.pop(name, None)
                self._tear(name)
                if node.wire is not None:
                    joining.setdefault(node, []).append(name)
        for node, names in joining.items():
            self._join(node, names)
        self._tell_publishers()

    def _count_lost(self, messages: int) -> None:
        self.lost_messages += messages
        self._metrics.lost_messages(messages)

    def _tear(self, name: bytes) -> None:
        channel = self.channels.get(name)
        if channel is not None and channel.ready:
            channel.tear(lost=False)

    # Joining and leaving

    def _make_changes(self) -> None:
        changed, self._changed = self._changed, set()
        joining: dict[Node, list[bytes]] = {}
        leaving: dict[Node, list[bytes]] = {}
        for name in changed:
            channel = self.channels.get(name)
            if channel is not None and channel.subscribers:
                node = self.nodes.node_of(name)
                if node.wire is not None and self._asked.get(name) is not node:
                    joining.setdefault(node, []).append(name)
            else:
                if channel is not None:
                    channel.stop()
                    del self.channels[name]
                asked = self._asked.pop(name, None)
                if asked is not None and asked.wire is not None:
                    leaving.setdefault(asked, []).append(name)
        for node, names in leaving.items():
            if node.wire is not None:
                node.wire.leave(self._commands(b"UNSUBSCRIBE", names), names)
        for node, names in joining.items():
            self._join(node, names)

    def _join(self, node: Node, names: list[bytes]) -> None:
        wire = node.wire
        if wire is None:
            return
        channels = {name: self.channels[name] for name in names}
        self._asked.update(dict.fromkeys(names, node))

        def done(changes: Changes) -> None:
            self._joined(node, wire, channels, changes)

        wire.join(self._commands(b"SUBSCRIBE", names), names, done)

    def _joined(self, node: Node, wire: Wire, channels: dict[bytes, Channel], changes: Changes) -> None:
        for error in changes.errors:
            if not error.startswith("MOVED "):
                wire.give_up(said_by_redis(error))
                return
            self.nodes.refresh()
        self._up(node)
        for name, channel in channels.items():
            if self.channels.get(name) is not channel or self._asked.get(name) is not node:
                continue
            if name in changes.names:
                del self._asked[name]
            else:
                channel.confirm()
        self._tell_publishers()

    def _commands(self, verb: bytes, names: list[bytes]) -> bytes:
        if self.nodes.clustered:  # names of one command would have to be of one slot
            return b"".join(pack(b"S" + verb, name) for name in names)
        parts = (names[first : first + _NAMES_MAX] for first in range(0, len(names), _NAMES_MAX))
        return b"".join(pack(verb, *part) for part in parts)

    def _up(self, node: Node) -> None:
        node.up = True
        if self._alone_since_s is not None and self._all_up():
            away_s = self._clock.monotonic() - self._alone_since_s
            self._alone_since_s = None
            self._metrics.alone(False)
            _log.info("Messages reach other servers again after %.1f s.", away_s)

    def _all_up(self) -> bool:
        return all(node.up for node in self.nodes.wanted)

    def _tell_publishers(self) -> None:
        """Tell them that messages of theirs were lost, where what they say now arrives."""
        if self.lost_messages > self._told and self._all_up():
            self._told = self.lost_messages
            for callback in self.on_publish_lost:
                callback()
