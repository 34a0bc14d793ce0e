"""Whole applications inside the test's process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec
from quart import Quart, Response
from quart.typing import TestClientProtocol
from werkzeug.datastructures import Headers

from tradewright.app import Adapters, Services, create_app, services_of
from tradewright.app_extensions.people import GivenPeople
from tradewright.app_extensions.stores import GivenStores
from tradewright.config import TestingConfig
from tradewright.domain.ports import BackfillJobStore
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.storage.memory_jobs import MemoryBackfillJobStore
from tradewright.storage.memory_user_configs import memory_people

HERE: Final = {"client": ("127.0.0.1", 40_000)}
"""The peer of requests that are made within the process."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, decoded."""

    status: int
    headers: Headers
    body: Any
    text: str


@dataclass(frozen=True, slots=True)
class RunningApp:
    """An application whose lifespan is open."""

    app: Quart
    services: Services
    client: TestClientProtocol

    async def get(self, path: str, **query: object) -> Answer:
        """GET with these parameters; a JSON body comes decoded."""
        return await self.get_with(path, {}, **query)

    async def post(self, path: str, body: object, **headers: str) -> Answer:
        """POST this as JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        sent = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return await self._answer(await self.client.post(path, data=data, headers=sent, scope_base=HERE))

    async def delete(self, path: str, **headers: str) -> Answer:
        """DELETE."""
        return await self._answer(await self.client.delete(path, headers=headers, scope_base=HERE))

    async def get_with(self, path: str, request_headers: dict[str, str], **query: object) -> Answer:
        """The same with these request headers."""
        response = await self.client.get(
            path,
            query_string={name: str(value) for name, value in query.items()},
            headers=request_headers,
            scope_base=HERE,
        )
        return await self._answer(response)

    @staticmethod
    async def _answer(response: Response) -> Answer:
        text = await response.get_data(as_text=True)
        body = msgspec.json.decode(text) if "json" in response.headers.get("Content-Type", "") else None
        return Answer(response.status_code, response.headers, body, text)


def memory_stores(bars: MemoryBarStore | None = None, jobs: BackfillJobStore | None = None) -> GivenStores:
    """Stores in memory for an application, some of them given."""
    bars = bars or MemoryBarStore()
    return GivenStores(bars, MemoryInstrumentStore(bars), jobs or MemoryBackfillJobStore())


@asynccontextmanager
async def running_app(
    data_dir: Path, adapters: Adapters | None = None, **settings: Any
) -> AsyncIterator[RunningApp]:
    """The real application over a data directory, opened and closed again; what it keeps of people is in
    memory, unless the adapters have something else."""
    settings.setdefault("rate_limit", 1_000_000)  # a driven clock gives nothing back
    await asyncio.to_thread(data_dir.mkdir, parents=True, exist_ok=True)  # as `serve` does
    config = TestingConfig(data_dir=data_dir, **settings)
    config.validate()
    adapters = replace(adapters or Adapters())
    adapters.people = adapters.people or GivenPeople(memory_people())
    app = create_app(config, adapters)
    async with app.test_app():
        yield RunningApp(app, services_of(app), app.test_client())
