"""An application with people in it, and all that an attack could have changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.account_client import Client, person
from tests.support.accounts import CHEAP
from tests.support.api_map import Call, calls
from tests.support.applications import RunningApp, memory_stores, running_app
from tradewright.app import Adapters
from tradewright.domain.people import Role
from tradewright.testing.clock import DrivenClock


@dataclass(frozen=True)
class Attacked:
    """``anna`` is its administrator."""

    running: RunningApp
    clock: DrivenClock
    anna: Client
    calls: tuple[Call, ...]

    async def person(self, name: str, role: Role) -> Client:
        """Somebody else, logged in."""
        return await person(self.running, name, role)

    async def state(self) -> str:
        """All that is kept of people and backfills, but the audit log and how often something was tried."""
        services = self.running.services
        stores: Any = services.people.stores
        jobs = await services.backfills.newest(100, None)
        own = (stores.preferences._documents, stores.credentials._credentials)
        return repr((vars(stores.users._auth), own, [(job.id, job.state == "cancelled") for job in jobs]))


@asynccontextmanager
async def attacked(data_dir: Path, **settings: Any) -> AsyncIterator[Attacked]:
    """The whole application, its people in memory, on a driven clock."""
    clock = DrivenClock()
    adapters = Adapters(clock=clock, stores=memory_stores(), password_cost=CHEAP)
    async with running_app(data_dir, adapters, **settings) as running:
        anna = await person(running, "anna", "admin")
        document = (await running.get("/api/v1/openapi.json")).body
        yield Attacked(running, clock, anna, tuple(calls(document)))
