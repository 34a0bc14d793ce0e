"""What comes into the store beside the venue: files of true bars, and corrections."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Final

from tests.support.engine_walk.engine import Engine
from tests.support.engine_walk.readers import Readers
from tests.support.engine_walk.watch import Watch
from tests.support.engine_walk.world import World
from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.domain.timeframes import DAY_MS, MINUTE_MS, ONE_MINUTE, TIMEFRAMES
from tradewright.services.bar_import import import_files

CHECKED: Final = ("1m", "3m", "5m", "1h", "4h", "1d", "1w", "1M")


class Changes:
    """Imports and corrections of one walk."""

    def __init__(
        self, world: World, watch: Watch, readers: Readers, counts: Counter[str], folder: Path
    ) -> None:
        self._world = world
        self._key = world.main
        self._minutes = world.main.series(ONE_MINUTE)
        self._watch = watch
        self._readers = readers
        self._counts = counts
        self._folder = folder

    async def bring_in(self, engine: Engine, *, calm: bool) -> None:
        """Import true minutes of a random range while readers read about it."""
        chance = self._world.chance
        last_ms = self._world.clock.now_ms() - self._world.plugin.settling_ms - MINUTE_MS
        start = chance.randrange(self._world.start_ms, last_ms)
        end = min(last_ms, start + chance.randrange(MINUTE_MS, 2 * DAY_MS))
        rows = self._world.minutes(self._key).between(start, end - MINUTE_MS)
        if not len(rows):
            return
        importing = self._import(engine, rows, sparse=chance.random() < 0.3)
        readers = [
            self._readers.read(engine, self._readers.around(self._key, start, TIMEFRAMES[name]), calm=calm)
            for name in chance.sample(CHECKED, 2)
        ]
        await asyncio.gather(importing, *readers)
        self._watch.take_step()
        self._counts["bars imported"] += len(rows)

    async def _import(self, engine: Engine, rows: Bars, *, sparse: bool, replace: bool = False) -> None:
        file = self._folder / "minutes.csv"
        lines = ["time_ms,open,high,low,close,volume"]
        lines += [",".join(map(repr, row)) for row in rows.rows()]
        file.write_text("\n".join(lines) + "\n")
        summary = await import_files(
            [file],
            market=self._key.market,
            provider=self._key.provider,
            symbol=self._key.symbol,
            bars=engine.bars,
            instruments=engine.instruments,
            sparse=sparse,
            replace=replace,
            clock=self._world.clock,
        )
        assert summary.inserted + summary.unchanged + summary.replaced == len(rows)
        assert replace or not summary.replaced

    async def correct(self, engine: Engine, *, calm: bool) -> None:
        """The venue corrects a minute that is known, or tells one that was missing; that is taken over while
        readers read, and from then on nothing tells the old one."""
        time_ms = self._known_minute()
        if time_ms is None:
            return
        questions = [self._readers.around(self._key, time_ms, TIMEFRAMES[name]) for name in CHECKED]
        for question in questions * 2:  # so that what is derived is there, and in the cache
            await self._readers.read(engine, question, calm=calm)
        row, is_new = self._corrected(time_ms)
        over = self._world.revise(self._key, row)
        reading = self._world.chance.sample(questions, self._world.chance.randrange(0, 4))
        readers = (self._readers.read(engine, each, calm=calm) for each in reading)
        await asyncio.gather(self._take_over(engine, row), *readers)
        over()
        for question in questions * 2:
            judge = await self._readers.read(engine, question, calm=calm)
            opened = question.timeframe.floor(time_ms)
            self._counts["corrected bars compared"] += len(judge.bars.between(opened, opened + 1))
        self._watch.take_step()
        self._counts["corrections that add" if is_new else "corrections that replace"] += 1

    def _known_minute(self) -> int | None:
        known = self._world.traded(self._watch.knows(self._minutes))
        if not known:
            return None
        start, end = self._world.chance.choice(known.items)
        return start + self._world.chance.randrange((end - start) // MINUTE_MS) * MINUTE_MS

    def _corrected(self, time_ms: int) -> tuple[BarRow, bool]:
        """The minute with another high, close and volume, or one where there was none."""
        minutes = self._world.minutes(self._key)
        found = minutes.between(time_ms, time_ms + 1).rows()
        if found:
            time, opened, high, low, _close, volume = found[0]
            high = round(high + 1_000 + self._world.chance.randrange(500), 2)
            return (time, opened, high, low, round((high + low) / 2, 2), round(volume + 1, 8)), False
        price = float(minutes.between(0, time_ms).close[-1]) if time_ms > minutes.time[0] else 30_000.0
        return (time_ms, price, price + 2_000, price - 1, price + 1, 7.5), True

    async def _take_over(self, engine: Engine, row: BarRow) -> None:
        """By a file that replaces, or as whoever asks the venue again would write it."""
        time_ms = int(row[0])
        bar = Bars.from_rows([row])
        if self._world.chance.random() < 0.5:
            await self._import(engine, bar, sparse=False, replace=True)
        else:
            await engine.bars.write(
                SeriesBars(self._minutes, bar, IntervalSet.single(time_ms, time_ms + MINUTE_MS))
            )
        for timeframe in TIMEFRAMES.values():
            key = self._key.series(timeframe)
            opened = self._world.opening(timeframe, time_ms)
            covered = IntervalSet.single(opened, timeframe.end(opened))
            if timeframe is not ONE_MINUTE and self._watch.knows(key).contains(opened, timeframe.end(opened)):
                # The venue's own bars are not derived by us: they are asked for again.
                native = self._world.truths(self._key, timeframe)[0].between(opened, opened + 1)
                await engine.bars.write(SeriesBars(key, native, covered))
                self._counts["native bars corrected"] += 1
