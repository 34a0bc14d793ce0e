"""What the page about the program tells is what is installed."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path

from tradewright.web.notices import installed_parts, vendored_parts


def test_every_direct_requirement_is_told_with_its_own_version_and_licence() -> None:
    told = {part.name.lower(): part for part in installed_parts().python}
    wanted = [line for line in metadata.requires("tradewright") or [] if "extra ==" not in line]
    assert len(wanted) > 10
    for line in wanted:
        named = re.match(r"[\w.-]+", line)
        assert named
        found = metadata.distribution(named[0])
        part = told[found.metadata["Name"].lower()]
        assert part.version == found.version
        assert part.license


def test_what_others_need_is_told_once() -> None:
    names = [part.name for part in installed_parts().python]
    assert len(names) == len(set(names))
    assert {"Werkzeug", "Jinja2", "hiredis"} <= set(names), "needed by others, and by an extra"
    assert "pytest" not in names
    assert "tradewright" not in names


def test_the_text_holds_the_licences_themselves() -> None:
    text = installed_parts().text()
    assert "Apache License" in text
    assert "Copyright 2010 Pallets" in text
    for part in (*installed_parts().python, *installed_parts().front_end):
        assert part.name in text


def test_parts_of_the_front_end_say_what_they_are(tmp_path: Path) -> None:
    described = {
        "name": "@maker/thing",
        "version": "1.2.3",
        "license": "MIT",
        "homepage": "https://thing.example",
    }
    (tmp_path / "thing.package.json").write_text(json.dumps(described), encoding="utf-8")
    (tmp_path / "thing.LICENSE.txt").write_text("Permission is granted", encoding="utf-8")
    (tmp_path / "thing.min.js").write_text("no()", encoding="utf-8")
    (tmp_path / "other.NOTICE.txt").write_text("Made by others", encoding="utf-8")
    other, thing = sorted(vendored_parts(tmp_path), key=lambda part: part.name, reverse=True)
    assert (thing.name, thing.version, thing.license) == ("@maker/thing", "1.2.3", "MIT")
    assert thing.texts == (("LICENSE.txt", "Permission is granted"),)
    assert (other.name, other.version) == ("other", "")
    assert other.texts == (("NOTICE.txt", "Made by others"),)
