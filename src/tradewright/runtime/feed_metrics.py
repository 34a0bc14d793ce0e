"""What is counted of live feeds and of the bars that they close. Labels are the provider and the kind of
stream, never a symbol."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

PREFIX: Final = "tradewright"
_LABELS: Final = ("provider", "kind")


class FeedFigures(NamedTuple):
    """One feed as it is now; ``age_s`` is the time since it last heard from the venue, if it ever did."""

    provider: str
    kind: str
    state: str
    age_s: float | None


class FeedCounters:
    """What one feed counts, together with all others of its provider and kind."""

    def __init__(self, metrics: FeedMetrics, provider: str, kind: str) -> None:
        self._messages = metrics.messages.labels(provider, kind)
        self._reconnects = metrics.reconnects.labels(provider, kind)
        self._gaps = metrics.gaps.labels(provider, kind)
        self._resyncs = metrics.resyncs.labels(provider, kind)

    def message(self) -> None:
        """The venue's stream delivered something."""
        self._messages.inc()

    def reconnect(self) -> None:
        """A stream was opened in place of one that had ended."""
        self._reconnects.inc()

    def gap(self) -> None:
        """The venue had to be asked for something that the stream left out."""
        self._gaps.inc()

    def resync(self) -> None:
        """The viewers of a topic were told to begin anew."""
        self._resyncs.inc()


class FeedMetrics:
    """The feeds of this process, and what happens to them."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self.messages = _counter(registry, "feed_messages", "Messages of venues' streams")
        self.reconnects = _counter(registry, "feed_reconnects", "Streams opened in place of ended ones")
        self.gaps = _counter(
            registry, "feed_gaps", "Times at which a venue was asked for what its stream had left out"
        )
        self.resyncs = _counter(
            registry, "feed_resyncs", "Topics whose viewers were told to begin anew, since something was lost"
        )
        self._figures: Callable[[], Iterable[FeedFigures]] = tuple
        registry.register(_Now(lambda: self._figures()))

    def of(self, provider: str, kind: str) -> FeedCounters:
        """The counters of one feed."""
        return FeedCounters(self, provider, kind)

    def watch(self, figures: Callable[[], Iterable[FeedFigures]]) -> None:
        """Ask there how the feeds are whenever somebody wants to know."""
        self._figures = figures


class _Now(Collector):
    """How the feeds are at the moment of the question, so that nothing stays of those that have ended."""

    def __init__(self, figures: Callable[[], Iterable[FeedFigures]]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        figures = list(self._figures())
        states = GaugeMetricFamily(
            f"{PREFIX}_feeds", "Feeds that run, by what they say of themselves", labels=[*_LABELS, "state"]
        )
        for key, count in sorted(Tally((each.provider, each.kind, each.state) for each in figures).items()):
            states.add_metric(key, count)
        ages = GaugeMetricFamily(
            f"{PREFIX}_feed_age_seconds", "The longest time since a feed heard from its venue", labels=_LABELS
        )
        oldest: dict[tuple[str, str], float] = {}
        for each in figures:
            if each.age_s is not None and each.state != "closed":
                whose = each.provider, each.kind
                oldest[whose] = max(each.age_s, oldest.get(whose, 0.0))
        for labels, age_s in sorted(oldest.items()):
            ages.add_metric(labels, age_s)
        yield states
        yield ages


def _counter(registry: CollectorRegistry, name: str, documentation: str) -> Counter:
    return Counter(name, documentation, _LABELS, PREFIX, registry=registry)


class LiveBarMetrics:
    """What becomes of the bars that feeds close: stored, waiting, or left to be fetched again."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self._stored = Counter(
            "live_bars_stored", "Bars of feeds that were stored", (), PREFIX, registry=registry
        )
        self._given_up = Counter(
            "live_bars_given_up",
            "Bars of feeds that could not be stored in time, and have to be fetched again",
            (),
            PREFIX,
            registry=registry,
        )
        self._failures = Counter(
            "live_bar_writes_failed",
            "Attempts at storing bars of feeds that failed",
            (),
            PREFIX,
            registry=registry,
        )
        self._waiting = Gauge(
            "live_bars_waiting", "Bars of feeds that are to be stored", (), PREFIX, registry=registry
        )

    def stored(self, bars: int) -> None:
        """So many are in the store."""
        self._stored.inc(bars)

    def given_up(self, bars: int) -> None:
        """So many were dropped, and are not covered."""
        self._given_up.inc(bars)

    def failed(self) -> None:
        """The store did not take them; they wait."""
        self._failures.inc()

    def waiting(self, bars: int) -> None:
        """So many wait now."""
        self._waiting.set(bars)
