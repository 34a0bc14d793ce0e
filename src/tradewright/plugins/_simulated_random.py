"""Randomness with random access: numbers that are a pure function of a key and of what they are asked for.

Nothing but integer arithmetic and the operations that IEEE 754 defines to the last bit, so that every
machine computes the same market; the transcendental functions of the C libraries differ.
"""

from __future__ import annotations

import hashlib
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Bits: TypeAlias = NDArray[np.uint64]
Floats: TypeAlias = NDArray[np.float64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_LN_2: Final = 0.6931471805599453
_SQRT_3: Final = 1.7320508075688772
_LOW_16: Final = np.uint64(0xFFFF)


def make_key(*parts: str | int) -> int:
    """A 64-bit key for the parts; different parts give independent numbers."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def bits(key: int, *coordinates: Ints) -> Bits:
    """64 random bits for each of the coordinates (integer arrays of one shape)."""
    state = np.uint64(key)
    mixed: Bits = np.empty(0, dtype=np.uint64)
    for coordinate in coordinates:
        mixed = coordinate.astype(np.uint64) * _GOLDEN + state
        mixed ^= mixed >> np.uint64(30)
        mixed *= _MIX_1
        mixed ^= mixed >> np.uint64(27)
        mixed *= _MIX_2
        mixed ^= mixed >> np.uint64(31)
        state = mixed  # type: ignore[assignment]  # from the second coordinate on, an array of states
    return mixed


def uniform(random: Bits) -> Floats:
    """Numbers in ``[0, 1)`` from random bits."""
    return (random >> np.uint64(11)).astype(np.float64) * 2.0**-53


def gauss(random: Bits) -> Floats:
    """Numbers of mean 0 and variance 1, nearly normal (sums of four uniform ones), from random bits."""
    total: Bits = (
        (random & _LOW_16)
        + ((random >> np.uint64(16)) & _LOW_16)
        + ((random >> np.uint64(32)) & _LOW_16)
        + (random >> np.uint64(48))
    )
    return (total.astype(np.float64) * 2.0**-16 - (2.0 - 2.0**-15)) * _SQRT_3


def exponential(random: Bits) -> Floats:
    """Numbers of mean 1, exponentially distributed, from random bits."""
    mantissa, exponent = np.frexp(1.0 - uniform(random))
    logarithm: Floats = log2_of_mantissa(mantissa) + exponent
    return logarithm * -_LN_2


def log2_of_mantissa(mantissa: Floats) -> Floats:
    """log₂ of numbers in ``[0.5, 1]``, to eight digits."""
    # log2(m) = 2/ln 2 · artanh((m-1)/(m+1)), by its series
    ratio = (mantissa - 1.0) / (mantissa + 1.0)
    square = ratio * ratio
    series = np.full_like(square, 1.0 / 13.0)
    for odd in (11.0, 9.0, 7.0, 5.0, 3.0, 1.0):
        series = series * square + 1.0 / odd
    return np.asarray(ratio * series * (2.0 / _LN_2), dtype=np.float64)


def exp(power: Floats) -> Floats:
    """e to the power, to ten digits."""
    scaled = power * (1.0 / _LN_2)
    whole = np.rint(scaled)
    rest = (scaled - whole) * _LN_2
    series = 1.0 + rest / 10.0
    for divisor in (9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0):
        series = 1.0 + series * rest / divisor
    result: Floats = np.ldexp(series, whole.astype(np.int32))
    return result
