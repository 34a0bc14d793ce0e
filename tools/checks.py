"""Run every static check of the tree and say at the end which failed: what `make check` does.

Takes the names of single checks as arguments. All of them run, even after one has failed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

CHECKS: dict[str, tuple[str, ...]] = {
    "lint": (str(BIN / "ruff"), "check", "--quiet", "."),
    "format": (str(BIN / "ruff"), "format", "--check", "--quiet", "."),
    "types": (str(BIN / "mypy"), "--no-error-summary"),
    "imports": (str(BIN / "lint-imports"), "--no-cache"),
    "locks": (sys.executable, "-m", "tools.lock", "--check"),
    "frontend": (sys.executable, "tools/frontend.py", "check"),
}


def main(names: list[str]) -> int:
    """Run the named checks, or all; return the number of the failed ones."""
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        print(f"There is no check {unknown[0]!r}; there are {', '.join(CHECKS)}.", file=sys.stderr)
        return 2
    failed = [name for name in names or CHECKS if not passes(name, CHECKS[name])]
    if failed:
        print(f"Checks that failed: {', '.join(failed)}.", file=sys.stderr)
    return len(failed)


def passes(name: str, command: Sequence[str]) -> bool:
    """Run one command, say how it went, and show what it said if it failed."""
    began_at = time.monotonic()
    answer = subprocess.run(command, cwd=ROOT, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, text=True)
    passed = answer.returncode == 0
    print(f"· {name}: {'passed' if passed else 'FAILED'} in {time.monotonic() - began_at:.1f} s", flush=True)
    if not passed:
        print(answer.stdout, flush=True)
    return passed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
