"""A cache that is left alone while it fails, so that its failure costs nobody time."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Final, TypeVar

from tradewright.domain.ports import Cache, CacheRefused, CacheUnavailable
from tradewright.runtime.circuit_breaker import CircuitBreaker
from tradewright.runtime.clock import Clock
from tradewright.runtime.metrics import CacheMetrics, CacheOperation
from tradewright.runtime.tasks import TaskSupervisor

_log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

PROBE_KEY: Final = "probe"
PROBE_TTL_S: Final = 10.0


class GuardedCache(Cache):
    """Another cache behind a circuit breaker for each kind of call.

    While a breaker is open its calls raise at once. One of them in a while starts a probe, in the
    background, so no caller waits for it. A cache that is out of reach opens both breakers, and its
    first answer closes both; one that refuses what is asked (it is full, or may only be read) opens the
    one of that kind, since a full cache can still be read. When it is first left alone and when it works
    again is logged, once each, and nothing between.
    """

    def __init__(self, inner: Cache, clock: Clock, metrics: CacheMetrics | None = None) -> None:
        self._inner = inner
        self._clock = clock
        self._metrics = metrics or CacheMetrics()
        self._breakers: dict[CacheOperation, CircuitBreaker] = {
            "get": CircuitBreaker(clock),
            "set": CircuitBreaker(clock),
        }
        self._out_of_reach = False
        self._failing_since_s: float | None = None
        self._tasks = TaskSupervisor("cache")
        self._closed = False

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The value of each key, None where there is none."""
        self._check("get")
        return await self._call("get", self._inner.get_many(keys))

    async def set_many(self, items: Mapping[str, bytes], ttl_s: float) -> None:
        """Keep the values for at most ``ttl_s`` seconds."""
        self._check("set")
        await self._call("set", self._inner.set_many(items, ttl_s))

    async def close(self) -> None:
        """End the probes and close the cache behind."""
        self._closed = True
        await self._tasks.close()
        await self._inner.close()

    def _check(self, operation: CacheOperation) -> None:
        if self._closed:
            raise CacheUnavailable("The cache is closed.")
        breaker = self._breakers[operation]
        if not breaker.is_open:
            return
        if breaker.may_probe():
            self._tasks.start(f"probe {operation}", self._probe(operation))
        raise CacheUnavailable("The cache is left alone because it failed just now.")

    async def _probe(self, operation: CacheOperation) -> None:
        try:
            if operation == "get":
                await self._call(operation, self._inner.get_many([PROBE_KEY]))
            else:
                await self._call(operation, self._inner.set_many({PROBE_KEY: b"probe"}, PROBE_TTL_S))
        except CacheUnavailable:
            _log.debug("the cache still fails")

    async def _call(self, operation: CacheOperation, work: Awaitable[Answer]) -> Answer:
        began_s = self._clock.monotonic()
        try:
            answer = await work
        except CacheUnavailable as error:
            took_s = self._clock.monotonic() - began_s
            self._metrics.took(operation, took_s)
            self._failed(operation, error, took_s)
            raise
        self._succeeded(operation)
        return answer

    def _failed(self, operation: CacheOperation, error: CacheUnavailable, took_s: float) -> None:
        refused = isinstance(error, CacheRefused)
        self._metrics.failed(operation, "refused" if refused else "unavailable")
        opened: list[CacheOperation] = [
            kind
            for kind, breaker in self._breakers.items()
            if (kind == operation or not refused) and breaker.failed(took_s)
        ]
        for kind in opened:
            self._metrics.breaker(kind, is_open=True)
        if opened and not refused:
            self._out_of_reach = True
        if opened and self._failing_since_s is None:
            self._failing_since_s = self._clock.monotonic()
            _log.warning("The cache fails, and the server goes on without it: %s", error.message)

    def _succeeded(self, operation: CacheOperation) -> None:
        self._breakers[operation].succeeded()
        if self._failing_since_s is None:
            return
        if self._out_of_reach:
            self._out_of_reach = False
            for breaker in self._breakers.values():
                breaker.succeeded()
        for kind, breaker in self._breakers.items():
            self._metrics.breaker(kind, is_open=breaker.is_open)
        if not any(breaker.is_open for breaker in self._breakers.values()):
            _log.info("The cache works again after %.1f s.", self._clock.monotonic() - self._failing_since_s)
            self._failing_since_s = None
