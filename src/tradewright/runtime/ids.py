"""Opaque random ids, and all the chance there is in the program."""

from __future__ import annotations

import random
import secrets
from typing import Final

SYSTEM_RANDOM: Final = random.SystemRandom()
"""For jitter; tests pass a generator with a seed instead."""


def new_id(length_bytes: int = 12) -> str:
    """A URL-safe random string; 12 bytes give 16 characters."""
    return secrets.token_urlsafe(length_bytes)
