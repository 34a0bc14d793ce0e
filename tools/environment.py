"""Make `.venv` and keep it equal to the lock files; costs milliseconds when nothing changed.

    python3 tools/environment.py run        what the server needs
    python3 tools/environment.py develop    the same, with what the checks and tests need

Runs under the system's Python with nothing but the standard library. A stamp inside `.venv` holds
what was installed and is written last, so that an interrupted run is seen and repaired by the next
one: what cannot be vouched for is made anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "tradewright-stamp.json"
UNFINISHED = VENV / "tradewright-unfinished"
REQUIREMENTS = ROOT / "requirements"
LOCKS = {"run": ("runtime.txt", "build.txt"), "develop": ("dev.txt", "build.txt")}
PACKAGE_INPUTS = ("pyproject.toml", "hatch_build.py")

Stamp = dict[str, str]


def main(arguments: list[str]) -> int:
    """Bring the environment up to date for the profile named on the command line."""
    if len(arguments) != 1 or arguments[0] not in LOCKS:
        print(f"usage: {sys.argv[0]} {'|'.join(LOCKS)}", file=sys.stderr)
        return 2
    with _one_at_a_time():
        stamp = _read_stamp()
        # An environment for development holds all that a server needs: do not take it apart.
        profile = "develop" if stamp.get("profile") == "develop" else arguments[0]
        wanted = _wanted(profile)
        if stamp == wanted:
            return 0
        try:
            _update(stamp, wanted)
        except subprocess.CalledProcessError as error:
            print(f"The environment could not be made: {_said(error)}", file=sys.stderr)
            return 1
    return 0


def _update(stamp: Stamp, wanted: Stamp) -> None:
    if not _sound(stamp, wanted):
        _step("making .venv")
        shutil.rmtree(VENV, ignore_errors=True)
        VENV.mkdir()
        UNFINISHED.write_text("venv", encoding="utf-8")
        _call(sys.executable, "-m", "venv", str(VENV))
        stamp = {}
    UNFINISHED.write_text("packages", encoding="utf-8")
    STAMP.unlink(missing_ok=True)
    if any(stamp.get(key) != wanted[key] for key in ("profile", "locks")):
        files = LOCKS[wanted["profile"]]
        _step(f"installing the locked packages of {' and '.join(files)}; the first time takes minutes")
        requirements = [part for name in files for part in ("-r", str(REQUIREMENTS / name))]
        _pip("install", "--require-hashes", "--only-binary", ":all:", *requirements)
    _step("installing tradewright itself")
    _pip("install", "--no-build-isolation", "--no-deps", "--no-index", "--editable", str(ROOT))
    UNFINISHED.unlink()
    draft = STAMP.with_suffix(".draft")
    draft.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
    draft.replace(STAMP)


def _wanted(profile: str) -> Stamp:
    return {
        "profile": profile,
        "root": str(ROOT),
        "python": f"{sys.implementation.cache_tag} {os.path.realpath(sys.executable)}",
        "locks": _digest(REQUIREMENTS / name for name in LOCKS[profile]),
        "package": _digest(ROOT / name for name in PACKAGE_INPUTS),
    }


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + (path.read_bytes() if path.exists() else b"") + b"\0")
    return digest.hexdigest()


def _read_stamp() -> Stamp:
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) and PYTHON.exists() else {}


def _sound(stamp: Stamp, wanted: Stamp) -> bool:
    """Tell whether the present `.venv` may be built upon instead of being made anew."""
    if stamp:
        return stamp.get("root") == wanted["root"] and stamp.get("python") == wanted["python"]
    begun = UNFINISHED.read_text(encoding="utf-8") if UNFINISHED.exists() else "packages"
    return begun == "packages" and _interpreter_works() and _installed_whole()


def _interpreter_works() -> bool:
    probe = "import pip, sys; print(sys.implementation.cache_tag)"
    try:
        answer = subprocess.run([PYTHON, "-c", probe], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return answer.stdout.strip() == sys.implementation.cache_tag


def _installed_whole() -> bool:
    """Tell whether every distribution is there with all its files; pip writes RECORD last."""
    for site in VENV.glob("lib/python3*/site-packages"):
        if any(site.glob("~*")):
            return False
        for information in site.glob("*.dist-info"):
            record = information / "RECORD"
            if not record.exists() or not (information / "INSTALLER").exists():
                return False
            files = (line.rsplit(",", 2)[0].strip('"') for line in record.read_text("utf-8").splitlines())
            if not all((site / file).exists() for file in files if not file.endswith(".pyc")):
                return False
    return True


def _pip(*arguments: str) -> None:
    quiet = ("-qq", "--disable-pip-version-check", "--no-input", "--no-color")
    _call(str(PYTHON), "-m", "pip", *arguments, *quiet, "--root-user-action", "ignore")


def _call(*command: str) -> None:
    subprocess.run(command, check=True, cwd=ROOT, stdin=subprocess.DEVNULL)


def _said(error: subprocess.CalledProcessError) -> str:
    return f"`{' '.join(str(part) for part in error.cmd[:4])} …` ended with status {error.returncode}."


def _step(text: str) -> None:
    print(f"· {text}", flush=True)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Hold a lock on this clone, so that two runs do not write one environment."""
    directory = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _step("waiting for another run that is making this environment")
            fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("Interrupted; run it again and it goes on from here.", file=sys.stderr)
        sys.exit(130)
