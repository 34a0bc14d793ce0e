"""The record in memory by which a wrong encryption key shows itself."""

from __future__ import annotations


class MemoryCanaryStore:
    """``CanaryStore`` in memory."""

    def __init__(self) -> None:
        self._sealed: bytes | None = None

    async def keep_first(self, sealed: bytes) -> bytes:
        self._sealed = self._sealed or sealed
        return self._sealed

    async def kept(self) -> bytes | None:
        return self._sealed

    async def reseal(self, old: bytes, new: bytes) -> bool:
        if self._sealed != old:
            return False
        self._sealed = new
        return True
