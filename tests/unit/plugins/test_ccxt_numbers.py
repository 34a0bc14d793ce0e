"""Numbers keep their digits, and what is none is not taken for one."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewright.plugins._ccxt_numbers import decimal_of, exact_json, outgoing_number

D = Decimal
NO_NUMBERS: tuple[object, ...] = (
    *(None, True, [], {}, b"1", float("nan"), float("inf")),
    *("", "x", "NaN", "1e400", "1e-400", "1_000", "٣", "1" * 99),
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0.123456789012345678", D("0.123456789012345678")),
        ("1e-8", D("0.00000001")),
        (0.1, D("0.1")),
        (10**30, D(10**30)),
        ("-5", D(-5)),
        (D("1.50"), D("1.50")),
        *((bad, None) for bad in NO_NUMBERS),
    ],
)
def test_a_number_is_what_was_written(value: object, expected: Decimal | None) -> None:
    assert decimal_of(value) == expected


@given(st.decimals(min_value=D("1e-18"), max_value=D("1e18"), places=18))
def test_what_goes_out_comes_back(value: Decimal) -> None:
    sent = outgoing_number(value)
    assert type(sent) in (float, str), "CCXT takes no other numbers out of its structures"
    assert decimal_of(sent) == value


def test_json_keeps_fractions_as_they_stand() -> None:
    text = '{"a":0.123456789012345678,"b":1e-8,"c":12345678901234567890,"d":"0.1","e":[1.0,true]}'
    assert exact_json(text) == {
        "a": "0.123456789012345678",
        "b": "1e-8",
        "c": 12345678901234567890,
        "d": "0.1",
        "e": ["1.0", True],
    }
    for bad in ("NaN", "[Infinity]", "[-Infinity]", "{", ""):
        with pytest.raises(ValueError):
            exact_json(bad)
