"""Answers in JSON."""

from __future__ import annotations

from typing import Final

import msgspec
from quart import Response

_encoder: Final = msgspec.json.Encoder()


def json_answer(body: msgspec.Struct, status: int = 200) -> Response:
    """The struct as JSON."""
    return Response(_encoder.encode(body), status=status, content_type="application/json")


def no_content() -> Response:
    """Done, and nothing to say about it."""
    response = Response(b"", status=204)
    response.headers.pop("Content-Type", None)
    return response
