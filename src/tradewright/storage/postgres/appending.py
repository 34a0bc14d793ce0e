"""A few bars for each of many series, in a handful of statements for all of them.

What live markets bring is nearly always the next minutes behind what a series covers. That needs no
comparison: the minutes are inserted, the coverage grows, the hours and days they fall into take them in.
Whatever is not so plain is left to ``write_batch``, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tradewright.domain.intervals import NO_INTERVALS
from tradewright.domain.ports import SeriesBars
from tradewright.domain.timeframes import ONE_DAY, ONE_HOUR, ONE_MINUTE
from tradewright.storage.postgres.migrations import Kind
from tradewright.storage.postgres.rollups import rollups_of
from tradewright.storage.postgres.session import Session
from tradewright.storage.postgres.writing import lock_series, write_batch

_PLAIN_BARS_MAX: Final = 60
"""More bars of one series are better compared and brought in together."""

_LOCK_ALL: Final = """
SELECT wanted.place, series.id
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
    WITH ORDINALITY AS wanted (market, provider, symbol, timeframe, place)
JOIN series USING (market, provider, symbol, timeframe)
ORDER BY wanted.place FOR NO KEY UPDATE OF series
"""
# Plain: nothing is known from where the batch begins, and no bar lies behind that. Tells where the coverage
# begins that the batch lengthens; its own beginning where there is none.
_FIND_PLAIN: Final = """
SELECT batch.place, CASE WHEN last.end_ms = first_ms AND kind = 'complete' THEN start_ms ELSE first_ms END
FROM unnest($1::integer[], $2::bigint[], $3::bigint[])
    WITH ORDINALITY AS batch (id, first_ms, until_ms, place)
LEFT JOIN LATERAL (
    SELECT start_ms, end_ms, kind FROM coverage WHERE series_id = batch.id AND start_ms <= batch.until_ms
    ORDER BY start_ms DESC LIMIT 1
) AS last ON true
WHERE coalesce(last.end_ms <= first_ms, true)
    AND NOT EXISTS (SELECT FROM minutes WHERE series_id = batch.id AND time >= first_ms AND time < %day_end%)
    AND NOT EXISTS (SELECT FROM empty_answers WHERE series_id = batch.id AND end_ms > first_ms)
""".replace("%day_end%", "(until_ms / 86400000 + 1) * 86400000")
_ADD: Final = """
WITH batch AS (
    SELECT * FROM unnest(
        $1::integer[], $2::bigint[], $3::double precision[], $4::double precision[], $5::double precision[],
        $6::double precision[], $7::double precision[]
    ) AS bar (series_id, time, open, high, low, close, volume)
), %rollups%
INSERT INTO minutes (series_id, time, open, high, low, close, volume) SELECT * FROM batch
"""
_TO_ROLLUP: Final = """%table% AS (
    INSERT INTO %table% AS kept (series_id, time, open, high, low, close, volume)
    SELECT series_id, time - time % %length%, open, high, low, close, volume FROM batch
    ON CONFLICT (series_id, time) DO UPDATE SET high = greatest(kept.high, excluded.high),
        low = least(kept.low, excluded.low), close = excluded.close, volume = kept.volume + excluded.volume
)"""
_TO_STALE_DAYS: Final = """days AS (
    INSERT INTO stale_days (series_id, day_ms)
    SELECT series_id, time - time % 86400000 FROM batch ORDER BY 1, 2
    ON CONFLICT (series_id, day_ms) DO UPDATE SET mark = nextval('stale_marks')
)"""
_ADD_AND_KEEP: Final = _ADD.replace(
    "%rollups%",
    ", ".join(
        _TO_ROLLUP.replace("%table%", table).replace("%length%", str(timeframe.length_ms))
        for timeframe, table in ((ONE_HOUR, "hour_rollups"), (ONE_DAY, "day_rollups"))
    ),
)
_ADD_AND_MARK: Final = _ADD.replace("%rollups%", _TO_STALE_DAYS)
_LENGTHEN: Final = """
INSERT INTO coverage (series_id, start_ms, end_ms, kind)
SELECT id, start_ms, end_ms, 'complete'
FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS longer (id, start_ms, end_ms)
ON CONFLICT (series_id, start_ms) DO UPDATE SET end_ms = excluded.end_ms
"""


async def write_all(session: Session, kind: Kind, batches: Sequence[SeriesBars]) -> None:
    """Bring each batch into its series, with coverage, rollups and all that follows from it."""
    ordered = sorted(batches, key=lambda batch: batch.key)
    ids = await _lock_all(session, ordered)
    plain = await _append(session, kind, ordered, ids)
    rollups = rollups_of(kind)
    for place, batch in enumerate(ordered):
        if place not in plain:
            await write_batch(session, rollups, batch, NO_INTERVALS, replace=True)


async def _lock_all(session: Session, ordered: list[SeriesBars]) -> list[int]:
    """The numbers of the series, each locked until the commit, in the order in which all writers lock."""
    keys = [batch.key for batch in ordered]
    names = [[getattr(key, name) for key in keys] for name in ("market", "provider", "symbol", "timeframe")]
    found = {place - 1: series_id for place, series_id in await session.rows(_LOCK_ALL, *names)}
    if len(found) < len(ordered):
        # New series come rarely. Their rows are made before anything else of the batch is read.
        for place, batch in enumerate(ordered):
            if place not in found:
                found[place] = await lock_series(session, batch.key)
    return [found[place] for place in range(len(ordered))]


async def _append(session: Session, kind: Kind, ordered: list[SeriesBars], ids: list[int]) -> frozenset[int]:
    """Write all that is plain; at which places of the batches that was."""
    shaped = [place for place, batch in enumerate(ordered) if _may_be_plain(batch)]
    if not shaped:
        return frozenset()
    spans = [ordered[place].covered.items[0] for place in shaped]
    shaped_ids, starts, ends = zip(
        *((ids[place], *span) for place, span in zip(shaped, spans, strict=True)), strict=True
    )
    found = await session.rows(_FIND_PLAIN, shaped_ids, starts, ends)
    if not found:
        return frozenset()
    plain = [shaped[place - 1] for place, _ in found]
    await session.run(
        _LENGTHEN,
        [ids[place] for place in plain],
        [start for _, start in found],
        [ends[place - 1] for place, _ in found],
    )
    statement = _ADD_AND_MARK if kind == "timescaledb" else _ADD_AND_KEEP
    rows = {ids[place]: ordered[place].bars.rows() for place in plain}
    # One bar of each series at a time: a statement can't change one rollup twice.
    for turn in range(max(map(len, rows.values()))):
        added = [(series, *bars[turn]) for series, bars in rows.items() if turn < len(bars)]
        await session.run(statement, *zip(*added, strict=True))
    return frozenset(plain)


def _may_be_plain(batch: SeriesBars) -> bool:
    """Whether it is minutes, and one stretch that holds them all."""
    if batch.key.timeframe != ONE_MINUTE.name or len(batch.covered) != 1 or len(batch.bars) > _PLAIN_BARS_MAX:
        return False
    (start, end), time = batch.covered.items[0], batch.bars.time
    return start >= 0 and (not len(time) or (start <= time[0] and time[-1] < end))
