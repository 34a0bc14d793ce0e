"""Minutes that a venue has and does not give as they are: they are unknown, and never taken for quiet."""

from __future__ import annotations

import pytest

from tests.support.backfilling import INSTRUMENT, MINUTES_KEY, Site, site
from tests.support.houses import DAYS, NOW, House, house, series
from tests.support.ledger import START_MS, LedgerPlugin, as_of, random_minutes
from tradewright.domain.bars import Bars
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, Timeframe
from tradewright.plugins import _ccxt_parse as parse
from tradewright.plugins._ccxt_candles import CandleReader
from tradewright.plugins._ccxt_quirks import data_facts
from tradewright.services.data_orchestrator import BarsAnswer

MINUTES = random_minutes(5, DAYS * 1440, quiet=0)
ASKED = (START_MS + 20 * HOUR_MS, START_MS + 21 * HOUR_MS)
BAD = frozenset(ASKED[0] + minute * MINUTE_MS for minute in (0, 30, 31, 59))
HOLES = IntervalSet.of((time, time + MINUTE_MS) for time in BAD)
LATER_S = 601


def break_rows(kind: type[LedgerPlugin], bad: set[int]) -> None:
    """Let the venue give highs below lows at those times, as long as they are in the set."""
    whole = kind.fetch_ohlcv

    async def fetch_ohlcv(
        self: LedgerPlugin,
        symbol: str,
        timeframe: Timeframe,
        *,
        start_ms: int,
        end_ms: int,
        limit: int | None = None,
    ) -> Bars:
        page = await whole(self, symbol, timeframe, start_ms=start_ms, end_ms=end_ms, limit=limit)
        rows = [[t, o, low / 2 if t in bad else h, low, c, v] for t, o, h, low, c, v in page.rows()]
        return parse.page_of_bars(rows, timeframe)[0]

    kind.fetch_ohlcv = fetch_ohlcv  # type: ignore[method-assign]


def holes(answer: BarsAnswer) -> dict[str, IntervalSet]:
    reasons = {gap.reason for gap in answer.gaps}
    return {
        reason: IntervalSet.of((gap.start, gap.end) for gap in answer.gaps if gap.reason == reason)
        for reason in reasons
    }


async def ask(place: House) -> BarsAnswer:
    return await place.ask("1m", *ASKED)


async def backfill(place: Site, end_ms: int, *, newest_first: bool = False) -> None:
    """From the beginning on, and to the end without an error."""
    server = place.process()
    job = await server.manager.submit(INSTRUMENT, START_MS, end_ms, newest_first=newest_first)
    done = await place.finished(job.id)
    assert (done.state, done.error) == ("done", None)
    await server.close()


@pytest.mark.parametrize("page_limit", [7, 500])
async def test_a_row_that_can_not_be_right_is_a_hole_until_a_right_one_comes(page_limit: int) -> None:
    place, bad = house(MINUTES, NOW, page_limit=page_limit, native=("1m",)), set(BAD)
    break_rows(place.plugin, bad)
    for _ in range(3):
        answer = await ask(place)
        assert holes(answer) == {"not_fetched": HOLES}
        assert answer.problems == ()
        assert (await place.bars.coverage(series("1m"), *ASKED)).known.intersect(HOLES) == IntervalSet()
        asked = len(place.plugin.requests)
        assert holes(await ask(place)) == {"not_fetched": HOLES}
        assert len(place.plugin.requests) == asked, "asked again at once"
        await place.clock.advance(LATER_S)
    bad.clear()
    answer = await ask(place)
    assert answer.bars.time.tolist() == MINUTES.between(*ASKED).time.tolist()
    assert answer.gaps == ()


@pytest.mark.parametrize("newest_first", [False, True])
async def test_a_backfill_ends_with_a_hole_where_no_right_row_comes(newest_first: bool) -> None:
    async with site(MINUTES, NOW) as place:
        break_rows(place.plugin, set(BAD))
        end = START_MS + DAY_MS
        await backfill(place, end, newest_first=newest_first)
        known = (await place.bars.coverage(MINUTES_KEY, START_MS, end)).known
        assert known == IntervalSet.single(START_MS, end).subtract(HOLES)
        assert len(place.plugin.requests) < 40


def give_the_newest(kind: type[LedgerPlugin], rows: int) -> None:
    """Let the venue give its newest rows, whatever it is asked for, as CCXT asks some exchanges."""

    async def fetch_ohlcv(
        self: LedgerPlugin,
        symbol: str,
        timeframe: Timeframe,
        *,
        start_ms: int,
        end_ms: int,
        limit: int | None = None,
    ) -> Bars:
        async def ask(_symbol: str, timeframe: Timeframe, since: int, limit: int, params: object) -> Bars:
            self.requests.append((timeframe.name, start_ms, end_ms))
            return resample(as_of(self.minutes, self.clock.now_ms()), timeframe)[-rows:]

        reader = CandleReader(
            ask, data_facts("gemini"), rows=rows, timeframes=self.timeframes, now_ms=self.venue_time_ms
        )
        return await reader.page(symbol, timeframe, start_ms, end_ms, limit)

    kind.fetch_ohlcv = fetch_ohlcv  # type: ignore[method-assign]


async def test_a_hole_older_than_what_a_venue_still_gives_stays_one() -> None:
    began = START_MS + DAY_MS
    place = house(MINUTES, began, page_limit=500, native=("1m",))
    give_the_newest(place.plugin, 500)
    assert len((await place.ask("1m", limit=300)).bars) == 300
    await place.clock.advance(2 * DAY_MS / 1_000)
    start, end = began - HOUR_MS, began + 2 * DAY_MS
    gone = (began, int(as_of(MINUTES, place.clock.now_ms()).time[-500]))
    for _ in range(3):
        asked = len(place.plugin.requests)
        answer = await place.ask("1m", start, end, limit=5_000)
        assert holes(answer)["not_fetched"].contains(*gone)
        assert len(place.plugin.requests) - asked < 10
        assert not (await place.bars.coverage(series("1m"), *gone)).known
        await place.clock.advance(LATER_S)


async def test_a_backfill_of_what_a_venue_does_not_give_any_more_ends() -> None:
    async with site(MINUTES, NOW, page_limit=500) as place:
        give_the_newest(place.plugin, 500)
        await backfill(place, NOW - HOUR_MS)
        gone = (START_MS, int(as_of(MINUTES, NOW).time[-500]))
        assert not (await place.bars.coverage(MINUTES_KEY, *gone)).known
        assert len(await place.bars.read(MINUTES_KEY, START_MS, NOW)) > 400
