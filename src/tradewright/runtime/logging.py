"""The forms in which log records are written, and the ids they carry."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from typing import Final

request_id_var: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being served, for the log and the error answer."""

_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), 127) if code not in (9, 10)}


class ContextFilter(logging.Filter):
    """Puts the ids of what is being served onto every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id_var.get()
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, ids, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": int(record.created * 1000),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if getattr(record, "request_id", None):
            entry["request_id"] = record.__dict__["request_id"]
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class HumanFormatter(logging.Formatter):
    """``time level logger: message``; control characters are escaped, so that no input forges a line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the base class's name
        record.message = record.message.translate(_CONTROL).replace("\n", "\\n")
        line = super().formatMessage(record)
        request_id = getattr(record, "request_id", None)
        return f"{line} [{request_id}]" if request_id else line
