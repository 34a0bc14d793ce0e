"""One update to a thousand viewers, and many topics, beside picows and the program that is written first.

    python -m bench.bench_fanout [rounds]

Every figure but the delays is in processor seconds of the server for a million delivered updates, which other
work on the machine does not change much. The product and its peers publish at the same rate, in turn, and a
ratio is the median of the pairs' own.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

import msgspec

from bench.fanout_client import Received
from bench.fanout_control import Command, Outcome

ROUNDS: Final = 5
VIEWERS: Final = 1_000
SECONDS: Final = 2.0
DELIVERY_DEADLINE_S: Final = 30.0
OF_PICOWS_MIN: Final = 0.90
TIMES_OBVIOUS_MIN: Final = 5.0
P99_OF_PICOWS_MAX: Final = 1.25
ASGI_OF_PICOWS_MIN: Final = 0.55
TIMES_QUEUES_MIN: Final = 20.0
VIEWER_BYTES_MAX: Final = 30_000


@dataclass(frozen=True, slots=True)
class Load:
    """Who watches what, and how often each topic changes."""

    views: int
    topics: int
    at_once: int
    times_per_s: float

    @property
    def viewers_of_each(self) -> int:
        """How many watch one topic."""
        return VIEWERS * self.views // self.topics


ONE_TOPIC: Final = Load(1, 1, 1, 50.0)
MANY_TOPICS: Final = Load(10, 50, 200, 50.0)
MANY_TOPICS_QUEUED: Final = Load(10, 50, 5, 30.0)
"""As much as queues can do: what they do not deliver in time would not be counted."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one load did once: processor microseconds of the server for each delivered update, and delays."""

    cpu_us: float
    p50_ms: float
    p99_ms: float
    delivered: int


class Site:
    """A server process with all of its viewers, ready to publish."""

    def __init__(self, server: subprocess.Popen[str], client: subprocess.Popen[str], load: Load) -> None:
        self._server = server
        self._client = client
        self._load = load
        self.viewer_bytes = 0.0

    def measure(self) -> Measured:
        """Publish for a while; every viewer has to get every update."""
        load = self._load
        before_s = state(self._server).cpu_s
        self._received()
        command = Command(load.topics, load.at_once, load.times_per_s, SECONDS)
        outcome = msgspec.json.decode(ask(self._server, msgspec.json.encode(command).decode()), type=Outcome)
        expected = outcome.updates * load.viewers_of_each
        received = [self._received()]
        deadline_s = time.monotonic() + DELIVERY_DEADLINE_S
        while sum(each.updates for each in received) < expected:
            if time.monotonic() > deadline_s:
                raise SystemExit(f"{sum(r.updates for r in received)} of {expected} updates arrived")
            time.sleep(0.1)
            received.append(self._received())
        cpu_us = (state(self._server).cpu_s - before_s) / expected * 1e6
        return Measured(cpu_us, received[0].p50_ms, received[0].p99_ms, expected)

    def _received(self) -> Received:
        return msgspec.json.decode(ask(self._client, "count"), type=Received)


def ask(process: subprocess.Popen[str], line: str) -> str:
    """One line in, one line out."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise SystemExit(f"{process.args!r} ended")
    return answer


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python program of ours with pipes, ended with its input."""
    command = [sys.executable, "-m", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def site(server_name: str, load: Load) -> Iterator[Site]:
    """The server and its viewers, connected."""
    program, kind = server_name.split()
    with running(program, kind) as server:
        assert server.stdout is not None
        port = msgspec.json.decode(server.stdout.readline())["port"]
        before = state(server).rss_bytes
        arguments = (str(port), str(VIEWERS), str(load.views), str(load.topics))
        with running("bench.fanout_client", *arguments) as client:
            assert client.stdout is not None
            if client.stdout.readline().strip() != "ready":
                raise SystemExit(f"the viewers of {server_name} could not connect")
            made = Site(server, client, load)
            made.viewer_bytes = (state(server).rss_bytes - before) / VIEWERS
            yield made


def state(server: subprocess.Popen[str]) -> Outcome:
    """The server's processor time and memory now."""
    quiet = msgspec.json.encode(Command(1, 1, 1.0, 0.0)).decode()
    return msgspec.json.decode(ask(server, quiet), type=Outcome)


def in_turn(
    names: Sequence[str], loads: Sequence[Load], rounds: int
) -> tuple[dict[str, list[Measured]], float]:
    """Measure all of them in each round; the bytes that an idle viewer of the first one takes, too."""
    with ExitStack() as stack:
        sites = {name: stack.enter_context(site(name, load)) for name, load in zip(names, loads, strict=True)}
        found: dict[str, list[Measured]] = {name: [] for name in names}
        order = list(names)
        for _ in range(rounds):
            for name in order:
                found[name].append(sites[name].measure())
            order.reverse()
        return found, sites[names[0]].viewer_bytes


def show(title: str, found: dict[str, list[Measured]]) -> None:
    """One line for each server."""
    print(f"{title}, processor µs for each delivered update and delays in ms:")
    for name, each in found.items():
        cpu_us, p50, p99 = (
            statistics.median(getattr(one, field) for one in each) for field in ("cpu_us", "p50_ms", "p99_ms")
        )
        print(f"  {name:28} {cpu_us:6.2f} µs   p50 {p50:6.2f}   p99 {p99:6.2f}")


def ratio(peer: Sequence[Measured], ours: Sequence[Measured], field: str = "cpu_us") -> float:
    """How many times as much the peer takes; the median of the pairs'."""
    pairs = zip(peer, ours, strict=True)
    return statistics.median(float(getattr(a, field) / getattr(b, field)) for a, b in pairs)


def promise(title: str, value: float, bound: float, *, at_most: bool = False) -> bool:
    """Print what is promised and whether it is kept."""
    kept = value <= bound if at_most else value >= bound
    word = "at most" if at_most else "at least"
    print(f"  {title:52} {value:10,.2f}, promised {word} {bound:,.2f}{'' if kept else '   BROKEN'}")
    return kept


OURS: Final = "bench.fanout_server frames"
ASGI: Final = "bench.fanout_server asgi"
PICOWS: Final = "bench.fanout_peers picows"
OBVIOUS: Final = "bench.fanout_peers obvious"
QUEUES: Final = "bench.fanout_peers queues"


def main(rounds: int = ROUNDS) -> int:
    """Measure and compare with what is promised."""
    slow = Load(1, 1, 1, 20.0)
    one, viewer_bytes = in_turn(
        (OURS, PICOWS, ASGI, OBVIOUS), (ONE_TOPIC, ONE_TOPIC, ONE_TOPIC, slow), rounds
    )
    show(f"One topic, {VIEWERS} viewers, {ONE_TOPIC.times_per_s:g} updates/s", one)
    many, _ = in_turn((OURS, QUEUES), (MANY_TOPICS, MANY_TOPICS_QUEUED), rounds)
    show(f"{VIEWERS} viewers of {MANY_TOPICS.views} of {MANY_TOPICS.topics} topics", many)
    kept = [
        promise("one topic, of picows", ratio(one[PICOWS], one[OURS]), OF_PICOWS_MIN),
        promise("one topic, times the obvious program", ratio(one[OBVIOUS], one[OURS]), TIMES_OBVIOUS_MIN),
        promise(
            "p99 at 50,000 messages/s, of picows'",
            1 / ratio(one[PICOWS], one[OURS], "p99_ms"),
            P99_OF_PICOWS_MAX,
            at_most=True,
        ),
        promise("over plain ASGI, of picows", ratio(one[PICOWS], one[ASGI]), ASGI_OF_PICOWS_MIN),
        promise(
            "many topics, times a send for each update", ratio(many[QUEUES], many[OURS]), TIMES_QUEUES_MIN
        ),
        promise("bytes of an idle viewer", viewer_bytes, VIEWER_BYTES_MAX, at_most=True),
    ]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
