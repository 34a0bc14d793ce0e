"""Delays between attempts: bounded, growing, and not in step with each other."""

from __future__ import annotations

import random
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from tradewright.runtime.ids import new_id
from tradewright.runtime.retry import Backoff


@given(st.floats(0.01, 5), st.floats(1, 100), st.floats(1.1, 4), st.integers(0, 2**32))
def test_delays_lie_between_the_first_and_a_bound_that_grows(
    first_s: float, longest_s: float, factor: float, seed: int
) -> None:
    backoff = Backoff(first_s, longest_s, factor)
    bound = first_s
    for delay_s in islice(backoff.delays(random.Random(seed)), 20):
        assert first_s <= delay_s <= max(first_s, bound) + 1e-9
        bound = min(bound * factor, longest_s)


def test_two_that_fail_together_do_not_come_back_together() -> None:
    backoff = Backoff()
    one, other = (list(islice(backoff.delays(), 8)) for _ in range(2))
    assert one[0] == other[0] == 0.5
    assert one[1:] != other[1:]
    assert max(one) <= 30


def test_late_delays_use_the_whole_range() -> None:
    late = list(islice(Backoff(1, 10).delays(random.Random(1)), 10, 300))
    assert min(late) < 2
    assert max(late) > 9


def test_ids_are_long_random_and_fit_a_url() -> None:
    ids = {new_id() for _ in range(1_000)}
    assert len(ids) == 1_000
    assert all(len(made) == 16 and made.replace("-", "").replace("_", "").isalnum() for made in ids)
