"""Opaque random ids."""

from __future__ import annotations

import secrets


def new_id(length_bytes: int = 12) -> str:
    """A URL-safe random string; 12 bytes give 16 characters."""
    return secrets.token_urlsafe(length_bytes)
