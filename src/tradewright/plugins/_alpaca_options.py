"""Where Alpaca is found, and what the operator may say about it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

URL_NAMES: Final = ("data_url", "trading_url", "data_stream_url", "trading_stream_url")
OPTION_NAMES: Final = (*URL_NAMES, "feed")
FEEDS: Final = ("iex", "sip")

_SCHEMES: Final = {name: ("ws", "wss") if "stream" in name else ("http", "https") for name in URL_NAMES}
# Neither a name and password nor a query: both end up where addresses are shown.
_ADDRESS: Final = re.compile(r"(?P<scheme>[a-z]+)://[A-Za-z0-9.\-\[\]:]+(/[A-Za-z0-9._~\-/]*)?")

_LIVE: Final = {
    "data_url": "https://data.alpaca.markets",
    "trading_url": "https://api.alpaca.markets",
    "data_stream_url": "wss://stream.data.alpaca.markets",
    "trading_stream_url": "wss://api.alpaca.markets/stream",
}
_PAPER: Final = {
    **_LIVE,
    "trading_url": "https://paper-api.alpaca.markets",
    "trading_stream_url": "wss://paper-api.alpaca.markets/stream",
}


@dataclass(frozen=True, slots=True)
class Addresses:
    """The four hosts, without a slash at the end."""

    data_url: str
    trading_url: str
    data_stream_url: str
    trading_stream_url: str


def addresses(options: Mapping[str, object], *, paper: bool) -> Addresses:
    """Alpaca's own hosts, those of paper trading where that is meant, and the operator's in their place."""
    own = _PAPER if paper else _LIVE
    return Addresses(**{name: str(options.get(name, own[name])).rstrip("/") for name in URL_NAMES})


def problems(provider: str, options: Mapping[str, object]) -> Sequence[str]:
    """A sentence for each wrong value; what is not known at all is for others to say."""
    found = [
        f"[providers.{provider}] {name} must be an address that begins with"
        f" {' or '.join(f'{scheme}://' for scheme in _SCHEMES[name])} and holds no name, password or query."
        for name in URL_NAMES
        if name in options and not _is_address(options[name], _SCHEMES[name])
    ]
    if options.get("feed", FEEDS[0]) not in FEEDS:
        found.append(f"[providers.{provider}] feed must be {' or '.join(FEEDS)}.")
    return found


def _is_address(value: object, schemes: Sequence[str]) -> bool:
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    return match is not None and match["scheme"] in schemes
