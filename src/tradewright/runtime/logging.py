"""The forms in which log records are written, and the ids they carry."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Final

from tradewright.domain.credentials import hide_all, living_credentials

request_id_var: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being served, for the log and the error answer."""

# What moves the cursor, ends a line for some reader, turns the direction of writing, or is not seen.
_DECEPTIVE: Final = (
    *(range(0x20), range(0x7F, 0xA0), range(0xAD, 0xAE), range(0x61C, 0x61D), range(0x180E, 0x180F)),
    *(range(0x200B, 0x2010), range(0x2028, 0x202F), range(0x2060, 0x2070), range(0xD800, 0xE000)),
    *(range(0xFEFF, 0xFF00), range(0xFFF9, 0xFFFC), range(0xE0000, 0xE0080)),
)
_ESCAPED: Final = {
    code: ascii(chr(code))[1:-1] for codes in _DECEPTIVE for code in codes if chr(code) not in "\t\n"
}
_FLOOD_INTERVAL_S: Final = 60.0

# What is secret whoever holds it: signed addresses, headers and bodies that a library shows, our tokens.
_SECRETS: Final = re.compile(
    r"""(?ix)
    (?P<kept> \b (?: signature | listenKey | api-?_?key | [a-z-]{0,40} secret (?:-?_?key)?
                  | pass(?:word|phrase|wd) | private-?_?key | x-mbx-apikey | apca-api-[a-z-]{1,40}
                  | (?:refresh|access)_token )
              ["']? \s* (?: [:=] | %3D ) \s* ["']? | \b bearer [\s.]+ )
    [^\s"'&,;)}\]]{4,}
    | \b tw_[\w-]{43} | \b eyJ[\w-]{8,} \. [\w-]+ \. [\w-]+
    """
)


def redacted(text: str) -> str:
    """The text without anything secret: no field of a key that this process holds, nothing that looks like a
    signature, a password or a token."""
    shown = hide_all(living_credentials(), text)
    return _SECRETS.sub(lambda found: f"{found['kept'] or ''}***", shown)


class ContextFilter(logging.Filter):
    """Puts the ids of what is being served onto every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id_var.get()
        return True


class FloodFilter(logging.Filter):
    """Lets each of these messages through once a minute, since any stranger can cause them at will.

    The record that passes says how many were left out before it. Other messages are not touched.
    """

    def __init__(self, messages: Sequence[str]) -> None:
        super().__init__()
        self._passed_s = dict.fromkeys(messages, float("-inf"))
        self._held_back = dict.fromkeys(messages, 0)

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.msg
        if not isinstance(message, str) or message not in self._passed_s:
            return True
        if 0 <= record.created - self._passed_s[message] < _FLOOD_INTERVAL_S:
            self._held_back[message] += 1
            return False
        held_back, self._held_back[message] = self._held_back[message], 0
        self._passed_s[message] = record.created
        if held_back:
            record.msg, record.args = "%s (%d more since it was last said)", (message, held_back)
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, ids, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": int(record.created * 1000),
            "level": record.levelname,
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        if getattr(record, "request_id", None):
            entry["request_id"] = record.__dict__["request_id"]
        if record.exc_info:
            entry["exception"] = redacted(self.formatException(record.exc_info))
        return json.dumps(entry)  # in ASCII, where no letter ends a line or turns its direction


class HumanFormatter(logging.Formatter):
    """``time level logger: message``; no input forges a line.

    Control characters and those that turn the direction of writing are escaped, and the lines of a stack
    trace are indented.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        record.exc_text = None  # what another formatter left there is not masked
        try:
            return super().format(record)
        finally:
            record.exc_text = None

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the base class's name
        record.message = redacted(record.message).translate(_ESCAPED).replace("\n", "\\n")
        line = super().formatMessage(record)
        request_id = getattr(record, "request_id", None)
        return f"{line} [{request_id}]" if request_id else line

    def formatException(self, ei: Any) -> str:  # noqa: N802  the base class's name
        return _indented(redacted(super().formatException(ei)))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802  the base class's name
        return _indented(redacted(super().formatStack(stack_info)))


def _indented(trace: str) -> str:
    return "\n".join(f"    {line}" for line in trace.translate(_ESCAPED).split("\n"))
