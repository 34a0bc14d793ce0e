"""A venue that gives prepared answers, by path, and keeps what it was asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class ScriptedVenue:
    """Its address and its answers; ``asked`` holds method, path, query and body of each request."""

    answers: dict[str, Any]
    url: str = ""
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)

    def last(self, path: str) -> tuple[dict[str, str], Any]:
        """Query and body of the newest request to that path."""
        return next((query, body) for _, one, query, body in reversed(self.asked) if one == path)

    async def handle(self, request: web.Request) -> web.Response:
        """Give the path's answer; 404 where none is prepared."""
        text = await request.text()
        body = json.loads(text) if text.startswith(("{", "[")) else text
        self.asked.append((request.method, request.path, dict(request.query), body))
        answer = self.answers.get(request.path)
        if answer is None:
            return web.Response(status=404, text="{}")
        return web.json_response(answer(body, request.query) if callable(answer) else answer)


@asynccontextmanager
async def scripted(answers: Mapping[str, Any]) -> AsyncIterator[ScriptedVenue]:
    """Serve the answers on a free port."""
    venue = ScriptedVenue(dict(answers))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", venue.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    venue.url = f"http://{host}:{port}"
    try:
        yield venue
    finally:
        await runner.cleanup()
