"""The build hook: a wheel is built only with the front end's third-party scripts inside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VENDOR = Path("src/tradewright/web/static/vendor")
WANTED = ("klinecharts",)  # a script of each of these has to be there, or no chart would be drawn


class FrontEndHook(BuildHookInterface):  # type: ignore[type-arg]
    """Vendors the scripts before a wheel or a source distribution is put together."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch the scripts by lockfile and refuse to build without them; hatchling owns the signature.

        An editable install serves the working tree, where `make run` vendors them.
        """
        if version == "editable":
            return
        root = Path(self.root)
        vendored = subprocess.run(
            [sys.executable, str(root / "tools" / "frontend.py"), "vendor"],
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        missing = [name for name in WANTED if not any((root / VENDOR).rglob(f"*{name}*.js"))]
        if vendored.returncode or missing:
            raise RuntimeError(
                f"The front end's scripts are not in {VENDOR} ({', '.join(missing) or 'vendoring failed'}); "
                f"`python tools/frontend.py vendor` says why:\n{vendored.stdout}"
            )
