"""A venue that is cut off again and again while its market goes on, watched by viewers who forget nothing.

Everything between the venue and the viewers is the product's, on a driven clock.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from tests.support.stored_minutes import stored_minutes
from tests.unit.services.streaming_rig import START_MS, Rig, stream
from tests.unit.services.streaming_viewer import Viewer
from tradewright.domain.bars import BarRow
from tradewright.domain.timeframes import MINUTE_MS

Cut: TypeAlias = Literal["all", "streams", "silence", "calls"]
CUTS: Final[tuple[Cut, ...]] = get_args(Cut)
TIMEFRAMES: Final = ("1m", "5m")
CLOSED_S_MAX: Final = 60.0
LONG_S: Final = 600 * 60.0
"""A cut that leaves more minutes than a feed tells bar by bar."""
PATIENCE_S: Final = 300.0


@dataclass
class CutStreams:
    """Gaps of one seed, and how long each took to be closed at every viewer, in seconds of the clock."""

    seed: int
    closed_s: list[float] = field(default_factory=list)
    minutes: int = 0
    stored_minutes: int = 0
    """So many were stored, and equal the venue's."""

    async def run(self, cuts: int) -> None:
        """Cut so often; ``AssertionError`` where a gap stays open or a viewer shows another bar."""
        chance = random.Random(self.seed)
        async with Rig(flags=chance.random() < 0.5, start_ms=START_MS) as rig:
            rig.venue.trade(100)
            viewers = {frame: await rig.view(stream(timeframe=frame)) for frame in TIMEFRAMES}
            for _ in range(cuts):
                await self._trade(rig, chance, chance.uniform(1, 120), tell=True)
                await self._cut(rig, chance, viewers)
            await rig.clock.advance(5)
            self.stored_minutes += (await stored_minutes(rig)).length_ms // MINUTE_MS

    async def _trade(self, rig: Rig, chance: random.Random, seconds: float, *, tell: bool) -> None:
        """Let the market go on for so long, in some minutes of which nothing is traded."""
        end_s = rig.clock.monotonic() + seconds
        pace_s = max(5.0, seconds / 60)
        while (left_s := end_s - rig.clock.monotonic()) > 0:
            await rig.clock.advance(min(left_s, pace_s * chance.uniform(0.3, 4.0)))
            rig.venue.trade(round(chance.uniform(90, 110), 2), round(chance.uniform(0.1, 3), 3), tell=tell)

    async def _cut(self, rig: Rig, chance: random.Random, viewers: dict[str, Viewer]) -> None:
        kind, venue = chance.choice(CUTS), rig.venue
        venue.streams_up = False
        venue.rest_up = kind not in ("all", "calls")
        venue.mute = kind == "silence"
        if kind != "silence":
            venue.cut()
        length_s = LONG_S if chance.random() < 0.02 else chance.uniform(60, 1_800)
        before = len(venue.bars("1m"))
        if kind == "calls":  # streams are soon there again, and tell what follows, but nobody can be asked
            await self._trade(rig, chance, chance.uniform(0, 300), tell=True)
            venue.streams_up = True
        await self._trade(rig, chance, length_s, tell=True)
        self.minutes += len(venue.bars("1m")) - before
        venue.streams_up = venue.rest_up = True
        venue.mute = False
        gap_end_ms = rig.clock.now_ms() // MINUTE_MS * MINUTE_MS
        wanted = {frame: closed_bars(rig, frame, gap_end_ms) for frame in viewers}
        began_s = rig.clock.monotonic()
        while not all(shows(viewers[frame], rows) for frame, rows in wanted.items()):
            open_s = rig.clock.monotonic() - began_s
            assert open_s < PATIENCE_S, f"seed {self.seed}: a gap of {length_s:.0f} s ({kind}) stays open"
            await rig.clock.advance(0.25)
        self.closed_s.append(rig.clock.monotonic() - began_s)


def closed_bars(rig: Rig, timeframe: str, until_ms: int) -> list[BarRow]:
    """The true bars that had ended by then."""
    length_ms = {"1m": MINUTE_MS, "5m": 5 * MINUTE_MS}[timeframe]
    return [row for row in rig.venue.bars(timeframe) if row[0] + length_ms <= until_ms]


def shows(viewer: Viewer, rows: list[BarRow]) -> bool:
    """Whether the viewer has all these bars, each as it is, volume but for the order of its sum."""
    for row in reversed(rows[-600:]):
        shown = viewer.rows.get(row[0])
        if shown is None or shown[:5] != row[:5] or abs(shown[5] / row[5] - 1) > 1e-9:
            return False
    return True
