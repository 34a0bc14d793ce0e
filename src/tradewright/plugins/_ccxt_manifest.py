"""What is known of CCXT and its exchanges without importing CCXT: what of it we use, and a file generated
from it."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

import msgspec

from tradewright.domain.capabilities import Capability, CredentialFieldName

PUBLIC: Final = frozenset(
    {
        Capability.OHLCV,
        Capability.TICKER,
        Capability.ORDER_BOOK,
        Capability.TRADES,
        Capability.WATCH_OHLCV,
        Capability.WATCH_TICKER,
        Capability.WATCH_ORDER_BOOK,
        Capability.WATCH_TRADES,
    }
)
"""What any instance can do; an exchange offers what the manifest names."""
TRADING: Final = frozenset(
    {
        Capability.WATCH_ORDERS,
        Capability.WATCH_MY_TRADES,
        Capability.WATCH_BALANCES,
        Capability.WATCH_POSITIONS,
        Capability.CREATE_ORDER,
        Capability.CANCEL_ORDER,
        Capability.CANCEL_ALL_ORDERS,
        Capability.EDIT_ORDER,
        Capability.FETCH_ORDER,
        Capability.FETCH_OPEN_ORDERS,
        Capability.FETCH_CLOSED_ORDERS,
        Capability.FETCH_MY_TRADES,
        Capability.FETCH_BALANCES,
        Capability.FETCH_POSITIONS,
        Capability.FETCH_FEES,
        Capability.SET_LEVERAGE,
    }
)
"""What an instance with a key can do besides."""


class ManifestEntry(msgspec.Struct, frozen=True):
    """One exchange. ``streams`` says whether CCXT has websocket code for it; ``ohlcv_limit`` is how
    many bars one call gives, where CCXT knows; ``ignores_since`` whether its ``fetch_ohlcv`` does not tell
    the exchange from when on; ``finds_by_client_id`` whether its ``fetch_order`` takes a client order id."""

    name: str
    timeframes: tuple[str, ...]
    capabilities: tuple[Capability, ...]
    credential_fields: tuple[CredentialFieldName, ...]
    testnet: bool
    streams: bool
    ohlcv_limit: int | None
    ignores_since: bool
    finds_by_client_id: bool


class Manifest(msgspec.Struct, frozen=True):
    """The file: the version of CCXT it was made from and the exchanges by their ids."""

    ccxt: str
    exchanges: dict[str, ManifestEntry]


@cache
def load_manifest() -> Manifest:
    """The manifest, read at the first call; ``tools/generate_ccxt_manifest.py`` writes it."""
    data = resources.files(__package__).joinpath("ccxt_manifest.json").read_bytes()
    return msgspec.json.decode(data, type=Manifest)
