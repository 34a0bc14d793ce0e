"""The wheel holds the pages with their scripts, and serves them from wherever it is installed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

START_TIMEOUT_S = 30.0


def test_the_wheel_holds_what_a_server_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        sizes = {item.filename: item.file_size for item in archive.infolist()}
        entry_points = next(name for name in sizes if name.endswith(".dist-info/entry_points.txt"))
        assert "tradewright = tradewright.cli:main" in archive.read(entry_points).decode()
    assert "tradewright/py.typed" in sizes
    assert "tradewright/plugins/ccxt_manifest.json" in sizes
    assert "tradewright/web/templates/layout.html" in sizes
    for migration in ("env.py", "auth/v0001_accounts.py", "user_configs/v0001_preferences.py"):
        assert f"tradewright/storage/people/migrations/{migration}" in sizes
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in sizes)
    vendored = [name for name in sizes if re.search(r"web/static/vendor/.*klinecharts.*\.js$", name)]
    assert vendored
    assert all(sizes[name] > 50_000 for name in vendored)
    assert any(re.search(r"web/static/assets/css/.+\.css$", name) for name in sizes)
    assert any(re.search(r"web/static/assets/js/.+\.js$", name) for name in sizes)


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    strangers = [name for name in names if not re.match(r"tradewright(-[\w.]+\.dist-info)?/", name)]
    assert strangers == []
    assert not [
        name for name in names if "__pycache__" in name or "node_modules" in name or "/tests/" in name
    ]


@pytest.fixture
def server(installed: Path, tmp_path: Path) -> Iterator[str]:
    """Run `tradewright serve` from the installed wheel, in another folder; yield its origin."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("TRADEWRIGHT_", "PYTHON"))
    }
    settings = {"TRADEWRIGHT_DATA_DIR": str(tmp_path / "data"), "TRADEWRIGHT_PORT": "0"}
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [installed / "tradewright", "serve"],
            cwd=tmp_path,
            env=kept | settings,
            stdout=output,
            stderr=output,
        )
    try:
        yield _origin(process, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(START_TIMEOUT_S) in (0, -signal.SIGTERM, 128 + signal.SIGTERM), log.read_text(
            "utf-8"
        )
        assert "Traceback" not in log.read_text("utf-8")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _origin(process: subprocess.Popen[bytes], log: Path) -> str:
    """Return the address that the server says it listens on, once it answers there."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        said = log.read_text("utf-8")
        assert process.poll() is None, said
        found = re.search(r"http://127\.0\.0\.1:(\d+)", said)
        if found and _alive(found[0]):
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"The server did not come up:\n{log.read_text('utf-8')}")


def _alive(origin: str) -> bool:
    try:
        return httpx.get(f"{origin}/healthz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def test_the_installed_wheel_serves_its_pages(server: str, installed: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [installed / "python", "-c", "import tradewright; print(tradewright.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(installed.parent)

    with httpx.Client(base_url=server, timeout=10, follow_redirects=True) as client:
        assert client.get("/").status_code == 200
        page = client.get("/chart")
        assert page.status_code == 200
        scripts = re.findall(r'<script[^>]+src="([^"]+)"', page.text)
        assert any("vendor" in script and "klinecharts" in script for script in scripts), scripts
        for script in scripts:
            answer = client.get(script)
            assert answer.status_code == 200, script
            assert "javascript" in answer.headers["content-type"], script
