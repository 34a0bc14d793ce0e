"""What strangers may send, and what they are told of the rest."""

from __future__ import annotations

import pytest

from tradewright.domain.errors import MalformedInput
from tradewright.web.strict_json import parse_json

NO_JSON = "The message is not JSON as we take it."
TOO_DEEP = "The message is nested too deeply."


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", NO_JSON),
        (b'{"a":1', NO_JSON),
        (b"[" * 100_000, NO_JSON),
        (b"]" * 100_000, NO_JSON),
        (b'{"a":1,"a":2}', NO_JSON),
        (b'{"a":NaN}', NO_JSON),
        (b'{"a":"\xff"}', NO_JSON),
        (b"[[[[1]]]]", TOO_DEEP),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, TOO_DEEP),
    ],
)
def test_what_is_refused_is_called_by_its_name(data: bytes, said: str) -> None:
    with pytest.raises(MalformedInput) as refused:
        parse_json(data, depth_max=3)
    assert refused.value.message == said


def test_brackets_in_strings_do_not_nest() -> None:
    assert parse_json(b'{"a":["[[[[", "\\"]]"]}', depth_max=3) == {"a": ["[[[[", '"]]']}
