"""What must not stand in the tree: paths of one machine, hosts of registries, recorded data."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.architecture.house import ROOT

FILE_BYTES_MAX = 400_000

# Put together from parts, so that this file does not hold what it looks for.
FORBIDDEN = {
    "a path of one machine": re.compile(
        r"(?<![\w.])/(?:" + "|".join(("work", "root", "opt/pypi", r"home/[a-z]\w*")) + r")\b/?"
    ),
    "a registry's host": re.compile(
        "|".join(
            re.escape(".".join(parts))
            for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"))
        )
    ),
    "a download address in a lockfile": re.compile('"resolved"' + r'\s*:\s*"http'),
    "a marker of unfinished work": re.compile(
        r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)) + r")\b"
    ),
}
RECORDED = (".parquet", ".jsonl.gz", ".csv.gz", ".zip")


def _tracked() -> list[str]:
    answer = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in answer.stdout.split("\0") if name and (ROOT / name).is_file()]


def _findings(name: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        for what, pattern in FORBIDDEN.items():
            if pattern.search(line):
                yield f"{name}:{number}: {what}: {line.strip()[:100]}"


def test_no_file_says_where_it_was_made() -> None:
    names = _tracked()
    assert len(names) > 20
    found: list[str] = []
    for name in names:
        content = (ROOT / name).read_bytes()
        if b"\0" not in content:
            found += _findings(name, content.decode("utf-8"))
    assert found == []


def test_no_recorded_data_and_no_large_file() -> None:
    recorded = [name for name in _tracked() if name.endswith(RECORDED)]
    large = [name for name in _tracked() if (ROOT / name).stat().st_size > FILE_BYTES_MAX]
    assert (recorded, large) == ([], [])


@pytest.mark.parametrize(
    "line",
    [
        "open('/" + "work/main/x')",
        "see /" + "home/anna/x",
        "index = https://" + "pypi." + "org/simple",
        '"resolved' + '": "http://127.0.0.1/x.tgz"',
        "# TO" + "DO: later",
    ],
)
def test_the_scan_sees_what_it_forbids(line: str) -> None:
    assert list(_findings("x", line))


def test_the_scan_lets_the_ordinary_pass() -> None:
    assert list(_findings("x", "the network of /var/lib, /homework and todo lists")) == []
