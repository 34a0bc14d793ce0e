"""Refresh tokens: random, kept only as hashes, and good for one use.

Two tabs of one browser may use the same token at the same time. So for a while the used one is answered with
the very successor that was made for it, which is kept sealed under the used token itself: who can't show
that can't have it.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tradewright.services.key_ring import derive

LENGTH_MAX: Final = 128
_PURPOSE: Final = "sealing key of a refresh token's successor"


def new_refresh_token() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """Under what a token is kept; of random tokens a plain hash gives nothing away."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def seal_successor(used: str, successor: str) -> bytes:
    """The successor, for whoever shows the used token."""
    # A key that seals one thing, once: a fixed nonce would do, a random one asks for no argument.
    nonce = secrets.token_bytes(12)
    return nonce + AESGCM(derive(used, _PURPOSE)).encrypt(nonce, successor.encode(), token_hash(used))


def open_successor(used: str, sealed: bytes) -> str | None:
    """The successor; None where it was sealed under another token or changed."""
    try:
        return AESGCM(derive(used, _PURPOSE)).decrypt(sealed[:12], sealed[12:], token_hash(used)).decode()
    except (InvalidTag, ValueError):
        return None
