"""Runs the JavaScript tests beside this file with node's own runner."""

import re
import subprocess
from pathlib import Path

from tools.frontend import find_node, install_development

HERE = Path(__file__).parent


def test_the_modules_of_the_pages() -> None:
    files = sorted(str(path) for path in HERE.glob("*.test.js"))
    node = find_node()
    install_development(node)
    command = [str(node.node), "--test", "--test-reporter=tap", *files]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    counts = {
        name: int(count) for name, count in re.findall(r"^# (tests|pass|fail) (\d+)$", finished.stdout, re.M)
    }
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert counts["fail"] == 0
    assert counts["pass"] == counts["tests"] > len(files)
