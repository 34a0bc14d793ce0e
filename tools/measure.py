"""Run the programs under `bench/`: what `make bench` and `make soak` do.

    python -m tools.measure bench|soak [words]

Each `bench/bench_*.py` or `bench/soak_*.py` is a program that prints what it measured beside its peer
or its limit, and ends with a status other than 0 when a promise is broken. Words select programs by
a part of their name.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    """Run the selected programs one after the other; return 0 when all of them kept their promises."""
    if not arguments or arguments[0] not in ("bench", "soak"):
        print(__doc__, file=sys.stderr)
        return 2
    kind, *words = arguments
    found = sorted((ROOT / "bench").glob(f"{kind}_*.py"))
    programs = [each for each in found if not words or any(word in each.stem for word in words)]
    if not programs:
        print(f"There is nothing to run: no bench/{kind}_*.py matches.", file=sys.stderr)
        return 1
    failed = []
    for program in programs:
        print(f"· {program.stem}", flush=True)
        module = f"bench.{program.stem}"
        if subprocess.run([sys.executable, "-m", module], cwd=ROOT, check=False).returncode:
            failed.append(program.stem)
    if failed:
        print(f"Failed: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
