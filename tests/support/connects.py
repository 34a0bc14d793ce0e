"""Where this process connects to, or asks the name service for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_watching: list[set[tuple[str, int]]] = []
_installed = False


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching or event not in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        return
    if event == "socket.getaddrinfo":
        where = str(arguments[0]), int(arguments[1] or 0)
    else:
        address = arguments[1]
        where = (str(address[0]), int(address[1])) if isinstance(address, tuple) else (str(address), 0)
    for seen in _watching:
        seen.add(where)


@contextmanager
def watched_connects() -> Iterator[set[tuple[str, int]]]:
    """Yield the hosts and ports that are reached for meanwhile, by whatever part of the process."""
    global _installed
    if not _installed:
        sys.addaudithook(_heard)
        _installed = True
    seen: set[tuple[str, int]] = set()
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.remove(seen)
