"""How domain values look on the wire."""

from decimal import Decimal

import pytest

from tradewright.web.models import plain


@pytest.mark.parametrize(
    ("number", "text"),
    [("1E-8", "0.00000001"), ("1.0", "1"), ("100", "100"), ("1E+3", "1000"), ("0.0100", "0.01"), ("0", "0")],
)
def test_decimals_are_written_out(number: str, text: str) -> None:
    assert plain(Decimal(number)) == text


def test_what_is_unknown_stays_unknown() -> None:
    assert plain(None) is None
