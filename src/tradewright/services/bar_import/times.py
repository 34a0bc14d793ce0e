"""The time column of a file: its form is found on the first row and holds for all.

Numbers are epoch seconds, milliseconds, microseconds or nanoseconds; the ranges in which they are
plausible (the years 1973 to 2286) don't overlap. Text is an ISO 8601 date, or a date and a time of
day; without an offset it is UTC.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradewright.domain.timeframes import Times
from tradewright.services.bar_import.source import Source, shown

_DIGITS: Final = re.compile(r" *([0-9]{1,19})(?:\.0*)? *")
_ISO: Final = re.compile(
    r" *[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?P<clock>[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?"
    r"(?: ?(?:Z|UTC|[+-][0-9]{2}:?[0-9]{2}))?)? *"
)
_LOWEST_S: Final = 10**8
_UNITS: Final = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END_MS: Final = 253_402_300_800_000
"""Where the year 9999 ends."""


def refuse_beyond(times: Times, source: Source, lines: Times) -> None:
    """``BarFileError`` where a time lies outside the years 1970 to 9999, for which bars can be asked."""
    beyond = (times < 0) | (times >= _END_MS)
    if beyond.any():
        row = int(beyond.argmax())
        when = "before the year 1970" if times[row] < 0 else "after the year 9999"
        raise source.error(
            f"this bar is of a time {when}, which can't be served; leave it out.", int(lines[row])
        )


def looks_like_time(text: str) -> bool:
    """Whether a cell can be a time, which the name of a column can't."""
    return bool(_DIGITS.fullmatch(text) or _ISO.fullmatch(text))


class TimeColumn:
    """Turns one source's times into epoch ms, chunk by chunk, and remembers the form of the first."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._unit: str | None = None
        self._text: bool | None = None
        self.only_dates = False
        """Whether no row so far had a time of day."""

    def parse_texts(self, texts: Sequence[str], lines: Times) -> Times:
        """Times from text: all numbers or all ISO 8601."""
        if not texts:
            return np.empty(0, dtype=np.int64)
        if self._text is None:
            self._text = not _DIGITS.fullmatch(texts[0])
            self.only_dates = self._text
        return self._parse_iso(texts, lines) if self._text else self._parse_digits(texts, lines)

    def parse_integers(self, values: NDArray[np.int64], lines: Times) -> Times:
        """Times from numbers of a unit that is found by their size."""
        if not len(values):
            return values
        if self._unit is None:
            self._unit = self._unit_of(int(values[0]), int(lines[0]))
        scale = _UNITS[self._unit]
        strange = (values < _LOWEST_S * scale) | (values >= _LOWEST_S * scale * 100)
        if scale == _UNITS["nanoseconds"]:
            strange = values < _LOWEST_S * scale  # the upper bound is beyond int64
        if strange.any():
            row = int(strange.argmax())
            raise self._source.error(
                f"the time {values[row]} does not fit: the file began with times in {self._unit}.",
                int(lines[row]),
            )
        if scale == 1:
            return values * 1_000
        step = scale // 1_000
        broken = values % step != 0
        if broken.any():
            row = int(broken.argmax())
            raise self._source.error(
                f"the time {values[row]} is not a whole number of milliseconds, so no bar opens at it.",
                int(lines[row]),
            )
        return values // step

    def _unit_of(self, value: int, line: int) -> str:
        for unit, scale in _UNITS.items():
            if _LOWEST_S * scale <= value < _LOWEST_S * scale * 100:
                return unit
        raise self._source.error(
            f"the time {value} is not plausible in seconds, milliseconds, microseconds or nanoseconds.", line
        )

    def _parse_digits(self, texts: Sequence[str], lines: Times) -> Times:
        if "".join(texts).strip("0123456789"):
            texts = [self._digits(text, line) for text, line in zip(texts, lines.tolist(), strict=True)]
        try:
            values = np.fromiter(map(int, texts), dtype=np.int64, count=len(texts))
        except (ValueError, OverflowError):
            for text, line in zip(texts, lines.tolist(), strict=True):
                if not 0 < len(text) < 20 or int(text) >= 2**63:
                    raise self._not_a_time(text, line) from None
            raise
        return self.parse_integers(values, lines)

    def _digits(self, text: str, line: int) -> str:
        match = _DIGITS.fullmatch(text)
        if match is None:
            raise self._not_a_time(text, line)
        return match[1]

    def _parse_iso(self, texts: Sequence[str], lines: Times) -> Times:
        times = np.empty(len(texts), dtype=np.int64)
        for row, text in enumerate(texts):
            match = _ISO.fullmatch(text)
            if match is None:
                raise self._not_a_time(text, int(lines[row]))
            self.only_dates = self.only_dates and match["clock"] is None
            try:
                times[row] = _epoch_ms(text.strip().removesuffix("UTC").rstrip())
            except ValueError:
                raise self._not_a_time(text, int(lines[row])) from None
        return times

    def _not_a_time(self, text: str, line: int) -> Exception:
        wanted = "an ISO 8601 date and time" if self._text else "a whole number"
        return self._source.error(f"the time {shown(text)} is not {wanted}, as the file began with.", line)


def _epoch_ms(text: str) -> int:
    """ISO 8601 to epoch ms; a fraction below a millisecond is a ``ValueError``."""
    moment = datetime.fromisoformat(text.replace(",", "."))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    passed = moment - _EPOCH
    if passed.microseconds % 1_000:
        raise ValueError(text)
    return (passed.days * 86_400 + passed.seconds) * 1_000 + passed.microseconds // 1_000
