"""What changes something is done whole, though its client hangs up meanwhile.

Quart cancels the handler of a client that has left. Halfway that would leave a password changed and the
sessions of whoever stole it alive, an act without its line in the audit log, a guess uncounted.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, cast

from quart import Quart, Request, request
from quart.typing import ResponseTypes
from quart.wrappers.request import Body
from werkzeug.exceptions import ClientDisconnected

from tradewright.domain.errors import LimitExceeded
from tradewright.runtime.finishing import Finisher

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods that change nothing."""


class AbandonableBody(Body):
    """A body whose client may leave before it is whole: who waits for it is told so, instead of going on
    with a part of it or waiting for the rest."""

    _whole = False
    _abandoned = False

    def set_complete(self) -> None:
        """All of it is here."""
        self._whole = True
        super().set_complete()

    def abandon(self) -> None:
        """No more will come."""
        if not self._whole:
            self._abandoned = True
            self.set_complete()

    def __await__(self) -> Generator[Any, None, Any]:
        data = yield from super().__await__()
        if self._abandoned:
            raise ClientDisconnected
        return data

    async def __anext__(self) -> bytes:
        if self._abandoned:
            raise ClientDisconnected
        return await super().__anext__()


class ChangingRequest(Request):
    """A request with such a body."""

    body_class = AbandonableBody


def install_finishing(app: Quart, finisher: Finisher) -> None:
    """See every request that may change something through to its end, errors and all."""
    app.request_class = ChangingRequest
    handle = app.handle_request

    async def see_through(asked: Request) -> ResponseTypes:
        if asked.method in READING:
            return await handle(asked)
        body = cast(AbandonableBody, asked.body)
        return await finisher.see_through(f"{asked.method} {asked.path}", handle(asked), body.abandon)

    app.handle_request = see_through  # type: ignore[method-assign, assignment]

    @app.before_request
    async def refuse_more() -> None:
        if request.method not in READING and finisher.is_full:
            raise LimitExceeded("The server has too much to finish at this moment. Try again.", 1.0)
