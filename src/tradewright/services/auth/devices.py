"""Browsers that somebody has logged in from, known again by a signed cookie."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from tradewright.runtime.clock import Clock
from tradewright.services.key_ring import KeyRing, SecretSource

LIFETIME_S: Final = 365 * 86_400
_LENGTH_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Device:
    """A browser by its random name, and whose it is."""

    user_id: str
    device_id: str


class Devices:
    """Signs and reads the cookie. It lets nobody in: it only says that its bearer has logged in before."""

    def __init__(self, source: SecretSource, clock: Clock) -> None:
        self._ring = KeyRing(source, "signing key of known devices")
        self._clock = clock

    def cookie(self, device: Device) -> str:
        """The text of the cookie."""
        body = f"{device.user_id}.{device.device_id}.{self._clock.now_ms() // 1000}"
        return f"{body}.{_mac(self._ring.current()[1], body)}"

    def read(self, cookie: str | None) -> Device | None:
        """Whose and which device it is; None where it is none that we signed, or too old."""
        if cookie is None or len(cookie) > _LENGTH_MAX or not cookie.isascii():
            return None
        body, _, mac = cookie.rpartition(".")
        if not any(hmac.compare_digest(mac, _mac(key, body)) for key in self._ring.keys()):  # noqa: SIM118
            return None
        user_id, device_id, made_s = body.split(".")
        if self._clock.now_ms() // 1000 - int(made_s) > LIFETIME_S:
            return None
        return Device(user_id, device_id)


def _mac(key: bytes, body: str) -> str:
    return hmac.new(key, body.encode(), hashlib.sha256).hexdigest()
