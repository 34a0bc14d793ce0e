"""A cache inside one process, for as long as it lives."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tradewright.domain.ports import Cache
from tradewright.runtime.clock import Clock

BYTES_MAX: Final = 64 * 1024 * 1024
ENTRIES_MAX: Final = 10_000
VALUE_BYTES_MAX: Final = 1024 * 1024
_ENTRY_BYTES: Final = 300  # what Python needs for the key, the entry and its place, measured


@dataclass(frozen=True, slots=True)
class _Entry:
    value: bytes
    expires_s: float
    size_bytes: int


class MemoryCache(Cache):
    """Keeps what was used last, within a number of bytes and of entries. It never fails.

    A value longer than ``value_bytes_max`` is not kept, and what was kept under its key is forgotten.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        bytes_max: int = BYTES_MAX,
        entries_max: int = ENTRIES_MAX,
        value_bytes_max: int = VALUE_BYTES_MAX,
    ) -> None:
        self._clock = clock
        self._bytes_max = bytes_max
        self._entries_max = entries_max
        self._value_bytes_max = value_bytes_max
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The value of each key, None where there is none."""
        now_s = self._clock.monotonic()
        return [self._get(key, now_s) for key in keys]

    async def set_many(self, items: Mapping[str, bytes], ttl_s: float) -> None:
        """Keep the values for at most ``ttl_s`` seconds, and push out what was not used for longest."""
        expires_s = self._clock.monotonic() + ttl_s
        for key, value in items.items():
            self._forget(key)
            if len(value) > self._value_bytes_max:
                continue
            entry = _Entry(value, expires_s, len(value) + len(key) + _ENTRY_BYTES)
            self._entries[key] = entry
            self._bytes += entry.size_bytes
        while self._bytes > self._bytes_max or len(self._entries) > self._entries_max:
            _, oldest = self._entries.popitem(last=False)
            self._bytes -= oldest.size_bytes

    async def close(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes = 0

    @property
    def size_bytes(self) -> int:
        """What is kept now, keys and the room they take included."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    def _get(self, key: str, now_s: float) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires_s <= now_s:
            self._forget(key)
            return None
        self._entries.move_to_end(key)
        return entry.value

    def _forget(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size_bytes
