"""Golden tests wait for recorded data by name, and run with it or fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFTEST = ROOT / "tests" / "conftest.py"
TESTS = """
import pytest

def test_plain():
    pass

@pytest.mark.golden
def test_golden(recorded_data):
    assert (recorded_data / "prices.csv").read_text() == "1,2,3"
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a small tree of tests that uses our conftest."""
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "test_it.py").write_text(TESTS, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\npythonpath = {ROOT}\nmarkers =\n    golden: x\n", encoding="utf-8"
    )
    return tmp_path


def _run(tree: Path, data: Path | None) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRADEWRIGHT_")}
    if data:
        environment["TRADEWRIGHT_TEST_DATA"] = str(data)
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tree)],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return answer.returncode, answer.stdout + answer.stderr


def test_without_data_the_others_run_and_one_line_names_them(tree: Path) -> None:
    status, said = _run(tree, None)
    assert status == 0, said
    (line,) = [line for line in said.splitlines() if "did not run" in line]
    assert line.startswith("1 golden test ")
    assert line.endswith("test_it.py::test_golden")
    assert "1 passed, 1 deselected" in said


def test_with_data_they_run(tree: Path) -> None:
    (tree / "data").mkdir()
    (tree / "data" / "prices.csv").write_text("1,2,3", encoding="utf-8")
    status, said = _run(tree, tree / "data")
    assert status == 0, said
    assert "2 passed" in said
    assert "did not run" not in said


def test_a_missing_file_is_a_failure(tree: Path) -> None:
    (tree / "data").mkdir()
    status, said = _run(tree, tree / "data")
    assert status == 1
    assert "1 failed, 1 passed" in said


def test_a_missing_directory_is_a_failure(tree: Path) -> None:
    status, said = _run(tree, tree / "nowhere")
    assert status != 0
    assert "which is not a directory" in said
