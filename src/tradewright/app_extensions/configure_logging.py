"""Logging, as the configuration wants it."""

from __future__ import annotations

import logging.config

from tradewright.config import BaseConfig

_FORMATTERS = {
    "human": {"()": "tradewright.runtime.logging.HumanFormatter"},
    "json": {"()": "tradewright.runtime.logging.JsonFormatter"},
}


# What uvicorn says of each request that it can't read, without saying whose it was.
_AT_WILL = ("Invalid HTTP request received.", "Unsupported upgrade request.")


def configure_logging(config: BaseConfig) -> None:
    """Send every record to standard error in the configured form and from the configured level on."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"chosen": _FORMATTERS[config.log_format]},
            "filters": {
                "context": {"()": "tradewright.runtime.logging.ContextFilter"},
                "flood": {"()": "tradewright.runtime.logging.FloodFilter", "messages": _AT_WILL},
            },
            "handlers": {
                "stderr": {
                    "class": "logging.StreamHandler",
                    "stream": "ext://sys.stderr",
                    "formatter": "chosen",
                    "filters": ["context"],
                }
            },
            "root": {"level": config.log_level, "handlers": ["stderr"]},
            "loggers": {
                # CCXT writes whole requests, keys and signatures among them, at DEBUG.
                "ccxt": {"level": "WARNING"},
                "uvicorn": {"level": "WARNING"},
                "uvicorn.error": {"filters": ["flood"]},
                "uvicorn.access": {"level": "WARNING"},
                "asyncio": {"level": "WARNING"},
                # It names each of its own parts at every start; what it does is said by us.
                "alembic": {"level": "WARNING"},
            },
        }
    )
