"""What the program counts and measures about itself, in the text format of Prometheus.

Labels take a few fixed values each, never a symbol, a user or an address.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, TypeAlias

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from tradewright.runtime.feed_metrics import PREFIX, FeedMetrics, LiveBarMetrics
from tradewright.runtime.tasks import restarts

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SHORT_TIMES_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Bounds of a histogram of calls on this machine or beside it."""

CacheOperation: TypeAlias = Literal["get", "set"]
CacheProblem: TypeAlias = Literal["unavailable", "refused", "undecodable"]


class CacheMetrics:
    """What happens at the cache: what is found there and what is not, what fails, and how long it takes."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self._hits = Counter(
            "cache_hits",
            "Chunks of bars that held all that was asked of them",
            namespace=PREFIX,
            registry=registry,
        )
        self._misses = Counter(
            "cache_misses",
            "Chunks of bars that were not there, or did not hold all that was asked of them",
            namespace=PREFIX,
            registry=registry,
        )
        self._errors = Counter(
            "cache_errors",
            "Calls of the cache that failed, and values from it that could not be used",
            ("operation", "problem"),
            PREFIX,
            registry=registry,
        )
        seconds = Histogram(
            "cache_seconds",
            "How long a call of the cache took; what was not asked while it is left alone is not among them",
            ("operation",),
            PREFIX,
            registry=registry,
            buckets=SHORT_TIMES_S,
        )
        self._seconds = {"get": seconds.labels("get"), "set": seconds.labels("set")}
        left_alone = Gauge(
            "cache_breaker_open",
            "1 while the cache is left alone because it failed, by operation",
            ("operation",),
            PREFIX,
            registry=registry,
        )
        self._open = {"get": left_alone.labels("get"), "set": left_alone.labels("set")}

    def looked_up(self, *, hits: int, misses: int) -> None:
        """So many chunks held all that was asked of them, so many did not."""
        if hits:
            self._hits.inc(hits)
        if misses:
            self._misses.inc(misses)

    def failed(self, operation: CacheOperation, problem: CacheProblem) -> None:
        """A call failed, or a value was of no use."""
        self._errors.labels(operation, problem).inc()

    def took(self, operation: CacheOperation, seconds: float) -> None:
        """One call, however it ended."""
        self._seconds[operation].observe(seconds)

    def breaker(self, operation: CacheOperation, *, is_open: bool) -> None:
        """Calls of this kind are left out from now on, or made again."""
        self._open[operation].set(is_open)


class BusMetrics:
    """What becomes of messages to other servers."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self._messages = Counter(
            "bus_lost_messages",
            "Messages of this server that may not have reached others",
            namespace=PREFIX,
            registry=registry,
        )
        self._connections = Counter(
            "bus_lost_connections",
            "Connections of the message bus that broke",
            namespace=PREFIX,
            registry=registry,
        )
        self._alone = Gauge(
            "bus_alone",
            "1 while messages of this server do not reach others though they should",
            namespace=PREFIX,
            registry=registry,
        )

    def lost_messages(self, count: int) -> None:
        """So many may not have reached others."""
        self._messages.inc(count)

    def lost_connection(self) -> None:
        """One broke."""
        self._connections.inc()

    def alone(self, is_alone: bool) -> None:
        """From now on messages do not reach others, or do again."""
        self._alone.set(is_alone)


class LoopCollector(Collector):
    """How often loops that must not end were begun anew because of a defect."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        found = CounterMetricFamily(
            f"{PREFIX}_loop_restarts", "Loops that a defect ended and that began anew", labels=("loop",)
        )
        for loop, count in restarts().items():
            found.add_metric((loop,), count)
        yield found


class Metrics:
    """Everything that is measured in this process; nothing of it is shared with another one.

    Whoever has more to tell makes its own by ``counter``, ``gauge`` and ``histogram``, once for each name.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(LoopCollector())
        self.cache = CacheMetrics(self._registry)
        self.feeds = FeedMetrics(self._registry)
        self.bus = BusMetrics(self._registry)
        self.live_bars = LiveBarMetrics(self._registry)

    def counter(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
        """A number that only rises; its name gets our prefix and ``_total``."""
        return Counter(name, documentation, labels, PREFIX, registry=self._registry)

    def gauge(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
        """A number that goes up and down."""
        return Gauge(name, documentation, labels, PREFIX, registry=self._registry)

    def histogram(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        *,
        bounds: Sequence[float] = SHORT_TIMES_S,
    ) -> Histogram:
        """A distribution; name it after its unit, ``…_seconds``."""
        return Histogram(name, documentation, labels, PREFIX, registry=self._registry, buckets=bounds)

    def render(self) -> bytes:
        """All of it now, as ``CONTENT_TYPE``."""
        return generate_latest(self._registry)
