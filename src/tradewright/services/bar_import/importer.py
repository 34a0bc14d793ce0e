"""From files to the store: read, check, merge, write all or nothing, and say what was done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar

from tradewright.domain.errors import BarFileError, InvalidInput
from tradewright.domain.instruments import InstrumentKey, SeriesKey, check_identifier
from tradewright.domain.ports import BarStore, InstrumentStore, SeriesBars, StoredBarDiffers
from tradewright.domain.timeframes import Timeframe
from tradewright.runtime.calendars import Calendars, TradingCalendar
from tradewright.runtime.clock import Clock, SystemClock
from tradewright.services.bar_import.gaps import count_gaps
from tradewright.services.bar_import.merging import MergedSymbol, Vouching, merge
from tradewright.services.bar_import.opening import read_tables
from tradewright.services.bar_import.rows import RowRules, SymbolRows, clock_text
from tradewright.services.bar_import.summary import ImportSummary, SymbolSummary
from tradewright.services.bar_import.symbols import choose_symbols, local_instrument

T = TypeVar("T")

_SYSTEM_CLOCK: Final = SystemClock()


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import is: bytes of the files while reading, bars while storing."""

    phase: Literal["reading", "storing"]
    done: int
    total: int


ProgressListener: TypeAlias = Callable[[ImportProgress], None]


async def import_files(
    files: Sequence[Path],
    *,
    market: str,
    provider: str,
    bars: BarStore,
    instruments: InstrumentStore,
    symbol: str | None = None,
    timeframe: str = "1m",
    sparse: bool = False,
    complete: bool = False,
    replace: bool = False,
    progress: ProgressListener | None = None,
    clock: Clock = _SYSTEM_CLOCK,
) -> ImportSummary:
    """Import the bars of all files, or nothing.

    A file vouches for the time from its first bar to the end of its last, for each symbol, but for stretches
    of more than a day of trading time without a row; with ``complete`` for those as well, with ``sparse``
    for its rows alone. ``symbol`` chooses among a file's symbols and is needed where a
    file has no column for them. A bar that differs from a stored one is refused unless ``replace``.
    ``progress`` is called from any thread. With the bars the instruments are registered, so that they
    are listed though their venue was never reached; ``instruments`` is the store beside ``bars``.

    ``BarFileError`` names the file and line that is wrong; ``InvalidInput``, ``UnknownMarket`` and
    ``UnknownTimeframe`` a wrong argument; ``StorageUnavailable`` where the store does not answer.
    """
    check_identifier("provider", provider)
    rules = RowRules(Timeframe.parse(timeframe), clock.now_ms(), sparse)
    if symbol is not None:
        local_instrument(market, symbol)
    if not files:
        raise InvalidInput("There is no file to import.", {"files": "at least one"})
    if sparse and complete:
        raise InvalidInput(
            "A file holds all there is, or its rows alone: choose one.", {"complete": "not with sparse"}
        )
    vouching: Vouching = "rows" if sparse else "all" if complete else "stretches"
    reading = _Reading(files, market, symbol, rules, progress)
    parts = await _in_thread(reading.run, reading.stop)
    keys = {each: InstrumentKey(market, provider, each).series(rules.timeframe) for each in parts}
    calendars = await _calendars(keys, rules, instruments)
    merged = await asyncio.to_thread(
        lambda: [merge(parts[each], rules.timeframe, calendars[each], vouching) for each in sorted(parts)]
    )
    batches = [SeriesBars(keys[each.symbol], each.bars, each.covered) for each in merged]
    storing = _counting(progress, sum(len(batch.bars) for batch in batches))
    local = [local_instrument(market, each.symbol) for each in merged]
    try:
        counts = await bars.import_bars(batches, replace=replace, instruments=local, progress=storing)
    except StoredBarDiffers as error:
        raise _refused(error, merged) from error
    summaries = await _summarise(merged, rules, calendars)
    return ImportSummary(
        market=market,
        provider=provider,
        timeframe=timeframe,
        files=len(files),
        symbols=summaries,
        inserted=counts.inserted,
        unchanged=counts.unchanged,
        replaced=counts.replaced,
    )


class _Stopped(Exception):
    """Nobody waits for the import any more."""


class _Reading:
    """Reads and merges all files in a thread of its own."""

    def __init__(
        self,
        files: Sequence[Path],
        market: str,
        symbol: str | None,
        rules: RowRules,
        progress: ProgressListener | None,
    ) -> None:
        self._files = files
        self._market = market
        self._symbol = symbol
        self._rules = rules
        self._progress = progress
        self._bytes_read = 0
        self._bytes_total = 0
        self.stop = threading.Event()

    def run(self) -> dict[str, list[SymbolRows]]:
        """What each file holds of each symbol."""
        self._bytes_total = sum(path.stat().st_size for path in self._files if path.is_file())
        parts: dict[str, list[SymbolRows]] = {}
        for table in read_tables(self._files, self._watch):
            for index, symbol in choose_symbols(table, self._market, self._symbol):
                parts.setdefault(symbol, []).append(self._rules.check(table, index, symbol))
        self._report(self._bytes_total)
        return parts

    def _watch(self, count: int) -> None:
        if self.stop.is_set():
            raise _Stopped
        self._bytes_read += count
        # A Parquet file's end is read twice, so the count may run ahead of the size.
        self._report(min(self._bytes_read, self._bytes_total))

    def _report(self, done: int) -> None:
        if self._progress is not None:
            self._progress(ImportProgress("reading", done, self._bytes_total))


async def _in_thread(work: Callable[[], T], stop: threading.Event) -> T:
    try:
        return await asyncio.to_thread(work)
    finally:
        stop.set()


def _counting(progress: ProgressListener | None, total: int) -> Callable[[int], None] | None:
    if progress is None:
        return None
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        progress(ImportProgress("storing", done, total))

    return count


def _refused(error: StoredBarDiffers, merged: Sequence[MergedSymbol]) -> BarFileError:
    time = clock_text(error.time_ms)
    symbol = next(each for each in merged if each.symbol == error.key.symbol)
    place = symbol.place_of(error.time_ms)
    if place is not None:
        return BarFileError(
            f"{place}: the stored bar of {error.key.symbol} at {time} differs; --replace overwrites it."
        )
    sources = {part.source.label for part in symbol.parts}
    return BarFileError(
        f"{', '.join(sorted(sources))}: there is a stored bar of {error.key.symbol} at {time}, a time "
        "that is covered and has no row. --replace removes the stored bar, --sparse leaves it."
    )


async def _calendars(
    keys: dict[str, SeriesKey], rules: RowRules, instruments: InstrumentStore
) -> dict[str, TradingCalendar]:
    """When each symbol is traded."""
    calendars = Calendars()
    found = {}
    for symbol, key in keys.items():
        known = await instruments.instrument(key.instrument)
        name = (known or local_instrument(key.market, symbol)).calendar
        found[symbol] = await calendars.get(name, rules.now_ms)
    return found


async def _summarise(
    merged: Sequence[MergedSymbol], rules: RowRules, calendars: dict[str, TradingCalendar]
) -> tuple[SymbolSummary, ...]:
    summaries = []
    for each in merged:
        calendar = calendars[each.symbol]
        gaps = await asyncio.to_thread(count_gaps, each.bars.time, rules.timeframe, calendar)
        summaries.append(
            SymbolSummary(
                symbol=each.symbol,
                rows=each.read,
                bars=len(each.bars),
                duplicates=each.read - len(each.bars),
                first_ms=int(each.bars.time[0]),
                last_ms=int(each.bars.time[-1]),
                gaps=gaps,
                unknown=each.unknown,
            )
        )
    return tuple(summaries)
