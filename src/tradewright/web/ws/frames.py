"""WebSocket frames that are prepared once and written to many sockets."""

from __future__ import annotations

from typing import Final

from tradewright.services.subscription_service import TopicMessage

_TEXT: Final = 0x81  # the last and only fragment of a text message, not compressed
_LENGTH_IN_2_BYTES: Final = 126
_LENGTH_IN_8_BYTES: Final = 127


def text_frame(payload: bytes) -> bytes:
    """One whole text message as a server sends it. Legal where compression was negotiated, too."""
    size = len(payload)
    if size < _LENGTH_IN_2_BYTES:
        return bytes((_TEXT, size)) + payload
    if size < 2**16:
        return bytes((_TEXT, _LENGTH_IN_2_BYTES)) + size.to_bytes(2, "big") + payload
    return bytes((_TEXT, _LENGTH_IN_8_BYTES)) + size.to_bytes(8, "big") + payload


def frame_of(message: TopicMessage) -> bytes:
    """The message's frame: made for the first viewer, and the same object for all others."""
    frame = message.frame
    if frame is None:
        frame = message.frame = text_frame(message.data)
    return frame
