"""Text to numbers, strictly: plain decimal ASCII notation and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from tradewright.domain.bars import Values
from tradewright.domain.timeframes import Times
from tradewright.services.bar_import.source import Source, shown

_NUMBER: Final = re.compile(r" *[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})? *")
_NUMBER_CHARACTERS: Final = "0123456789.eE+- "


def parse_values(texts: Sequence[str], name: str, lines: Times, source: Source) -> Values:
    """The column as float64; ``BarFileError`` names the first text that is no number."""
    # float() takes more than we do ("nan", "1_000", other alphabets' digits), so what it is given
    # is first held to the characters of a number, in one pass over the joined text.
    if not "".join(texts).strip(_NUMBER_CHARACTERS):
        try:
            return np.fromiter(map(float, texts), dtype=np.float64, count=len(texts))
        except ValueError:
            pass
    for text, line in zip(texts, lines.tolist(), strict=True):
        if not _NUMBER.fullmatch(text):
            raise source.error(f"the {name} {shown(text)} is not a number.", line)
    return np.fromiter(map(float, texts), dtype=np.float64, count=len(texts))
