"""What this program is made of: version, licence and notices of each part, as the parts themselves say.

Python packages are read from their installed metadata; the front end's from what was vendored with them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

PACKAGE: Final = "tradewright"
VENDOR: Final = Path(__file__).parent / "static" / "vendor"

_PACKAGE_FILE: Final = ".package.json"
_NOTICE_FILE: Final = re.compile(r"(LICEN[CS]E|COPYING|NOTICE)", re.IGNORECASE)
_REQUIREMENT: Final = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[([^\]]*)\])?")
_EXTRA: Final = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")
_LICENSE_NAME_MAX: Final = 60
_UNKNOWN: Final = "see its notices"


@dataclass(frozen=True, slots=True)
class Part:
    """One package. ``license`` is how it names its licence, ``texts`` its files of licence and notice by
    their names."""

    name: str
    version: str
    license: str
    homepage: str | None
    texts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """Ours, then the packages that it needs and that are installed, then those of the front end; each list
    by name."""

    own: Part
    python: tuple[Part, ...]
    front_end: tuple[Part, ...]

    def without_versions(self) -> Parts:
        """The same, for who is not to know them."""
        return Parts(
            own=replace(self.own, version=""),
            python=tuple(replace(part, version="") for part in self.python),
            front_end=tuple(replace(part, version="") for part in self.front_end),
        )

    def text(self) -> str:
        """Every licence and notice, one after the other."""
        return "\n".join(_section(part) for part in (self.own, *self.front_end, *self.python))


@cache
def installed_parts() -> Parts:
    """What runs here. Reads a few hundred small files at the first call, so not on the event loop."""
    others = [_python_part(found) for found in _needed(PACKAGE)]
    return Parts(
        own=_python_part(metadata.distribution(PACKAGE)),
        python=tuple(sorted(others, key=_by_name)),
        front_end=vendored_parts(VENDOR),
    )


def vendored_parts(folder: Path) -> tuple[Part, ...]:
    """The front end's packages in a folder: ``<name>.package.json`` beside ``<name>.LICENSE.txt`` and its
    kind. One that lies there without its ``package.json`` is told without version."""
    stems = {path.name.split(".", 1)[0] for path in folder.glob("*.txt")}
    stems |= {path.name.removesuffix(_PACKAGE_FILE) for path in folder.glob(f"*{_PACKAGE_FILE}")}
    return tuple(sorted((_vendored_part(folder, stem) for stem in stems), key=_by_name))


def _vendored_part(folder: Path, stem: str) -> Part:
    described = folder / f"{stem}{_PACKAGE_FILE}"
    told = json.loads(described.read_text(encoding="utf-8")) if described.is_file() else {}
    texts = [
        (path.name.removeprefix(f"{stem}."), _text(path)) for path in sorted(folder.glob(f"{stem}.*.txt"))
    ]
    homepage = told.get("homepage")
    return Part(
        name=str(told.get("name", stem)),
        version=str(told.get("version", "")),
        license=str(told.get("license", _UNKNOWN)),
        homepage=homepage if isinstance(homepage, str) else None,
        texts=tuple(texts),
    )


def _needed(root: str) -> Iterator[metadata.Distribution]:
    """Every installed distribution that ``root`` needs, directly or not, without ``root`` itself."""
    waiting = [(root, frozenset[str]())]
    seen: set[tuple[str, frozenset[str]]] = set()
    told = {_normal(root)}
    while waiting:
        name, extras = waiting.pop()
        if (_normal(name), extras) in seen:
            continue
        seen.add((_normal(name), extras))
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another system or another Python
        if _normal(name) not in told:
            told.add(_normal(name))
            yield found
        waiting += _requirements(found.requires or (), extras)


def _requirements(lines: Iterable[str], extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for line in lines:
        wanted, _, marker = line.partition(";")
        extra = _EXTRA.search(marker)
        if extra and _normal(extra[1]) not in extras:
            continue
        if named := _REQUIREMENT.match(wanted):
            asked = {_normal(each) for each in (named[2] or "").split(",") if each.strip()}
            yield named[1], frozenset(asked)


def _python_part(found: metadata.Distribution) -> Part:
    about = found.metadata
    files = [path for path in found.files or () if _is_notice(path)]
    return Part(
        name=about["Name"],
        version=found.version,
        license=_license_of(about),
        homepage=_homepage(about),
        texts=tuple((_short(path), _text(Path(str(path.locate())))) for path in files),
    )


def _is_notice(path: metadata.PackagePath) -> bool:
    in_metadata = any(part.endswith(".dist-info") for part in path.parts)
    return in_metadata and _NOTICE_FILE.match(path.name) is not None


def _short(path: metadata.PackagePath) -> str:
    """The file's path below its metadata: a package may carry those of what it was built with."""
    return "/".join(part for part in path.parts if part != "licenses" and not part.endswith(".dist-info"))


def _license_of(about: metadata.PackageMetadata) -> str:
    if expression := _first(about, "License-Expression"):
        return expression
    old_field = _first(about, "License")
    if old_field and "\n" not in old_field and len(old_field) <= _LICENSE_NAME_MAX:
        return old_field
    classifiers = about.get_all("Classifier") or ()
    named = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: ")]
    return ", ".join(named) or _UNKNOWN


def _homepage(about: metadata.PackageMetadata) -> str | None:
    pairs = [each.split(", ", 1) for each in about.get_all("Project-URL") or () if ", " in each]
    by_label = {label.lower(): url for label, url in pairs}
    labels = ("homepage", "home", "source", "source code", "repository", "github")
    found = [_first(about, "Home-page"), *(by_label.get(label) for label in labels)]
    return next((url for url in found if url and url.startswith("https://")), None)


def _first(about: metadata.PackageMetadata, field: str) -> str | None:
    values = about.get_all(field) or ()
    return next((value for value in values if value and value != "UNKNOWN"), None)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _section(part: Part) -> str:
    title = f"{part.name} {part.version}".strip()
    texts = [f"--- {name} ---\n\n{text.strip()}\n" for name, text in part.texts if text.strip()]
    return "\n".join([f"{'=' * 78}\n{title}\nLicence: {part.license}\n{'=' * 78}\n", *texts])


def _by_name(part: Part) -> str:
    return part.name.lower()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
