"""Whole applications inside the test's process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from quart import Quart
from quart.typing import TestClientProtocol
from werkzeug.datastructures import Headers

from tradewright.app import Adapters, Services, create_app, services_of
from tradewright.config import TestingConfig


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

    async def get_with(self, path: str, request_headers: dict[str, str], **query: object) -> Answer:
        """The same with these request headers."""
        response = await self.client.get(
            path, query_string={name: str(value) for name, value in query.items()}, headers=request_headers
        )
        text = await response.get_data(as_text=True)
        body = msgspec.json.decode(text) if "json" in response.headers.get("Content-Type", "") else None
        return Answer(response.status_code, response.headers, body, text)


@asynccontextmanager
async def running_app(
    data_dir: Path, adapters: Adapters | None = None, **settings: Any
) -> AsyncIterator[RunningApp]:
    """The real application over a data directory, opened and closed again."""
    config = TestingConfig(data_dir=data_dir, **settings)
    config.validate()
    app = create_app(config, adapters)
    async with app.test_app():
        yield RunningApp(app, services_of(app), app.test_client())
