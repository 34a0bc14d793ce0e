"""Test networks of exchanges: what is meant for one must never reach the venue, where money is real."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from tradewright.domain.errors import PluginFeatureNotSupportedError
from tradewright.plugins._ccxt_quirks import sandbox_facts

Place: TypeAlias = tuple[str, int | None]
"""A host, and a port or all of them."""


def enter_sandbox(exchange: Any) -> frozenset[Place]:
    """Turn an exchange of CCXT's to its test network; the places that it may ask no more: those of the venue
    itself, and every port of a host that the test network does not use.

    ``PluginFeatureNotSupportedError`` where nothing would tell a call for the test network from one for the
    venue itself, and where the test network is another company's.
    """
    facts = sandbox_facts(exchange.id)
    if facts.of_another is not None:
        raise PluginFeatureNotSupportedError(
            f"The test network is not the venue's own, but that of {facts.of_another}."
        )
    # Its own addresses, too, where the operator has put others in their place.
    live = _places_in(exchange, [exchange.urls["api"], exchange.describe()["urls"]["api"]])
    exchange.set_sandbox_mode(True)
    allowed = _places_in(exchange, exchange.urls["api"])
    marked = any(name.lower() == facts.header for name in exchange.headers or {})
    if not marked and any(host not in facts.shared_hosts for host, _ in live & allowed):
        raise PluginFeatureNotSupportedError(
            "The test network has an address of the venue itself, so that calls could not be told apart."
        )
    hosts = {host for host, _ in live} - {host for host, _ in allowed}
    return (live - allowed) | {(host, None) for host in hosts}


def has_sandbox(exchange: Any) -> bool:
    """Whether CCXT knows a test network of the exchange that is its own and can be told from the venue
    itself. Where it does, the exchange is turned to it."""
    if not exchange.urls.get("test"):
        return False
    try:
        enter_sandbox(exchange)
    except PluginFeatureNotSupportedError:
        return False
    return True


def is_off_limits(url: str, places: frozenset[Place]) -> bool:
    """Whether the address is in one of these places."""
    host, port = _place_of(url)
    return (host, port) in places or (host, None) in places


def _place_of(url: str) -> Place:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (80 if parts.scheme in ("http", "ws") else 443)


def _places_in(exchange: Any, addresses: object) -> frozenset[Place]:
    hostname = str(getattr(exchange, "hostname", None) or "")
    return frozenset(_place_of(text.replace("{hostname}", hostname)) for text in _texts(addresses))


def _texts(addresses: object) -> Iterator[str]:
    match addresses:
        case dict():
            for value in addresses.values():
                yield from _texts(value)
        case list():
            for value in addresses:
                yield from _texts(value)
        case str():
            yield addresses
