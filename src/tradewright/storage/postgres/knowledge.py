"""What is known of a series beside its bars: coverage and empty answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from tradewright.domain.intervals import Interval, IntervalSet
from tradewright.domain.ports import Coverage, CoverageKind, EmptyAnswer
from tradewright.storage.merging import extended, newly_empty, outside
from tradewright.storage.postgres.columns import storable_ms
from tradewright.storage.postgres.session import Session

# The intervals are disjoint, so of those that start before the range only the last can reach into it.
_FIRST: Final = (
    "start_ms <= $3 AND start_ms >= coalesce((SELECT start_ms FROM %table% "
    "WHERE series_id = $1 AND start_ms < $2 ORDER BY start_ms DESC LIMIT 1), $2)"
)
_READ_COVERAGE: Final = (
    ("SELECT start_ms, end_ms, kind FROM %table% WHERE series_id = $1 AND %first% ORDER BY start_ms")
    .replace("%first%", _FIRST)
    .replace("%table%", "coverage")
)
_READ_EMPTY: Final = (
    ("SELECT start_ms, end_ms, answered_ms FROM %table% WHERE series_id = $1 AND %first% ORDER BY start_ms")
    .replace("%first%", _FIRST)
    .replace("%table%", "empty_answers")
)
_READ_BOTH: Final = (
    "SELECT start_ms, end_ms, kind, 0::bigint FROM coverage WHERE series_id = $1 AND %covered% "
    "UNION ALL SELECT start_ms, end_ms, 'empty', answered_ms FROM empty_answers "
    "WHERE series_id = $1 AND %noted% ORDER BY start_ms"
)
_READ_BOTH_AT_ONCE: Final = _READ_BOTH.replace("%covered%", _FIRST.replace("%table%", "coverage")).replace(
    "%noted%", _FIRST.replace("%table%", "empty_answers")
)
_DELETE_COVERAGE: Final = "DELETE FROM coverage WHERE series_id = $1 AND start_ms = ANY($2::bigint[])"
_ADD_COVERAGE: Final = (
    "INSERT INTO coverage (series_id, start_ms, end_ms, kind) "
    "SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::text[]) "
    "ON CONFLICT (series_id, start_ms) DO UPDATE SET end_ms = excluded.end_ms, kind = excluded.kind"
)
_DELETE_EMPTY: Final = "DELETE FROM empty_answers WHERE series_id = $1 AND start_ms = ANY($2::bigint[])"
_ADD_EMPTY: Final = (
    "INSERT INTO empty_answers (series_id, start_ms, end_ms, answered_ms) "
    "SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[])"
)

_Labelled: TypeAlias = tuple[int, int, CoverageKind]


async def read_coverage(session: Session, series_id: int, start_ms: int, end_ms: int) -> Coverage:
    """The stored intervals that overlap or touch the range, whole."""
    found: dict[CoverageKind, list[Interval]] = {"complete": [], "outage": []}
    bounds = storable_ms(start_ms), storable_ms(end_ms)
    for start, end, kind in await session.rows(_READ_COVERAGE, series_id, *bounds):
        found[kind].append(Interval(start, end))
    return Coverage(IntervalSet(tuple(found["complete"])), IntervalSet(tuple(found["outage"])))


async def read_knowledge(
    session: Session, series_id: int, start_ms: int, end_ms: int
) -> tuple[Coverage, tuple[EmptyAnswer, ...]]:
    """Coverage and empty answers that overlap or touch the range, whole."""
    found: dict[str, list[Interval]] = {"complete": [], "outage": []}
    empty: list[EmptyAnswer] = []
    bounds = storable_ms(start_ms), storable_ms(end_ms)
    for start, end, kind, answered_ms in await session.rows(_READ_BOTH_AT_ONCE, series_id, *bounds):
        if kind == "empty":
            empty.append(EmptyAnswer(start, end, answered_ms))
        else:
            found[kind].append(Interval(start, end))
    coverage = Coverage(IntervalSet(tuple(found["complete"])), IntervalSet(tuple(found["outage"])))
    return coverage, tuple(empty)


async def extend_coverage(
    session: Session, series_id: int, known: Coverage, complete: IntervalSet, outage: IntervalSet
) -> None:
    """Store more of both kinds; ``known`` is what was stored of all that they overlap or touch."""
    before, after = _labelled(known), _labelled(extended(known, complete, outage))
    more = sorted(after - before)
    # An interval that only became longer is changed in place.
    if gone := {start for start, _, _ in before - after} - {start for start, _, _ in more}:
        await session.run(_DELETE_COVERAGE, series_id, sorted(gone))
    if more:
        await session.run(_ADD_COVERAGE, series_id, *map(list, zip(*more, strict=True)))


def _labelled(coverage: Coverage) -> set[_Labelled]:
    complete: Iterable[_Labelled] = ((*item, "complete") for item in coverage.complete)
    outage: Iterable[_Labelled] = ((*item, "outage") for item in coverage.outage)
    return {*complete, *outage}


async def read_empty(session: Session, series_id: int, start_ms: int, end_ms: int) -> tuple[EmptyAnswer, ...]:
    """The noted empty answers that overlap or touch the range, whole."""
    bounds = storable_ms(start_ms), storable_ms(end_ms)
    return tuple(EmptyAnswer(*row) for row in await session.rows(_READ_EMPTY, series_id, *bounds))


async def forget_empty(
    session: Session, series_id: int, noted: tuple[EmptyAnswer, ...], known: IntervalSet
) -> None:
    """Let the empty answers, all that were noted around it, give way to what is known now."""
    left = outside(noted, known)
    await _change_empty(session, series_id, set(noted) - set(left), set(left) - set(noted))


async def add_empty(session: Session, series_id: int, empty: IntervalSet, answered_ms: int) -> None:
    """Note an empty answer where nothing is known and none was noted."""
    coverage, noted = await read_knowledge(session, series_id, empty.items[0].start, empty.items[-1].end)
    await _change_empty(
        session, series_id, set(), set(newly_empty(empty, noted, coverage.known, answered_ms))
    )


async def _change_empty(
    session: Session, series_id: int, gone: set[EmptyAnswer], more: set[EmptyAnswer]
) -> None:
    if gone:
        await session.run(_DELETE_EMPTY, series_id, [each.start for each in gone])
    if more:
        rows = [(each.start, each.end, each.answered_ms) for each in more]
        await session.run(_ADD_EMPTY, series_id, *map(list, zip(*rows, strict=True)))
