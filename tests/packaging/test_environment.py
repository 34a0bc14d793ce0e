"""The environment is made once, left alone while nothing changes, and repaired after an interruption."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# A project that needs nothing from outside: its build backend stands beside it.
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "tiny"
version = "1"
"""
BACKEND = """
import zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "tiny-1-py3-none-any.whl"
    wheel = "Wheel-Version: 1.0\\nGenerator: tiny\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as archive:
        archive.writestr("tiny.py", "answer = 42\\n")
        archive.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\n")
        archive.writestr("tiny-1.dist-info/WHEEL", wheel)
        archive.writestr(
            "tiny-1.dist-info/RECORD",
            "tiny.py,,\\ntiny-1.dist-info/METADATA,,\\ntiny-1.dist-info/WHEEL,,\\ntiny-1.dist-info/RECORD,,\\n",
        )
    return name
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tree whose environment has been made from nothing."""
    tree = tmp_path_factory.mktemp("tree")
    (tree / "tools").mkdir()
    (tree / "requirements").mkdir()
    shutil.copy(ROOT / "tools" / "environment.py", tree / "tools")
    for name in ("runtime.txt", "dev.txt", "build.txt"):
        (tree / "requirements" / name).write_text("# nothing\n", encoding="utf-8")
    (tree / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    (tree / "backend.py").write_text(BACKEND, encoding="utf-8")
    assert _steps(tree) == ["making", "installing", "installing"]
    return tree


def _steps(tree: Path, profile: str = "run") -> list[str]:
    """Run it and return the first words of its steps, one a line."""
    answer = subprocess.run(
        [sys.executable, str(tree / "tools" / "environment.py"), profile],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stderr == ""
    assert _works(tree)
    return [line.split()[1] for line in answer.stdout.splitlines()]


def _works(tree: Path) -> bool:
    program = "import tiny; assert tiny.answer == 42"
    return subprocess.run([tree / ".venv/bin/python", "-c", program], timeout=20).returncode == 0


def test_nothing_is_done_when_nothing_changed(made: Path) -> None:
    assert _steps(made) == []
    assert _steps(made) == []


def test_a_change_of_the_locks_installs_packages_but_keeps_the_environment(made: Path) -> None:
    (made / "requirements" / "runtime.txt").write_text("# still nothing\n", encoding="utf-8")
    assert _steps(made) == ["installing", "installing"]
    assert _steps(made) == []


def test_a_change_of_the_project_installs_it_alone(made: Path) -> None:
    with (made / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert _steps(made) == ["installing"]
    assert _steps(made) == []


def test_a_run_that_ended_before_its_stamp_is_finished(made: Path) -> None:
    (made / ".venv" / "tradewright-stamp.json").unlink()
    (made / ".venv" / "tradewright-unfinished").write_text("packages", encoding="utf-8")
    assert _steps(made) == ["installing", "installing"]
    assert _steps(made) == []


def test_an_environment_of_unknown_origin_is_built_upon_if_it_is_whole(made: Path) -> None:
    (made / ".venv" / "tradewright-stamp.json").unlink()
    assert _steps(made) == ["installing", "installing"]


@pytest.mark.parametrize(
    "damage", ["a half-made venv", "a lost file", "a half-installed package", "no interpreter"]
)
def test_what_cannot_be_vouched_for_is_made_anew(made: Path, damage: str) -> None:
    environment = made / ".venv"
    (site,) = environment.glob("lib/python3*/site-packages")
    (environment / "tradewright-stamp.json").unlink()
    if damage == "a half-made venv":
        (environment / "tradewright-unfinished").write_text("venv", encoding="utf-8")
    elif damage == "a lost file":
        (site / "tiny.py").unlink()
    elif damage == "a half-installed package":
        (site / "tiny-1.dist-info" / "RECORD").unlink()
    else:
        (environment / "bin" / "python").unlink()
    assert _steps(made) == ["making", "installing", "installing"]
    assert _steps(made) == []


def test_an_environment_for_development_serves_as_well(made: Path) -> None:
    assert _steps(made, "develop") == ["installing", "installing"]
    assert _steps(made, "run") == []
    assert _steps(made, "develop") == []


def test_a_failure_is_told_and_mended_by_the_next_run(made: Path) -> None:
    locks = made / "requirements" / "dev.txt"
    locks.write_text(
        "no-such-package==1 --hash=sha256:" + "0" * 64 + "\n-i file:///nowhere\n", encoding="utf-8"
    )
    answer = subprocess.run(
        [sys.executable, str(made / "tools" / "environment.py"), "develop"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert answer.returncode == 1
    assert "No matching distribution found for no-such-package==1" in answer.stderr
    assert "The environment could not be made" in answer.stderr
    locks.write_text("# nothing again\n", encoding="utf-8")
    assert _steps(made, "develop") == ["installing", "installing"]
