"""Log records: one a line, with the ids they belong to, and no way to forge a line."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tradewright.app_extensions import configure_logging
from tradewright.config import TestingConfig
from tradewright.runtime.logging import ContextFilter, HumanFormatter, JsonFormatter, request_id_var


@pytest.fixture
def request_id() -> Iterator[str]:
    token = request_id_var.set("req-1")
    yield "req-1"
    request_id_var.reset(token)


def record(message: str, *arguments: object, error: bool = False) -> logging.LogRecord:
    info = None
    if error:
        try:
            int("broken\nin two lines")
        except ValueError:
            info = sys.exc_info()
    made = logging.LogRecord("a.logger", logging.WARNING, __file__, 1, message, arguments, info)
    ContextFilter().filter(made)
    return made


def test_a_json_record_is_one_line_with_its_ids(request_id: str) -> None:
    line = JsonFormatter().format(record("order %s\nforged", "7", error=True))
    assert "\n" not in line
    entry = json.loads(line)
    assert entry["message"] == "order 7\nforged"
    assert (entry["level"], entry["logger"], entry["request_id"]) == ("WARNING", "a.logger", request_id)
    assert "ValueError" in entry["exception"]
    assert isinstance(entry["time"], int)


def test_no_input_forges_a_human_line(request_id: str) -> None:
    line = HumanFormatter().format(record("symbol %s", "X\r\n2026-01-01 00:00:00 ERROR forged\x1b[2J"))
    assert "\n" not in line
    assert "\r" not in line
    assert "\x1b" not in line
    assert line.endswith(f"[{request_id}]")


def test_without_a_request_there_is_no_id() -> None:
    assert "request_id" not in json.loads(JsonFormatter().format(record("plain")))
    assert HumanFormatter().format(record("plain")).endswith("a.logger: plain")


@pytest.mark.parametrize(("form", "kind"), [("json", JsonFormatter), ("human", HumanFormatter)])
def test_the_configuration_chooses_form_and_level(
    form: str, kind: type[logging.Formatter], tmp_path: Path
) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure_logging(TestingConfig(data_dir=tmp_path, log_format=form, log_level="WARNING"))
        assert root.level == logging.WARNING
        assert [type(handler.formatter) for handler in root.handlers] == [kind]
    finally:
        root.handlers[:], root.level = handlers, level


def test_ccxt_may_not_write_its_requests(tmp_path: Path) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure_logging(TestingConfig(data_dir=tmp_path, log_level="DEBUG"))
        assert not logging.getLogger("ccxt").isEnabledFor(logging.DEBUG)
        assert not logging.getLogger("ccxt.base.exchange").isEnabledFor(logging.DEBUG)
    finally:
        root.handlers[:], root.level = handlers, level
