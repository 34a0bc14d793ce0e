"""`make` names what a bare machine lacks, in one sentence with the command that mends it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHELL = "/bin/sh"

MODERN = "case \"$2\" in *version_info*) exit 0;; *ensurepip*) exit 0;; esac; echo 'Python 3.12.1'"
OLD = "case \"$2\" in *version_info*) exit 1;; esac; echo 'Python 3.9.2'"
WITHOUT_VENV = 'case "$2" in *version_info*) exit 0;; *ensurepip*) exit 1;; esac'


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Return the only folder in PATH of a machine that has git, make, id and a modern Python."""
    for name in ("git", "make"):
        _program(tmp_path / name, "exit 0")
    (tmp_path / "id").symlink_to(shutil.which("id") or "/usr/bin/id")
    _program(tmp_path / "python3", MODERN)
    return tmp_path


def _program(path: Path, body: str) -> None:
    path.write_text(f"#!{SHELL}\n{body}\n", encoding="utf-8")
    path.chmod(0o755)


def _ask(machine: Path, *arguments: str) -> tuple[int, str]:
    answer = subprocess.run(
        [SHELL, str(ROOT / "tools" / "prerequisites.sh"), *arguments],
        env={"PATH": str(machine)},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert answer.stdout == ""
    return answer.returncode, answer.stderr


def test_a_machine_with_everything_hears_nothing(machine: Path) -> None:
    assert _ask(machine) == (0, "")


@pytest.mark.parametrize(
    ("missing", "said", "package"),
    [
        ("git", "needs git,", "install -y git\n"),
        ("python3", "needs Python 3.11 or newer with its venv module,", "install -y python3-venv\n"),
    ],
)
def test_a_missing_program_is_named_with_its_package(
    machine: Path, missing: str, said: str, package: str
) -> None:
    (machine / missing).unlink()
    status, sentence = _ask(machine)
    assert status == 1
    assert said in sentence
    assert sentence.endswith(package)
    assert sentence.count("\n") == 1
    assert ("sudo apt-get" in sentence) == (os.geteuid() != 0)


def test_all_that_is_missing_is_named_at_once(machine: Path) -> None:
    (machine / "git").unlink()
    _program(machine / "python3", WITHOUT_VENV)
    status, sentence = _ask(machine)
    assert status == 1
    assert "git and Python's venv module" in sentence
    assert sentence.endswith("install -y git python3-venv\n")


def test_an_old_python_is_named_with_its_version(machine: Path) -> None:
    _program(machine / "python3", OLD)
    status, sentence = _ask(machine)
    assert status == 1
    assert "3.11 or newer" in sentence
    assert "Python 3.9.2" in sentence


def test_another_interpreter_can_be_named(machine: Path) -> None:
    _program(machine / "python3", OLD)
    _program(machine / "python3.13", MODERN)
    assert _ask(machine, "python3.13") == (0, "")


def test_make_says_it_before_anything_else(machine: Path) -> None:
    (machine / "git").unlink()
    make = shutil.which("make")
    assert make, "make is not installed."
    answer = subprocess.run(
        [make, "-C", str(ROOT), f"PYTHON={machine / 'python3'}", "help"],
        env={"PATH": str(machine)},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert answer.returncode == 2
    assert answer.stderr.startswith("tradewright needs git,")
