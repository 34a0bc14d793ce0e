"""What every store refuses, so that nothing impossible is ever stored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tradewright.domain.bars import Bars, impossible_rows
from tradewright.domain.instruments import Instrument, InstrumentKey
from tradewright.domain.ports import SeriesBars
from tradewright.domain.timeframes import Timeframe


def check_storable(data: SeriesBars) -> None:
    """Raise ``ValueError`` where the bars are not what ``Bars`` and ``SeriesBars`` promise.

    Callers check what comes from outside and say what is wrong with it; arriving here with bars
    that no market can have made is a defect of the program.
    """
    bars, timeframe = data.bars, Timeframe.parse(data.key.timeframe)
    if any(len(column) != len(bars.time) for column in bars.columns()):
        raise ValueError(f"The columns of the bars of {data.key} have different lengths.")
    if bars.time.dtype != np.int64:
        raise ValueError(f"The times of the bars of {data.key} are {bars.time.dtype}, not int64.")
    if (np.diff(bars.time) <= 0).any():
        raise ValueError(f"The bars of {data.key} do not ascend in time.")
    if (timeframe.floor_array(bars.time) != bars.time).any():
        raise ValueError(f"Bars of {data.key} do not open where a bar of {timeframe} opens.")
    bad = impossible_rows(bars)
    if bad.any():
        raise ValueError(f"The bar of {data.key} at {bars.time[bad.argmax()]} is impossible.")


def check_all_storable(batches: Sequence[SeriesBars]) -> None:
    """``check_storable`` for each, at the cost of one; ``ValueError`` too where two are of one series."""
    if len({batch.key for batch in batches}) != len(batches):
        raise ValueError("Of one series there is more than one batch.")
    by_timeframe: dict[str, list[SeriesBars]] = {}
    for batch in batches:
        by_timeframe.setdefault(batch.key.timeframe, []).append(batch)
    for alike in by_timeframe.values():
        if not _all_sound(alike):
            for batch in alike:
                check_storable(batch)


def _all_sound(alike: Sequence[SeriesBars]) -> bool:
    """Whether batches of one timeframe are storable; False also where that can't be said of all at once."""
    columns = [batch.bars.columns() for batch in alike]
    if any(len({len(column) for column in each}) != 1 or each[0].dtype != np.int64 for each in columns):
        return False
    time, *values = (np.concatenate(column) for column in zip(*columns, strict=True))
    first = np.cumsum([0, *(len(batch.bars) for batch in alike[:-1])])
    ascends = np.append(True, np.diff(time) > 0)
    ascends[first[first < len(time)]] = True
    aligned = Timeframe.parse(alike[0].key.timeframe).floor_array(time) == time
    return bool(ascends.all() and aligned.all() and not impossible_rows(Bars(time, *values)).any())


def registrations(
    batches: Sequence[SeriesBars], instruments: Sequence[Instrument]
) -> dict[InstrumentKey, Instrument]:
    """What an import registers; ``ValueError`` where one of the instruments is of no batch."""
    described = {(each.market, each.symbol): each for each in instruments}
    keys = [batch.key.instrument for batch in batches]
    found = {key: described[names] for key in keys if (names := (key.market, key.symbol)) in described}
    if len({(key.market, key.symbol) for key in found}) != len(described):
        raise ValueError("An instrument was given with an import that holds no batch of it.")
    return found


def by_symbol(market: str, instruments: Sequence[Instrument]) -> dict[str, Instrument]:
    """The instruments by their symbol, the last of equals; ``ValueError`` where one is of another market."""
    for instrument in instruments:
        if instrument.market != market:
            raise ValueError(f"{instrument.symbol} is listed under {market} but says {instrument.market}.")
    return {instrument.symbol: instrument for instrument in instruments}
