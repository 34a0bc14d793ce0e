"""One table of bars in a file, and how a row of it is named to people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tradewright.domain.errors import BarFileError

ROWS_MAX: Final = 20_000_000
"""How many rows one command takes: more than 38 years of minutes."""
_SHOWN_CHARACTERS: Final = 40
_REASON_CHARACTERS: Final = 160


@dataclass(frozen=True, slots=True)
class Source:
    """A file, or a member of a zip archive; its rows are counted as lines or as rows, both from 1."""

    path: Path
    member: str | None = None
    counts: Literal["line", "row"] = "line"

    @property
    def label(self) -> str:
        """The name for people: the path as it was given, with the member of an archive."""
        return f"{self.path}" if self.member is None else f"{self.path} ({shown(self.member)})"

    def place(self, line: int) -> str:
        """File and line."""
        return f"{self.label}, {self.counts} {line}"

    def error(self, sentence: str, line: int | None = None) -> BarFileError:
        """The error that says what is wrong, and where."""
        place = self.label if line is None else self.place(line)
        return BarFileError(f"{place}: {sentence}", {"file": self.label})


def reason(error: Exception) -> str:
    """What a library says of a failure, on one line and not endless."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= _REASON_CHARACTERS else words[: _REASON_CHARACTERS - 1] + "…"


def shown(text: object) -> str:
    """Foreign text as it may appear in a message: in quotes, on one line, not endless."""
    letters = str(text)
    if len(letters) > _SHOWN_CHARACTERS:
        letters = letters[: _SHOWN_CHARACTERS - 1] + "…"
    return repr(letters.encode("utf-8", "backslashreplace").decode("utf-8"))
