"""What changes something goes on to its end though its client has left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import pytest
from quart import Quart, request
from quart.testing import connections

from tradewright.runtime.finishing import Finisher
from tradewright.web.middleware.error_handler import install_error_handler
from tradewright.web.middleware.finishing import install_finishing


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  nothing tells when it holds
            await asyncio.sleep(0.001)


class Site:
    """An application whose one act has two steps, with a gate between them."""

    def __init__(self, finisher: Finisher) -> None:
        self.finisher = finisher
        self.done: list[str] = []
        self.gate = asyncio.Event()
        self.app = Quart(__name__)
        install_finishing(self.app, finisher)
        install_error_handler(self.app)
        self.app.add_url_rule("/act", "act", self._act, methods=["POST", "GET"])
        self.app.add_url_rule("/read", "read", self._read, methods=["POST"])

    async def _act(self) -> str:
        self.done.append("begun")
        await self.gate.wait()
        if "broken" in request.args:
            raise RuntimeError("it broke")
        self.done.append("done")
        return "done"

    async def _read(self) -> str:
        await request.get_data()
        self.done.append("read")
        return "read"

    async def until(self, *done: str) -> None:
        await until(lambda: self.done == list(done))

    async def leave(self, path: str = "/act", method: str = "POST", sent: bytes = b"") -> None:
        """Ask, hang up once it has begun, and see the connection end."""
        headers = {"Content-Length": "9"} if sent else {}
        before = list(self.done)
        client = self.app.test_client()
        connection = client.request(path, method=method, headers=headers)
        assert isinstance(connection, connections.TestHTTPConnection)
        async with connection:
            if sent:
                await connection.send(sent)
                await asyncio.sleep(0)
            else:
                await connection.send_complete()
                await self.until(*before, "begun")
            await connection.disconnect()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site(Finisher("test", left_max=2, left_s_max=0.02))
    yield made
    made.gate.set()
    await made.finisher.close()


async def test_an_act_is_done_whole_and_a_reading_is_not() -> None:
    site = Site(Finisher("test"))
    await site.leave()
    site.gate.set()
    await site.until("begun", "done")
    site.gate.clear()
    site.done.clear()
    await site.leave(method="GET")
    site.gate.set()
    await site.finisher.close()
    assert site.done == ["begun"]


async def test_who_leaves_before_the_body_is_whole_has_asked_for_nothing(site: Site) -> None:
    await site.leave("/read", sent=b"half")
    await until(lambda: not len(site.finisher))
    assert site.done == []


async def test_what_fails_alone_is_logged_as_any_error(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    await site.leave("/act?broken=1")
    site.gate.set()
    await site.finisher.close()
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.getMessage() == "POST /act failed"
    assert record.exc_info is not None
    assert "it broke" in str(record.exc_info[1])


async def test_what_is_left_behind_is_bounded_in_number_and_time(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    await site.leave()
    await site.leave()
    assert site.finisher.is_full
    refused = await site.app.test_client().post("/act")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    await until(lambda: not len(site.finisher))
    assert not site.finisher.is_full
    assert "was not done in time" in caplog.text
    assert site.done == ["begun", "begun"]


async def test_closing_waits_for_what_was_left() -> None:
    site = Site(Finisher("test"))
    await site.leave()
    closing = asyncio.ensure_future(site.finisher.close())
    await asyncio.sleep(0)
    assert not closing.done()
    site.gate.set()
    await closing
    assert site.done == ["begun", "done"]
