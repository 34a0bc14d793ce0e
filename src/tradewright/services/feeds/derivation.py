"""Bars of a higher timeframe while they form, from the events of their minutes. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tradewright.domain.bars import BarRow
from tradewright.domain.timeframes import Timeframe
from tradewright.services.feeds.minutes import MinuteEvent

KEPT_MINUTES: Final = 120
"""How many closed minutes of the open bar may still be corrected."""
PENDING_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class BarState:
    """A bar as it is now; nothing changes it any more where it is ``final``."""

    row: BarRow
    final: bool


@dataclass(frozen=True, slots=True)
class ClosedPart:
    """The closed part of an open bar: ``coarse`` rows before ``minutes_from_ms``, minutes from there on;
    both ascend."""

    coarse: tuple[BarRow, ...]
    minutes: tuple[BarRow, ...]
    minutes_from_ms: int


def fold(open_ms: int, rows: Iterable[BarRow]) -> BarRow | None:
    """One bar from finer ones in ascending order; None from none."""
    result: BarRow | None = None
    for _, first, high, low, close, volume in rows:
        if result is None:
            result = (open_ms, first, high, low, close, volume)
        else:
            result = (
                open_ms,
                result[1],
                max(result[2], high),
                min(result[3], low),
                close,
                result[5] + volume,
            )
    return result


class Deriver:
    """Follows the open bar of one timeframe.

    Begun inside a bar, it lacks the closed part: until ``install`` brings that, events wait.
    ``overdue`` tells that too many wait, and that it is better to begin again.
    """

    def __init__(self, timeframe: Timeframe, closed_through_ms: int) -> None:
        self.timeframe = timeframe
        self.open_ms = timeframe.floor(closed_through_ms)
        self.begun_ms = closed_through_ms
        self.seeded = self.open_ms == closed_through_ms
        self._base: BarRow | None = None
        self._minutes: dict[int, BarRow] = {}
        self._current: BarRow | None = None
        self._closed: BarRow | None = None
        self._told: BarRow | None = None
        self._pending: list[MinuteEvent] = []

    @property
    def overdue(self) -> bool:
        """Whether the closed part has been missing for too long."""
        return len(self._pending) > PENDING_MAX

    @property
    def unfinished_end_ms(self) -> int | None:
        """When the open bar ends, if there is anything in it."""
        return self.timeframe.end(self.open_ms) if self._value() or self._pending else None

    def install(self, part: ClosedPart, known: Mapping[int, BarRow]) -> list[BarState]:
        """Take the closed part of the bar, up to where this began, and catch up with what waited.
        ``known`` are closed minutes that take precedence over the history's."""
        minutes = {row[0]: row for row in part.minutes}
        minutes.update({t: row for t, row in known.items() if part.minutes_from_ms <= t < self.begun_ms})
        ordered = [minutes[time] for time in sorted(minutes)]
        self._base = fold(self.open_ms, [*part.coarse, *ordered[:-KEPT_MINUTES]])
        self._minutes = {row[0]: row for row in ordered[-KEPT_MINUTES:]}
        self._refold()
        self.seeded = True
        waiting, self._pending = self._pending, []
        states = [state for event in waiting for state in self.apply(event)]
        return states or list(self._tell())

    def apply(self, event: MinuteEvent) -> list[BarState]:
        """The states that follow from an event, in order; a bar's final one before any of the next."""
        if not self.seeded:
            self._wait(event)
            return []
        match event.kind:
            case "forming":
                self._enter(event.time_ms)
                self._current = event.row
                return list(self._tell())
            case "closed":
                self._enter(event.time_ms)
                self._add(event)
                return []  # "through" follows, and then the bar's state is told once
            case "corrected":
                return list(self._correct(event))
            case "through":
                return list(self._pass(event.time_ms))

    def _wait(self, event: MinuteEvent) -> None:
        """Of the states of one minute the last is enough."""
        if self._pending and self._pending[-1].kind == "forming" and event.kind == "forming":
            self._pending[-1] = event
        else:
            self._pending.append(event)

    def _enter(self, minute_ms: int) -> None:
        open_ms = self.timeframe.floor(minute_ms)
        if open_ms > self.open_ms:
            self._begin(open_ms)

    def _begin(self, open_ms: int) -> None:
        self.open_ms = open_ms
        self._base = self._current = self._closed = self._told = None
        self._minutes = {}

    def _add(self, event: MinuteEvent) -> None:
        assert event.row is not None
        self._minutes[event.time_ms] = event.row
        self._current = None
        if len(self._minutes) > KEPT_MINUTES:
            oldest = self._minutes.pop(next(iter(self._minutes)))
            self._base = fold(self.open_ms, [oldest] if self._base is None else [self._base, oldest])
        self._refold()

    def _correct(self, event: MinuteEvent) -> Iterator[BarState]:
        if event.row is None or not self._minutes or event.time_ms < min(self._minutes):
            return
        missed = event.time_ms not in self._minutes
        self._minutes[event.time_ms] = event.row
        if missed:
            self._minutes = dict(sorted(self._minutes.items()))
        self._refold()
        yield from self._tell()

    def _pass(self, through_ms: int) -> Iterator[BarState]:
        if self._current is not None and self._current[0] < through_ms:
            self._current = None  # the venue has no such minute after all
        end = self.timeframe.end(self.open_ms)
        if end > through_ms:
            yield from self._tell()
            return
        value = self._value()
        if value is not None:
            yield BarState(value, final=True)
        self._begin(self.timeframe.floor(through_ms))

    def _tell(self) -> Iterator[BarState]:
        value = self._value()
        if value is not None and value != self._told:
            self._told = value
            yield BarState(value, final=False)

    def _value(self) -> BarRow | None:
        parts = [part for part in (self._closed, self._current) if part is not None]
        return fold(self.open_ms, parts)

    def _refold(self) -> None:
        base = [self._base] if self._base is not None else []
        self._closed = fold(self.open_ms, [*base, *self._minutes.values()])
