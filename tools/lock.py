"""Write the locked, hashed requirements, or check without a network that they fit `pyproject.toml`.

    python -m tools.lock                resolve again, keeping the versions that still fit
    python -m tools.lock --upgrade      resolve to the newest versions that fit
    python -m tools.lock --check        say what does not fit; needs no network

The files hold versions for every platform and Python that the project names, hashes of every file,
and no download address.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
FORM = ("--universal", "--generate-hashes", "--no-header", "--no-annotate", "--quiet")
OPTIONS = (*FORM, "--python-version", "3.11")

# Which part of pyproject.toml each file locks. Development comes first: the others follow its versions.
GROUPS = {"dev.txt": ("pyproject.toml", "--group", "dev"), "runtime.txt": ("pyproject.toml",)}
BUILD = {"build.txt": ("--group", "build")}
# Node.js for machines that have none; the front end's tools take it, no other file does.
NODE = {"node.txt": ("--group", "node")}

Pins = dict[str, set[Version]]


def main(arguments: list[str]) -> int:
    """Lock, or check the locks; return the exit status."""
    if arguments == ["--check"]:
        problems = check(ROOT)
        print("\n".join(problems) or "The lock files fit pyproject.toml.")
        return 1 if problems else 0
    if arguments not in ([], ["--upgrade"]):
        print(__doc__, file=sys.stderr)
        return 2
    for name, inputs in (GROUPS | BUILD | NODE).items():
        constraint = ("-c", str(REQUIREMENTS / "dev.txt")) if name != "dev.txt" else ()
        target = str(REQUIREMENTS / name)
        command = ("pip", "compile", *OPTIONS, *arguments, *constraint, *inputs, "-o", target)
        subprocess.run([Path(sys.executable).parent / "uv", *command], check=True, cwd=ROOT)
        print(f"· locked requirements/{name}", flush=True)
    return main(["--check"])


def check(root: Path) -> list[str]:
    """Return one sentence for each thing that does not fit; none means that the locks are fresh."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    runtime = project["project"]["dependencies"]
    groups = project["dependency-groups"]
    declared = {
        "runtime.txt": runtime,
        "dev.txt": runtime + groups["dev"],
        "build.txt": groups["build"],
        "node.txt": groups["node"],
    }
    problems: list[str] = []
    pins: dict[str, Pins] = {}
    for path in sorted((root / "requirements").glob("*.txt")):
        problems += [f"requirements/{path.name}: {problem}" for problem in _faults(path.read_text("utf-8"))]
    for name, requirements in declared.items():
        pins[name] = _pins((root / "requirements" / name).read_text("utf-8"))
        problems += [f"requirements/{name}: {problem}" for problem in _unmet(requirements, pins[name])]
    for package, versions in sorted(pins["runtime.txt"].items()):
        if pins["dev.txt"].get(package) != versions:
            problems.append(f"requirements/dev.txt: {package} differs from runtime.txt; run `make lock`.")
    return problems


def _pins(text: str) -> Pins:
    pins: Pins = defaultdict(set)
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE):
        pins[canonicalize_name(name)].add(Version(version))
    return pins


def _faults(text: str) -> list[str]:
    """Return what no lock file may have: an address, or a requirement without version or hash."""
    faults = [f"{word!r} is an address." for word in re.findall(r"\S*://\S*", text)]
    for entry in re.split(r"(?<!\\)\n", text):
        wanted = entry.strip()
        if wanted and not wanted.startswith("#") and not ("==" in wanted and "--hash=sha256:" in wanted):
            faults.append(f"{wanted.split()[0]!r} has no exact version with hashes.")
    return faults


def _unmet(requirements: list[str], pins: Pins) -> list[str]:
    unmet = []
    for text in requirements:
        requirement = Requirement(text)
        versions = pins.get(canonicalize_name(requirement.name), set())
        fits = [requirement.specifier.contains(each, prereleases=True) for each in versions]
        if not fits or not all(fits):
            found = ", ".join(sorted(map(str, versions))) or "nothing"
            unmet.append(f"{text!r} is wanted and {found} is locked; run `make lock`.")
    return unmet


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
