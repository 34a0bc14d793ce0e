"""Plugin instances that are lent to whoever needs them, and closed when nobody does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

from tradewright.plugins.base import MarketPlugin, PluginSetup, SharedByInstances
from tradewright.runtime.clock import Clock
from tradewright.runtime.tasks import TaskSupervisor

_log = logging.getLogger(__name__)

IDLE_S: Final = 600.0
RETIRED_GRACE_S: Final = 35.0
"""Longer than any call of a plugin takes."""


class Owner(NamedTuple):
    """Whose key an instance has, and which of theirs."""

    user_id: str
    credential_id: str


class InstanceKey(NamedTuple):
    """What makes two users of a plugin share an instance: its class, the provider, the hash of the
    credentials or ``public``, whether it is the test network, and whose key it is: None for the operator's,
    which feeds the shared data, and for none. Nobody shares an instance with another's key, were it the
    same one."""

    plugin: type[MarketPlugin]
    provider: str
    credentials: str
    testnet: bool
    owner: Owner | None = None


@dataclass(slots=True, eq=False)
class _Instance:
    plugin: MarketPlugin
    users: int = 0
    idle_since_s: float = 0.0


class PluginInstances:
    """Makes an instance once however many ask at the same time, keeps it while anybody uses it, and closes
    it after ``IDLE_S`` without a user. ``retirements`` rises each time that some were retired."""

    def __init__(self, clock: Clock, tasks: TaskSupervisor) -> None:
        self._clock = clock
        self._tasks = tasks
        self._instances: dict[InstanceKey, _Instance] = {}
        self._leaving: set[_Instance] = set()
        self._shared: dict[tuple[type[MarketPlugin], str, bool], SharedByInstances] = {}
        self.retirements = 0

    def shared(self, plugin: type[MarketPlugin], provider: str, *, testnet: bool) -> SharedByInstances:
        """What all instances of that provider and network have in common. A ban outlives whoever met it, so
        it is kept; there are as many as there are providers."""
        return self._shared.setdefault((plugin, provider, testnet), SharedByInstances())

    @asynccontextmanager
    async def lend(self, key: InstanceKey, setup: PluginSetup) -> AsyncIterator[MarketPlugin]:
        """The instance of that key, which stays open while the context lasts; made from ``setup`` where there
        is none."""
        instance = self._instances.get(key)
        if instance is None:
            instance = self._instances[key] = _Instance(key.plugin(setup))
        instance.users += 1
        try:
            yield instance.plugin
        finally:
            instance.users -= 1
            instance.idle_since_s = self._clock.monotonic()
            if instance in self._leaving and not instance.users:
                self._leaving.discard(instance)
                await _close_all([instance.plugin])

    async def retire(self, user_id: str, credential_id: str | None = None) -> None:
        """Lend out no more the instances with that key of a user's, or with any of theirs: those that nobody
        uses are closed now; of the others the streams end now, and they are closed when their last user
        lets go, at the latest after ``RETIRED_GRACE_S``."""
        self.retirements += 1
        mine = [
            key
            for key in self._instances
            if key.owner is not None
            and key.owner.user_id == user_id
            and credential_id in (None, key.owner.credential_id)
        ]
        retired = [self._instances.pop(key) for key in mine]
        in_use = [instance for instance in retired if instance.users]
        idle = [instance.plugin for instance in retired if not instance.users]
        self._leaving.update(in_use)
        for instance in in_use:
            self._tasks.start("close what was retired", self._see_off(instance))
        await _close_all(idle)
        await _end_streams([instance.plugin for instance in in_use])

    def owned(self) -> tuple[tuple[Owner, str], ...]:
        """The owners of instances with their keys' fingerprints, those left out that were retired."""
        return tuple((key.owner, key.credentials) for key in self._instances if key.owner is not None)

    async def _see_off(self, instance: _Instance) -> None:
        await self._clock.sleep(RETIRED_GRACE_S)
        if instance in self._leaving:
            self._leaving.discard(instance)
            await _close_all([instance.plugin])

    async def close_idle(self) -> int:
        """Close the instances that nobody has used for ``IDLE_S``; how many there were."""
        now_s = self._clock.monotonic()
        idle = [
            key
            for key, instance in self._instances.items()
            if not instance.users and now_s - instance.idle_since_s >= IDLE_S
        ]
        plugins = [self._instances.pop(key).plugin for key in idle]
        await _close_all(plugins)
        return len(plugins)

    async def close(self) -> None:
        """Close all of them, whoever uses them."""
        plugins = [instance.plugin for instance in (*self._instances.values(), *self._leaving)]
        self._instances.clear()
        self._leaving.clear()
        await _close_all(plugins)


async def _end_streams(plugins: Sequence[MarketPlugin]) -> None:
    outcomes = await asyncio.gather(*(plugin.end_streams() for plugin in plugins), return_exceptions=True)
    _tell_failures(plugins, outcomes)


async def _close_all(plugins: Sequence[MarketPlugin]) -> None:
    """Close each of them, whatever becomes of the others."""
    outcomes = await asyncio.gather(*(plugin.close() for plugin in plugins), return_exceptions=True)
    _tell_failures(plugins, outcomes)


def _tell_failures(plugins: Sequence[MarketPlugin], outcomes: Sequence[BaseException | None]) -> None:
    for plugin, outcome in zip(plugins, outcomes, strict=True):
        if isinstance(outcome, Exception):
            _log.error("%r could not be closed", plugin, exc_info=outcome)
