"""Coverage as it is told, against a model that looks at each minute by itself."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.houses import INSTRUMENT, House, house, series
from tests.support.ledger import START_MS, random_minutes
from tradewright.domain.bars import Bars
from tradewright.domain.errors import InvalidInput, UnknownSymbol
from tradewright.domain.instruments import Instrument, InstrumentKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, ONE_MINUTE, TIMEFRAMES
from tradewright.services import coverage_strip
from tradewright.services.coverage import CoverageService, CoverageStrip

DAYS = 3
COUNT = DAYS * 1440
NOW = START_MS + COUNT * MINUTE_MS + 30_000
ALL = random_minutes(3, COUNT, quiet=0.3)


def minute(index: int) -> int:
    return START_MS + index * MINUTE_MS


@dataclass
class Model:
    """What is known of each minute: a letter for have, no trades, outage, or nothing."""

    known: list[str] = field(default_factory=lambda: [" "] * COUNT)

    def learn(self, first: int, last: int, kind: str) -> None:
        traded = set(ALL.time.tolist())
        for index in range(first, last):
            if kind == "complete":
                self.known[index] = "h" if minute(index) in traded else "n"
            elif self.known[index] == " ":
                self.known[index] = "o"

    def holes(self) -> list[tuple[int, int]]:
        since = next((i for i, kind in enumerate(self.known) if kind != " "), COUNT)
        missing = [(minute(i), minute(i + 1)) for i in range(since, COUNT) if self.known[i] == " "]
        return [(start, end) for start, end in IntervalSet.of(missing)]

    def row(self, first: int, last: int) -> tuple[int, int, int, int]:
        """Minutes of have, no trades, missing, outage among these; none before the first known."""
        since = next(i for i, kind in enumerate(self.known) if kind != " ")
        part = self.known[max(first, since) : max(last, since)]
        return part.count("h"), part.count("n"), part.count(" "), part.count("o")


async def told_house(steps: list[tuple[int, int, str]]) -> tuple[House, Model]:
    """A store that was told these things, one after the other, and a model of the same."""
    told, model = house(ALL, NOW), Model()
    for first, last, kind in steps:
        span = IntervalSet.single(minute(first), minute(last))
        nothing = SeriesBars(series("1m"), Bars.empty(), IntervalSet())
        if kind == "complete":
            bars = ALL.between(minute(first), minute(last))
            await told.bars.write(SeriesBars(series("1m"), bars, span))
        else:
            await told.bars.write(nothing, outage=span)
        model.learn(first, last, kind)
    return told, model


def service(told: House) -> CoverageService:
    return CoverageService(told.bars, told.markets, told.clock)


def strip_minutes(strip: CoverageStrip, row: int = 0) -> list[tuple[int, int, int, int]]:
    found = strip.rows[row]
    columns = (found.have, found.no_trades, found.missing, found.outage)
    return list(zip(*((column // MINUTE_MS).tolist() for column in columns), strict=True))


STEPS = st.lists(
    st.tuples(st.integers(0, COUNT - 1), st.integers(1, 900), st.sampled_from(["complete", "outage"])).map(
        lambda step: (step[0], min(COUNT, step[0] + step[1]), step[2])
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(steps=STEPS, first=st.integers(0, COUNT - 60), length=st.integers(60, COUNT), parts=st.integers(1, 48))
async def test_it_tells_of_each_minute_what_is_so(
    steps: list[tuple[int, int, str]], first: int, length: int, parts: int
) -> None:
    told, model = await told_house(steps)
    tell = service(told)
    known = await tell.known(INSTRUMENT, 0, NOW)
    assert [tuple(hole) for hole in known.holes] == model.holes()
    kinds = {"complete": "hn", "outage": "o"}
    for index in range(COUNT):
        labels = [kinds[item.kind] for item in known.items if item.start <= minute(index) < item.end]
        assert labels == ([] if model.known[index] == " " else labels[:1])
        assert all(model.known[index] in label for label in labels)
    width = max(1, length // parts)
    last = min(COUNT, first + width * parts)
    parts = max(1, (last - first) // width)
    strip = await tell.strip(INSTRUMENT, minute(first), minute(first + width * parts), parts)
    expected = [model.row(first + part * width, first + (part + 1) * width) for part in range(parts)]
    assert strip_minutes(strip) == expected


@settings(deadline=None, max_examples=100)
@given(
    spans=st.lists(st.tuples(st.integers(-50, 400), st.integers(0, 80)), max_size=12),
    borders=st.lists(st.integers(-100, 500), min_size=2, max_size=9),
)
def test_lengths_are_those_of_a_count(spans: list[tuple[int, int]], borders: list[int]) -> None:
    edges = np.array(sorted(borders), dtype=np.int64)
    intervals = IntervalSet.of((start, start + length) for start, length in spans)
    inside = {time for start, end in intervals for time in range(start, end)}
    found = coverage_strip.lengths_per_bucket(intervals, edges).tolist()
    assert found == [len(inside & set(range(a, b))) for a, b in itertools.pairwise(edges)]


async def test_a_long_range_is_told_by_coarser_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    told, _ = await told_house([(0, 60, "complete"), (120, 600, "complete")])
    monkeypatch.setattr(coverage_strip, "STRIP_BARS_MAX", 100)
    strip = await service(told).strip(INSTRUMENT, minute(0), minute(COUNT), 12)
    [row] = strip.rows
    assert row.resolution is TIMEFRAMES["1h"]
    # Every hour has a trade in it, so that all that is complete counts as had, and no more than that.
    assert int(row.have.sum()) == 540 * MINUTE_MS
    assert int(row.no_trades.sum()) == 0
    assert int(row.missing.sum()) == (COUNT - 540) * MINUTE_MS


async def test_a_higher_timeframe_counts_what_minutes_cover() -> None:
    told, _ = await told_house([(1440, 2 * 1440 + 90, "complete")])
    hours = TIMEFRAMES["1h"]
    bars = Bars.from_rows([(minute(0), 1.0, 2.0, 1.0, 2.0, 3.0), (minute(120), 1.0, 2.0, 1.0, 2.0, 3.0)])
    own = IntervalSet.of([(minute(0), minute(180)), (minute(240), minute(300))])
    await told.bars.write(SeriesBars(series("1h"), bars, own))
    strip = await service(told).strip(INSTRUMENT, minute(0), minute(COUNT), DAYS * 24)
    assert [row.timeframe.name for row in strip.rows] == ["1m", "1h"]
    row = strip.rows[1]
    assert row.since_ms == minute(0)
    have = (row.have // hours.length_ms).tolist()
    assert have[:5] == [1, 0, 1, 0, 0]
    assert (row.no_trades // hours.length_ms).tolist()[:5] == [0, 1, 0, 0, 1]
    assert (row.missing // hours.length_ms).tolist()[:5] == [0, 0, 0, 1, 0]
    # Of the minutes, whole hours alone: the half hour at the end is missing.
    assert sum(have[24:49]) == 25
    assert (row.missing // hours.length_ms).tolist()[49:] == [1] * (DAYS * 24 - 49)


async def test_nothing_stored_is_an_empty_strip() -> None:
    strip = await service(house(ALL, NOW)).strip(INSTRUMENT, None, None, 100)
    assert strip.rows == ()
    assert strip.edges[-1] - strip.edges[0] == DAY_MS
    assert len(strip.edges) == 101
    known = await service(house(ALL, NOW)).known(INSTRUMENT, 0, NOW)
    assert (known.items, known.holes.items, known.since_ms, known.whole_since_ms) == ((), (), None, None)


async def test_imported_history_without_a_venue_lacks_nothing_after_its_end() -> None:
    told = house(ALL, NOW)
    key = InstrumentKey("crypto", "mydesk", "BTC/USDT")
    listed = Instrument(market="crypto", symbol="BTC/USDT", base="BTC", quote="USDT")
    span = IntervalSet.of([(minute(100), minute(200)), (minute(300), minute(400))])
    held = Bars.concat([ALL.between(*part) for part in span])
    imported = SeriesBars(key.series(ONE_MINUTE), held, span)
    await told.bars.import_bars([imported], replace=False, instruments=[listed])
    coverage = service(told)
    strip = await coverage.strip(key, None, None, 30)
    assert int(strip.edges[-1]) == minute(400)
    assert sum(missing for _, _, missing, _ in strip_minutes(strip)) == 100
    later = await coverage.strip(key, minute(300), minute(500), 2)
    assert [sum(part) for part in strip_minutes(later)] == [100, 0]
    assert list((await coverage.known(key, 0, NOW)).holes) == [(minute(200), minute(300))]
    (stored,), _ = await coverage.stored(None, 10)
    assert stored.known_share == pytest.approx(2 / 3)


async def test_a_minute_that_has_only_just_ended_is_no_hole() -> None:
    told, _ = await told_house([(0, COUNT, "complete")])
    told.clock.jump_wall(31_000)
    assert not (await service(told).known(INSTRUMENT, 0, NOW)).holes
    told.clock.jump_wall(5_000)
    assert (await service(told).known(INSTRUMENT, 0, NOW + HOUR_MS)).holes.length_ms == MINUTE_MS


async def test_more_stretches_than_asked_for_are_cut_and_said() -> None:
    told, model = await told_house([(index * 20, index * 20 + 10, "complete") for index in range(50)])
    tell = service(told)
    whole = await tell.known(INSTRUMENT, 0, NOW)
    assert whole.whole_since_ms is None
    found: list[tuple[int, int]] = []
    end, pages = NOW, 0
    while True:
        page = await tell.known(INSTRUMENT, 0, end, limit=7)
        assert len(page.items) + len(page.holes) <= 7
        found += [(item.start, item.end) for item in page.items]
        pages += 1
        if page.whole_since_ms is None:
            break
        end = page.whole_since_ms
    assert pages > 10
    assert IntervalSet.of(found) == IntervalSet.of((item.start, item.end) for item in whole.items)
    assert [tuple(hole) for hole in whole.holes] == model.holes()


async def test_a_night_is_no_hole() -> None:
    told = house(ALL, NOW)
    stock = InstrumentKey("crypto", "ledger", "SPY")
    listed = Instrument(market="crypto", symbol="SPY", base="SPY", quote="USD", calendar="XNYS")
    await told.instruments.save_listing("ledger", "crypto", [listed])
    opened = START_MS + DAY_MS + 14 * HOUR_MS + 30 * MINUTE_MS  # Tuesday, 2 January 2024; Monday is a holiday
    session = IntervalSet.single(opened, opened + 6 * HOUR_MS + 30 * MINUTE_MS)
    first_hour = IntervalSet.single(opened, opened + HOUR_MS)
    bars = Bars.from_rows([(opened, 1.0, 2.0, 1.0, 2.0, 3.0)])
    await told.bars.write(SeriesBars(stock.series(ONE_MINUTE), bars, first_hour))
    told.clock.jump_wall(opened + 18 * HOUR_MS - NOW)
    tell = service(told)
    known = await tell.known(stock, 0, NOW + DAY_MS)
    assert known.holes == session.subtract(first_hour)
    strip = await tell.strip(stock, START_MS, START_MS + 3 * DAY_MS, 3)
    assert strip_minutes(strip) == [(0, 0, 0, 0), (1, 59, 330, 0), (0, 0, 0, 0)]
    [stored], following = await tell.stored(None, 10)
    assert following is None
    assert stored.known_share == pytest.approx(60 / 390)


async def test_what_is_stored_is_listed_page_by_page() -> None:
    told, _ = await told_house([(0, 100, "complete")])
    orphan = InstrumentKey("crypto", "gone", "A/B")
    await told.bars.write(
        SeriesBars(
            orphan.series(ONE_MINUTE), ALL.between(0, minute(9)), IntervalSet.single(minute(0), minute(9))
        )
    )
    await told.bars.write(
        SeriesBars(series("1d"), Bars.empty(), IntervalSet.single(START_MS, START_MS + DAY_MS))
    )
    tell = service(told)
    [first], after = await tell.stored(None, 1)
    assert (first.key, first.known_share) == (orphan, None)
    assert after == orphan
    [second], after = await tell.stored(after, 1)
    assert after is None
    assert second.key == INSTRUMENT
    assert second.known_share == pytest.approx(100 / COUNT)
    bars = ALL.between(minute(0), minute(100)).time.tolist()
    assert [(each.timeframe, each.first_ms, each.last_ms) for each in second.series] == [
        ("1m", bars[0], bars[-1]),
        ("1d", None, None),
    ]


async def test_what_cannot_be_asked_is_refused() -> None:
    told, _ = await told_house([(0, 100, "complete")])
    tell = service(told)
    with pytest.raises(UnknownSymbol):
        await tell.known(InstrumentKey("crypto", "ledger", "NO/PE"), 0, NOW)
    for start, end in ((NOW, NOW - 1), (NOW, NOW)):
        with pytest.raises(InvalidInput):
            await tell.strip(INSTRUMENT, start, end, 10)
    with pytest.raises(InvalidInput):
        await tell.known(INSTRUMENT, NOW, 0)
