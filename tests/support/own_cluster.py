"""A cluster of three Redis servers that tests have for themselves."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path

from redis import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS
from redis.exceptions import RedisError

from tools.private_servers import OwnRedis, free_port

NODES = 3
START_TIMEOUT_S = 30.0
_FIRST_SLOTS = [REDIS_CLUSTER_HASH_SLOTS * number // NODES for number in range(NODES + 1)]


class OwnCluster:
    """Its ``nodes`` may be killed, frozen and started again; each has a third of the slots."""

    def __init__(self, nodes: list[OwnRedis], bus_ports: list[int]) -> None:
        self.nodes = nodes
        self._bus_ports = bus_ports

    @property
    def url(self) -> str:
        """Where the first node serves."""
        return self.nodes[0].url

    def form(self) -> None:
        """Make the nodes one cluster, and return when all of them say that it is whole."""
        for number, node in enumerate(self.nodes):
            _call(node, "CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            _call(
                node, "CLUSTER", "ADDSLOTSRANGE", str(_FIRST_SLOTS[number]), str(_FIRST_SLOTS[number + 1] - 1)
            )
            port, bus_port = str(_port(node)), str(self._bus_ports[number])
            _call(self.nodes[0], "CLUSTER", "MEET", "127.0.0.1", port, bus_port)
        self.wait()

    def home(self, slot: int) -> int:
        """The number of the node that has the slot, unless it was moved."""
        return bisect_right(_FIRST_SLOTS, slot) - 1

    def wait(self) -> None:
        """Return when all nodes say that the cluster is whole."""
        _wait_until(lambda: all(map(_is_whole, self.nodes)))

    def move_slot(self, slot: int, source: int, target: int) -> None:
        """Give an empty slot to another node."""
        names = [_call(node, "CLUSTER", "MYID") for node in self.nodes]
        _call(self.nodes[target], "CLUSTER", "SETSLOT", str(slot), "IMPORTING", names[source])
        _call(self.nodes[source], "CLUSTER", "SETSLOT", str(slot), "MIGRATING", names[target])
        for node in (self.nodes[target], self.nodes[source]):
            _call(node, "CLUSTER", "SETSLOT", str(slot), "NODE", names[target])


@contextlib.contextmanager
def own_cluster() -> Iterator[OwnCluster]:
    """Start a cluster; it is gone with its files afterwards, whatever was done to it."""
    password, ports = secrets.token_hex(16), [free_port() for _ in range(NODES)]
    with (
        tempfile.TemporaryDirectory(prefix="tradewright-test-") as directory,
        contextlib.ExitStack() as stack,
    ):
        nodes = []
        for number, bus_port in enumerate(ports):
            settings = ("cluster-enabled yes", "cluster-node-timeout 1000", f"cluster-port {bus_port}")
            node = OwnRedis(Path(directory) / str(number), settings, password)
            stack.callback(node.kill)
            node.start_and_wait()
            nodes.append(node)
        cluster = OwnCluster(nodes, ports)
        cluster.form()
        yield cluster


def _port(node: OwnRedis) -> int:
    return int(node.url.rsplit(":", 1)[1].split("/")[0])


def _call(node: OwnRedis, *words: str) -> str:
    with Redis.from_url(node.url, socket_timeout=10) as client:
        said = client.execute_command(*words)
        return said.decode() if isinstance(said, bytes) else str(said)


def _is_whole(node: OwnRedis) -> bool:
    try:
        said = _call(node, "CLUSTER", "INFO")
    except (RedisError, OSError):
        return False
    return "cluster_state:ok" in said and f"cluster_size:{NODES}" in said and "cluster_slots_fail:0" in said


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("The cluster is not whole in time.")
        time.sleep(0.05)
