"""What is known of CCXT's exchanges without importing CCXT: a file generated from it."""

from __future__ import annotations

from functools import cache
from importlib import resources

import msgspec

from tradewright.domain.capabilities import Capability, CredentialFieldName


class ManifestEntry(msgspec.Struct, frozen=True):
    """One exchange. ``streams`` says whether CCXT has websocket code for it; ``ohlcv_limit`` is how
    many bars one call gives, where CCXT knows."""

    name: str
    timeframes: tuple[str, ...]
    capabilities: tuple[Capability, ...]
    credential_fields: tuple[CredentialFieldName, ...]
    testnet: bool
    streams: bool
    ohlcv_limit: int | None


class Manifest(msgspec.Struct, frozen=True):
    """The file: the version of CCXT it was made from and the exchanges by their ids."""

    ccxt: str
    exchanges: dict[str, ManifestEntry]


@cache
def load_manifest() -> Manifest:
    """The manifest, read at the first call; ``tools/generate_ccxt_manifest.py`` writes it."""
    data = resources.files(__package__).joinpath("ccxt_manifest.json").read_bytes()
    return msgspec.json.decode(data, type=Manifest)
