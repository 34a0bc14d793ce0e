"""The rules by which a minute is closed, one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tradewright.domain.bars import BarRow
from tradewright.domain.timeframes import MINUTE_MS
from tradewright.services.feeds.minutes import RECENT_MINUTES, LiveMinute, MinuteEvent, MinuteTracker

SETTLING_MS = 5_000


def row(minute: int, volume: float = 1.0, close: float = 100.0) -> BarRow:
    return (minute * MINUTE_MS, 100.0, max(100.0, close), min(100.0, close), close, volume)


def live(bar: BarRow, closed: bool | None = None, connection: int = 1) -> LiveMinute:
    return LiveMinute(bar, closed, connection)


def at(minute: float) -> int:
    return round(minute * MINUTE_MS)


def told(events: list[MinuteEvent] | None) -> list[tuple[str, int]]:
    assert events is not None, "the venue should not have to be asked"
    return [(event.kind, event.time_ms // MINUTE_MS) for event in events]


def page(tracker: MinuteTracker, rows: list[BarRow], now: float) -> list[tuple[str, int]]:
    return told(tracker.offer_page(rows, at(now), at(now) - SETTLING_MS))


def test_a_later_minute_on_the_same_connection_closes_the_one_before() -> None:
    tracker = MinuteTracker(at(10))
    assert told(tracker.offer(live(row(10)), at(10.1))) == [("forming", 10)]
    assert told(tracker.offer(live(row(12)), at(12.1))) == [
        ("closed", 10),
        ("through", 11),
        ("through", 12),
        ("forming", 12),
    ]


def test_a_venue_that_flags_closes_by_its_flag_alone() -> None:
    tracker = MinuteTracker(at(10))
    tracker.offer(live(row(10), False), at(10.1))
    assert tracker.offer(live(row(11), False), at(11.1)) is None, "its flag for the tenth is missing"
    assert told(tracker.offer(live(row(10, 5.0), True), at(11.1))) == [("closed", 10), ("through", 11)]
    assert told(tracker.offer(live(row(11), False), at(11.1))) == [("forming", 11)]


def test_a_flag_that_comes_long_before_the_end_is_not_believed() -> None:
    tracker = MinuteTracker(at(10))
    assert told(tracker.offer(live(row(10), True), at(10.5))) == [("forming", 10)]
    assert told(tracker.offer(live(row(10, 2.0), True), at(10.98))) == [("closed", 10), ("through", 11)]


def test_a_new_connection_does_not_close_what_an_old_one_left_open() -> None:
    tracker = MinuteTracker(at(10))
    tracker.offer(live(row(10), connection=1), at(10.1))
    assert tracker.offer(live(row(11), connection=2), at(11.1)) is None
    assert page(tracker, [row(10, 9.0), row(11)], 11.1) == [("closed", 10), ("through", 11), ("forming", 11)]
    assert tracker.recent[at(10)] == row(10, 9.0), "the venue's answer counts"
    tracker.confirm(2)
    assert told(tracker.offer(live(row(11, 2.0), connection=2), at(11.2))) == [("forming", 11)]


def test_a_new_connection_that_begins_in_a_later_minute_does_not_skip_any() -> None:
    tracker = MinuteTracker(at(10))
    page(tracker, [], 10.1)  # asked at the start, and nothing was there yet
    assert tracker.offer(live(row(11), connection=1), at(11.1)) is None, "what was traded in the tenth?"
    assert page(tracker, [row(10), row(11)], 11.1) == [("closed", 10), ("through", 11), ("forming", 11)]


def test_a_new_connection_that_speaks_of_the_open_minute_may_go_on() -> None:
    tracker = MinuteTracker(at(10))
    page(tracker, [row(10)], 10.1)
    assert told(tracker.offer(live(row(10, 2.0), connection=3), at(10.2))) == [("forming", 10)]
    assert told(tracker.offer(live(row(11), connection=3), at(11.1)))[0] == ("closed", 10)


def test_an_answer_from_after_the_end_needs_no_second_one() -> None:
    tracker = MinuteTracker(at(10))
    tracker.offer(live(row(10), False, 1), at(10.5))
    assert page(tracker, [row(10, 2.0)], 11.01) == [("forming", 10)]
    tracker.confirm(1)
    assert told(tracker.offer(live(row(11), False, 1), at(11.02)))[0] == ("closed", 10)


def test_quiet_minutes_are_closed_by_time_once_they_have_settled() -> None:
    tracker = MinuteTracker(at(10))
    page(tracker, [row(10)], 10.5)
    assert page(tracker, [row(10)], 11.05) == []
    assert page(tracker, [row(10)], 11.1) == [("closed", 10), ("through", 11)]
    assert page(tracker, [], 13.1) == [("through", 13)]


def test_states_of_closed_minutes_are_dropped_and_closed_ones_correct() -> None:
    tracker = MinuteTracker(at(10))
    page(tracker, [row(10), row(11)], 11.5)
    assert told(tracker.offer(live(row(10, 0.5), None), at(11.6))) == []
    assert told(tracker.offer(live(row(10, 0.5), False), at(11.6))) == []
    assert told(tracker.offer(live(row(10, 7.0), True), at(11.6))) == [("corrected", 10)]
    assert told(tracker.offer(live(row(10, 7.0), True), at(11.6))) == [], "once"
    assert told(tracker.offer(live(row(3), True), at(11.6))) == [], "what was never told is not corrected"


def test_an_older_state_of_the_open_minute_changes_nothing() -> None:
    tracker = MinuteTracker(at(10))
    tracker.offer(live(row(10, 5.0)), at(10.5))
    assert told(tracker.offer(live(row(10, 3.0)), at(10.6))) == []
    assert tracker.forming == row(10, 5.0)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 8), st.floats(1, 9), st.sampled_from([None, False, True]), st.integers(1, 3)
        ),
        max_size=60,
    )
)
def test_whatever_comes_each_minute_is_closed_once_and_in_order(
    steps: list[tuple[int, float, bool | None, int]],
) -> None:
    tracker = MinuteTracker(0)
    closed: list[int] = []
    newest = 0
    for minute, volume, flag, connection in steps:
        newest = max(newest, minute)
        for event in tracker.offer(live(row(minute, volume), flag, connection), at(newest + 0.99)) or []:
            time = event.time_ms // MINUTE_MS
            if event.kind == "closed":
                assert time > max(closed, default=-1)
                closed.append(time)
            elif event.kind == "forming":
                assert time > max(closed, default=-1)
            elif event.kind == "corrected":
                assert time in closed
            else:
                assert tracker.closed_through >= event.time_ms
    assert all(time * MINUTE_MS < tracker.closed_through for time in closed)


def test_what_is_remembered_is_bounded() -> None:
    tracker = MinuteTracker(0)
    for minute in range(1_000):
        tracker.offer(live(row(minute), True), at(minute + 1))
    assert len(tracker.recent) == RECENT_MINUTES
