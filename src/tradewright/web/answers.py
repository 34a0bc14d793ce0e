"""What blueprints share: the instrument that a request names, and answers as JSON."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec
from quart import Response

from tradewright.domain.instruments import InstrumentKey, check_identifier, check_symbol

_encoder: Final = msgspec.json.Encoder()


class NamesInstrument(Protocol):
    """A query or a body that names one."""

    @property
    def market(self) -> str: ...

    @property
    def provider(self) -> str: ...

    @property
    def symbol(self) -> str: ...


def instrument_key(given: NamesInstrument) -> InstrumentKey:
    """The instrument that is named; ``InvalidInput`` where a name can't be one."""
    return InstrumentKey(
        check_identifier("market", given.market),
        check_identifier("provider", given.provider),
        check_symbol(given.symbol),
    )


def encoded(body: msgspec.Struct) -> bytes:
    """The struct as JSON."""
    return _encoder.encode(body)


def json_response(body: msgspec.Struct | bytes, status: int = 200) -> Response:
    """An answer with that body, which may be encoded already."""
    data = body if isinstance(body, bytes) else encoded(body)
    return Response(data, status=status, content_type="application/json")


def no_content() -> Response:
    """Done, and nothing to say about it."""
    response = Response(b"", status=204)
    response.headers.pop("Content-Type", None)
    return response
