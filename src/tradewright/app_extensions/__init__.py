"""What is opened before the server serves and closed after it: logging, secrets, databases, buses."""

from __future__ import annotations

from quart import Quart

from tradewright.app_extensions.configure_logging import configure_logging
from tradewright.config import BaseConfig

__all__ = ["configure_logging", "init_app_extensions"]


def init_app_extensions(app: Quart, config: BaseConfig) -> None:
    """Put Quart's own settings in place; does no I/O."""
    app.config.update(
        TEMPLATES_AUTO_RELOAD=False,
        SEND_FILE_MAX_AGE_DEFAULT=0,
        PREFERRED_URL_SCHEME="https" if (config.public_url or "").startswith("https") else "http",
    )
    app.jinja_env.autoescape = True
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
