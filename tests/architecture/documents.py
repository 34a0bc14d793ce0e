"""Reads what the documents promise: tables, links, commands, settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.house import ROOT

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_ROW = re.compile(r"^\|(.+)\|\s*$", re.MULTILINE)


def documents() -> list[Path]:
    """Return every document of the tree."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of each table row, headings and rules left out."""
    for match in _ROW.finditer(text):
        cells = [cell.strip() for cell in match[1].split("|")]
        if cells[0] and not set(cells[0]) <= set("-: "):
            yield cells


def dead_links(path: Path, text: str) -> list[str]:
    """Return the relative links of a document, headings in documents included, that lead nowhere."""
    dead = []
    for target in _LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, heading = target.partition("#")
        found = (path.parent / name) if name else path
        if not found.exists() or (heading and heading not in _anchors(found)):
            dead.append(target)
    return dead


def make_targets_named(text: str) -> set[str]:
    """Return the targets in `make target` as code has it, in a code block or between backticks."""
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))
    return set(re.findall(r"\bmake ([a-z]+)\b", code))


def settings_named(text: str) -> set[str]:
    """Return the names of the settings in a text, without the prefix; those of tests are not settings."""
    names = set(re.findall(r"\bTRADEWRIGHT_([A-Z][A-Z_]*[A-Z])\b", text))
    return {name for name in names if not name.startswith("TEST_")}


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
