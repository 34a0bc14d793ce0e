"""Client messages from bytes, strictly: bounded size and depth, no duplicate keys, no unknown fields."""

from __future__ import annotations

from typing import Final

import msgspec

from tradewright.domain.errors import InvalidInput, MalformedInput
from tradewright.web.protocol import ClientMessage
from tradewright.web.strict_json import parse_json

DEPTH_MAX: Final = 5
_decoder: Final[msgspec.json.Decoder[ClientMessage]] = msgspec.json.Decoder(ClientMessage)


class UnreadableMessage(InvalidInput):
    """The message can't be taken; ``id`` is the one it carried, where that much could be read."""

    def __init__(self, message: str, message_id: int | None, code: str) -> None:
        super().__init__(message)
        self.id = message_id
        self.code = code


def decode(data: bytes) -> ClientMessage:
    """The message; ``UnreadableMessage`` where it is none of ours."""
    try:
        fields = parse_json(data, depth_max=DEPTH_MAX)
    except MalformedInput as error:
        raise UnreadableMessage(error.message, None, error.code) from None
    message_id = fields.get("id") if isinstance(fields, dict) else None
    if type(message_id) is not int or not 0 <= message_id < 2**53:
        message_id = None
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError as error:
        raise UnreadableMessage(f"{error}.", message_id, InvalidInput.code) from None
    except msgspec.DecodeError as error:
        raise UnreadableMessage(f"{error}.", None, MalformedInput.code) from None
