"""Which minutes are closed: turns what a venue sends into one ascending series. No I/O, no clock.

A minute is closed once, and before anything is said of a later one: by the venue's own flag, because a
later minute has come over the same unbroken connection, or because the venue was asked after its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tradewright.domain.bars import BarRow
from tradewright.domain.timeframes import MINUTE_MS, ONE_MINUTE

RECENT_MINUTES: Final = 180
CLOCK_TOLERANCE_MS: Final = 2_000
"""A venue may call a minute closed this long before our idea of its clock says so."""
ASKED: Final = 0
"""Stands in for a connection where the venue was asked."""


@dataclass(frozen=True, slots=True)
class LiveMinute:
    """A minute as a connection delivered it; ``closed`` tells whether it has ended, None where that is not
    told; ``sure`` that the venue itself said so."""

    row: BarRow
    closed: bool | None
    connection: int
    sure: bool = False


@dataclass(frozen=True, slots=True)
class MinuteEvent:
    """``forming``: a new state of the one open minute. ``closed``: a minute's last state.
    ``corrected``: a closed minute changed after all. ``through``: all before ``time_ms`` are closed.
    ``sure`` is what the venue itself closed, or was asked for once it had settled."""

    kind: Literal["forming", "closed", "corrected", "through"]
    time_ms: int
    row: BarRow | None = None
    sure: bool = False


@dataclass(frozen=True, slots=True)
class _Forming:
    row: BarRow
    connection: int
    asked_ms: int = 0


class MinuteTracker:
    """Follows one symbol's minutes from ``closed_through`` on, the opening of the first open one."""

    def __init__(self, closed_through_ms: int) -> None:
        self.closed_through = closed_through_ms
        self.recent: dict[int, BarRow] = {}
        self._forming: _Forming | None = None
        self._flagged = False
        self._confirmed: int = ASKED

    @property
    def forming(self) -> BarRow | None:
        """The last state of the open minute."""
        return self._forming.row if self._forming else None

    def confirm(self, connection: int) -> None:
        """The venue was asked after this connection had begun to deliver, so nothing lies between."""
        self._confirmed = connection

    def offer(self, minute: LiveMinute, venue_now_ms: int) -> list[MinuteEvent] | None:
        """What the minute means; None where the venue must first be asked how an earlier one ended."""
        self._flagged = self._flagged or minute.closed is not None
        time = minute.row[0]
        if time < self.closed_through:
            return list(self._corrections(minute.row, sure=minute.sure)) if minute.closed else []
        forming = self._forming
        if forming is not None and time < forming.row[0]:
            return []
        newest = forming.row[0] if forming else self.closed_through
        events: list[MinuteEvent] = []
        if time > newest:
            if not self._may_go_on(minute.connection):
                return None
            events += self._advance_to(time)
        self._confirmed = minute.connection
        if minute.closed and venue_now_ms >= time + MINUTE_MS - CLOCK_TOLERANCE_MS:
            events += self._close(minute.row, sure=minute.sure and venue_now_ms >= time + MINUTE_MS)
        else:
            events += self._form(_Forming(minute.row, minute.connection))
        return events

    def offer_page(self, rows: Sequence[BarRow], asked_ms: int, settled_ms: int) -> list[MinuteEvent]:
        """What an answer means that holds every minute from ``closed_through`` on, perhaps earlier ones.
        ``asked_ms`` is the venue's time when it was asked; minutes that ended by ``settled_ms`` no longer
        change."""
        events: list[MinuteEvent] = []
        for index, row in enumerate(rows):
            time, end = row[0], row[0] + MINUTE_MS
            if time < self.closed_through:
                if end <= settled_ms:
                    events += self._corrections(row, sure=True)
                continue
            newest = self._forming.row[0] if self._forming else self.closed_through
            if time < newest:
                continue
            if time > newest:
                events += self._advance_to(time)
            if end <= settled_ms or index + 1 < len(rows):
                events += self._close(row, sure=end <= settled_ms)
            else:
                events += self._form(_Forming(row, ASKED, asked_ms))
        settled_through = ONE_MINUTE.floor(settled_ms)
        if settled_through > self.closed_through:
            events += self._advance_to(settled_through)
        return events

    def restart(self, closed_through_ms: int) -> None:
        """Forget what is open and go on from there: what lies between stays unknown."""
        self.closed_through = closed_through_ms
        self._forming = None
        self.recent.clear()

    def _may_go_on(self, connection: int) -> bool:
        """Whether the open minute can't have changed since we last saw it."""
        if connection != self._confirmed:
            return False
        forming = self._forming
        if forming is None or forming.asked_ms >= forming.row[0] + MINUTE_MS:
            return True
        return forming.connection == connection and not self._flagged

    def _advance_to(self, time_ms: int) -> Iterator[MinuteEvent]:
        """Close what is open before ``time_ms``."""
        if self._forming is not None and self._forming.row[0] < time_ms:
            yield from self._close(self._forming.row, sure=False)
        if time_ms > self.closed_through:
            self.closed_through = time_ms
            yield MinuteEvent("through", time_ms)

    def _close(self, row: BarRow, *, sure: bool) -> Iterator[MinuteEvent]:
        time = row[0]
        self._forming = None
        self._remember(row)
        self.closed_through = time + MINUTE_MS
        yield MinuteEvent("closed", time, row, sure)
        yield MinuteEvent("through", time + MINUTE_MS)

    def _form(self, state: _Forming) -> Iterator[MinuteEvent]:
        known = self._forming
        if known is not None and known.row[0] == state.row[0]:
            # Within a minute volume only grows: a smaller one is an older state that came late.
            if state.row[5] < known.row[5]:
                return
            if state.row == known.row:
                self._forming = _Forming(state.row, state.connection, max(state.asked_ms, known.asked_ms))
                return
        self._forming = state
        yield MinuteEvent("forming", state.row[0], state.row)

    def _corrections(self, row: BarRow, *, sure: bool) -> Iterator[MinuteEvent]:
        """A closed minute that is told otherwise, or surely, and of which nothing was told at all."""
        known = self.recent.get(row[0])
        missed = known is None and sure and row[0] > min(self.recent, default=row[0])
        if missed or (known is not None and known != row):
            self._remember(row)
            yield MinuteEvent("corrected", row[0], row, sure)

    def _remember(self, row: BarRow) -> None:
        self.recent[row[0]] = row
        if len(self.recent) > RECENT_MINUTES:
            del self.recent[min(self.recent)]
