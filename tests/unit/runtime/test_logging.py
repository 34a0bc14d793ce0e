"""Log records: one a line, with the ids they belong to, and no way to forge a line."""

from __future__ import annotations

import gc
import json
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tradewright.app_extensions import configure_logging
from tradewright.config import TestingConfig
from tradewright.domain.credentials import Credentials
from tradewright.runtime.logging import (
    ContextFilter,
    FloodFilter,
    HumanFormatter,
    JsonFormatter,
    redacted,
    request_id_var,
)


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


FORGERIES = [
    *map(chr, (*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0))),
    *"\u2028\u2029\u202a\u202e\u2066\u2069\u200e\u200f\u061c\u200b\ufeff\ud800\U000e0041",
]


@pytest.mark.parametrize("letter", FORGERIES, ids=ascii)
def test_no_letter_ends_turns_or_hides_a_line(letter: str) -> None:
    for made in (HumanFormatter(), JsonFormatter()):
        line = made.format(record("a%sb", letter))
        assert letter not in line
        assert len(line.splitlines()) == 1
        line.encode()


def test_letters_of_other_languages_stay_readable() -> None:
    assert HumanFormatter().format(record("Müller 東京 €\t✓")).endswith("Müller 東京 €\t✓")
    assert json.loads(JsonFormatter().format(record("Müller 東京 €")))["message"] == "Müller 東京 €"


def refuse(message: str) -> None:
    raise ValueError(message)


def test_no_trace_forges_a_human_line() -> None:
    info = None
    try:
        refuse("x\n2026-01-01 00:00:00 ERROR forged\r\u2028\u202e")
    except ValueError:
        info = sys.exc_info()
    made = logging.LogRecord("a.logger", logging.ERROR, __file__, 1, "failed", (), info)
    first, *trace = HumanFormatter().format(made).splitlines()
    assert first.endswith("a.logger: failed")
    assert len(trace) >= 4
    assert all(line.startswith("    ") for line in trace)
    assert "\u202e" not in "".join(trace)


def request_record(created_s: float, message: str = "Invalid HTTP request received.") -> logging.LogRecord:
    made = logging.LogRecord("uvicorn.error", logging.WARNING, __file__, 1, message, (), None)
    made.created = created_s
    return made


def test_what_strangers_cause_at_will_is_said_once_a_minute() -> None:
    flood = FloodFilter(["Invalid HTTP request received."])
    records = [request_record(1_000.0 + second / 10) for second in range(1_300)]
    passed = [made for made in records if flood.filter(made)]
    assert [made.created for made in passed] == [1_000.0, 1_060.0, 1_120.0]
    assert passed[0].getMessage() == "Invalid HTTP request received."
    assert passed[1].getMessage() == "Invalid HTTP request received. (599 more since it was last said)"
    assert flood.filter(request_record(10.0)), "the clock was set back"
    others = [request_record(1_130.0, "Exception in ASGI application") for _ in range(9)]
    assert all(flood.filter(made) for made in others)


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


KEY, SECRET, PASSPHRASE = "canary-key-4Z/+x", 'canary "secret" ü\\', "canaryö"
PEM = "-----BEGIN PRIVATE KEY-----\nMIGHcanaryAgEAMBMG\nByqGSM49canary/AgEG\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize("formatter", [HumanFormatter(), JsonFormatter()])
def test_no_key_that_the_process_holds_shows(formatter: logging.Formatter) -> None:
    credentials = Credentials(
        {"api_key": KEY, "secret": SECRET, "password": PASSPHRASE, "private_key": PEM, "uid": "12"}
    )
    shown = [
        *(form for value in (KEY, SECRET, PASSPHRASE) for form in (value, quote(value), quote_plus(value))),
        json.dumps(SECRET),
        repr({"apiKey": KEY, "secret": SECRET}),
        PEM,
        PEM.replace("\n", "\\n"),
    ]
    for text in shown:
        failed = (ValueError, ValueError(text), None)
        made = logging.LogRecord("ccxt", logging.DEBUG, __file__, 1, "sent %s", (text,), failed)
        written = formatter.format(made)
        assert "canary" not in written, written
        assert "sent" in written
    assert "uid 12" in formatter.format(record("the uid 12")), "what is so short is in every line"
    del credentials
    gc.collect()
    assert KEY in formatter.format(record("sent %s", KEY)), "and it is known from the key alone"


HOLDERS: list[dict[str, str]] = [
    {"api_key": "canary-01"},
    {"api_key": "canary-0123456789abcdef", "secret": "9abcdef-canary-tail"},
    {"secret": "head-of-canary-01"},
]


@pytest.mark.parametrize("order", [1, -1])
def test_no_part_of_a_longer_key_is_left_by_a_shorter_one(order: int) -> None:
    """Whoever holds the shorter one, and in whatever order they are found."""
    held = [Credentials(fields) for fields in HOLDERS[::order]]  # type: ignore[arg-type]
    for text, wanted in (
        ("sent canary-0123456789abcdef now", "sent *** now"),
        ("sent head-of-canary-0123456789abcdef-canary-tail now", "sent *** now"),
        ("canary-01", "***"),
        ("canary-01canary-01", "***"),
        ("canary-01 canary-01", "*** ***"),
    ):
        assert redacted(text) == wanted
    assert len(held) == 3


def test_a_key_that_is_a_word_blots_no_word_out_of_the_log() -> None:
    """A passphrase that somebody chose may be one. It is hidden where it stands as a value."""
    words = [Credentials({"password": word}) for word in ("failed", "Canary", "REFUSED", "1234567")]
    prose = "The login failed and was REFUSED by Canary: failed-over in 1234567 ms, failedly, at id=12345678"
    assert redacted(prose) == prose
    for text in (
        "{'pw': 'Canary', 'x': 1}", '{"pw":"Canary"}', "OK-ACCESS-PHRASE: Canary", "https://v/api?pp=Canary&x=1",
        "pp=Canary", "sent=Canary.",
    ):  # fmt: skip
        assert "Canary" not in redacted(text), text
    assert redacted("uid=1234567, next") == "uid=***, next"
    assert len(words) == 4


@pytest.mark.parametrize(
    "value", ["canary", "canary12", "canaryCanary", "canary-x", "canarycanary", "CANARYCANARY", "canary7"]
)
def test_whatever_a_venue_could_have_made_is_hidden_in_prose_too(value: str) -> None:
    held = Credentials({"secret": value})
    hidden = value not in redacted(f"the venue says {value} is wrong")
    assert hidden == (value != "canary")
    assert "canary" not in redacted(f"secret='{value}'")
    assert held is not None


@pytest.mark.parametrize(
    "text",
    [
        "GET https://venue/api?timestamp=1&signature=canary0123456789&recvWindow=5",
        "{'X-MBX-APIKEY': 'canary0123456789', 'Accept': '*/*'}",
        '{"apiKey":"canary0123456789","secret":"canary"}',
        "APCA-API-SECRET-KEY: canary0123",
        "Authorization: Bearer canary.canary.canary",
        "Sec-WebSocket-Protocol: tradewright.v1, bearer.canary.canary",
        "password=canary0123 tw_" + "canary0123" * 4 + "abc",
        "refresh_token=canary0123456789",
        "eyJhbGciOiJIUzI1NiJ9.canary.canary",
        "the listenKey=canary0123",
    ],
)
def test_nothing_that_looks_like_a_secret_shows(text: str) -> None:
    for formatter in (HumanFormatter(), JsonFormatter()):
        written = formatter.format(record("%s", text))
        assert "canary" not in written, written
        assert "***" in written


@pytest.mark.parametrize(
    "text",
    [
        "The password is wrong.",
        "bars of BTC/USDT: signature of the day",
        "secrets.toml was written",
        "api_key",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert text in HumanFormatter().format(record("%s", text))


def test_a_long_line_takes_no_time() -> None:
    began = time.perf_counter()
    for text in ("a-" * 50_000, "secret" * 20_000, "api_key=" * 10_000, "eyJ" + "a." * 50_000):
        HumanFormatter().format(record("%s", text))
    assert time.perf_counter() - began < 2


def test_what_another_formatter_made_of_an_error_is_not_written() -> None:
    failed = (ValueError, ValueError("apiKey=canary0123"), None)
    made = logging.LogRecord("a", logging.ERROR, __file__, 1, "failed", (), failed)
    assert "canary" in logging.Formatter().format(made)
    written = HumanFormatter().format(made)
    assert "canary" not in written
    assert "ValueError" in written
