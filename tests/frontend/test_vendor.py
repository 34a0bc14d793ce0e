"""The folder of third-party files is exchanged whole, or not at all."""

from pathlib import Path

import pytest

from tools.frontend import put_in_place


def _folder(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "file").write_text(text, encoding="utf-8")
    return path


def test_the_new_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    target = _folder(tmp_path / "vendor", "old")
    put_in_place(_folder(tmp_path / "fresh", "new"), target, aside=tmp_path / "aside")
    assert (target / "file").read_text(encoding="utf-8") == "new"
    assert (tmp_path / "aside/file").read_text(encoding="utf-8") == "old"


def test_the_first_folder_needs_none_before_it(tmp_path: Path) -> None:
    put_in_place(_folder(tmp_path / "fresh", "new"), tmp_path / "vendor", aside=tmp_path / "aside")
    assert (tmp_path / "vendor/file").read_text(encoding="utf-8") == "new"


def test_a_failure_leaves_the_old_folder(tmp_path: Path) -> None:
    target = _folder(tmp_path / "vendor", "old")
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "missing", target, aside=tmp_path / "aside")
    assert (target / "file").read_text(encoding="utf-8") == "old"
