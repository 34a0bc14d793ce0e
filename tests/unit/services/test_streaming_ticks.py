"""What a feed publishes of trades, tickers and order books: each trade once, and nothing old."""

from __future__ import annotations

import random

import pytest

from tests.unit.services.streaming_rig import Rig, stream
from tradewright.domain.ticks import OrderBook


async def test_crossed_books_are_never_published() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream("order_book"))
        crossed = OrderBook(t=rig.clock.now_ms() + 1, bids=((101.0, 1.0),), asks=((100.0, 1.0),))
        before = len(viewer.updates)
        rig.venue.send("order_book", crossed)
        await rig.clock.advance(1)
        assert len(viewer.updates) == before
        rig.venue.trade(105)
        await rig.clock.advance(1)
        book = viewer.book()
        assert len(book.bids) == 25
        assert not book.crossed


async def test_trades_come_once_and_in_order_through_cuts_and_repetition() -> None:
    rng = random.Random(3)
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream("trades"))
        for _ in range(300):
            await rig.clock.advance(rng.uniform(0.1, 3))
            rig.venue.trade(rng.uniform(90, 110), tell=rng.random() > 0.05)
            if rng.random() < 0.05:
                rig.venue.cut()
            if rng.random() < 0.2:
                rig.venue.send("trades", rig.venue.trades[-5:])
        rig.venue.cut()
        await rig.clock.advance(20)
        assert sorted(t.id for t in viewer.trades) == sorted(t.id for t in rig.venue.trades)
        assert viewer.resyncs == []


async def test_what_was_traded_during_a_cut_is_told_before_anything_newer() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream("trades"))
        for _ in range(20):
            rig.venue.cut()
            await rig.clock.advance(0.2)
            rig.venue.trade(101)
            await rig.clock.advance(3)
            rig.venue.trade(102)
            await rig.clock.advance(0.2)
            assert viewer.trades == rig.venue.trades
            await rig.clock.advance(31)


@pytest.mark.parametrize("page", [60, 500])
async def test_trades_that_no_page_reaches_back_to_begin_a_new_epoch(page: int) -> None:
    async with Rig() as rig:
        rig.venue.trades_page = page
        rig.venue.trade(100)
        viewer = await rig.view(stream("trades"))
        for missed, resyncs in ((page - 1, 0), (page, 1)):
            rig.venue.cut()
            await rig.clock.settle()
            epoch, known = viewer.epoch, len(viewer.trades)
            for number in range(missed):
                rig.venue.trade(100 + number % 7, tell=False)
            await rig.clock.advance(40)
            assert len(viewer.resyncs) == resyncs
            assert (viewer.epoch > epoch) == bool(resyncs)
            if not resyncs:
                assert len(viewer.trades) == known + missed
        assert viewer.trades[-1] == rig.venue.trades[-1]


@pytest.mark.parametrize("kind", ["ticker", "order_book"])
async def test_a_time_in_the_future_does_not_silence_what_follows(kind: str) -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream(kind))  # type: ignore[arg-type]
        hour_ms = 3_600_000
        rig.venue.trade(100.5, tell=False)
        rig.clock.jump_wall(hour_ms)
        ahead = {"ticker": rig.venue.ticker(), "order_book": rig.venue.book()}[kind]
        rig.clock.jump_wall(-hour_ms)
        rig.venue.send(kind, ahead)
        await rig.clock.advance(1)
        before = len(viewer.updates)
        for price in (101, 102):
            rig.venue.trade(price)
            await rig.clock.advance(1)
        assert len(viewer.updates) == before + 2
        late = {"ticker": rig.venue.ticker(), "order_book": rig.venue.book()}[kind]
        rig.venue.trade(103)
        await rig.clock.advance(1)
        rig.venue.trade(104)
        await rig.clock.advance(1)
        rig.venue.send(kind, late)
        await rig.clock.advance(1)
        assert len(viewer.updates) == before + 4, "what comes late is still dropped"


@pytest.mark.parametrize("kind", ["ticker", "order_book"])
async def test_another_connection_may_speak_of_an_earlier_time(kind: str) -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream(kind))  # type: ignore[arg-type]
        rig.venue.trade(101)
        await rig.clock.advance(1)
        rig.clock.jump_wall(-60_000)  # the venue's clock, or ours, was wrong and is put right
        rig.venue.cut()
        await rig.clock.advance(3)
        before = len(viewer.updates)
        rig.venue.trade(102)
        await rig.clock.advance(1)
        assert len(viewer.updates) > before


async def test_a_stream_of_bad_books_is_begun_anew_and_the_book_is_right_within_two_seconds() -> None:
    async with Rig() as rig:
        rig.venue.trade(100)
        viewer = await rig.view(stream("order_book"))
        opened = rig.venue.opened
        disorder = ((99.0, 1.0), (99.5, 1.0)), ((101.0, 1.0),)
        nothing = ((99.0, float("nan")),), ((101.0, 1.0),)
        before = len(viewer.updates)
        rig.venue.trade(110, tell=False)
        for number in range(30):
            bids, asks = (disorder, nothing)[number % 2]
            rig.venue.send("order_book", OrderBook(t=rig.clock.now_ms() + 1, bids=bids, asks=asks))
            await rig.clock.advance(0.05)
            if rig.venue.opened > opened:
                break
        assert rig.venue.opened == opened + 1, "the venue's stream was begun anew"
        await rig.clock.advance(1.5)
        assert viewer.book().bids[0][0] == 109.0
        assert all(update.order_book.sound for update in viewer.updates[before:] if update.order_book)


@pytest.mark.parametrize("page", [500, 3])
async def test_a_missing_number_is_asked_for_before_anything_newer_is_told(page: int) -> None:
    rng = random.Random(4)
    async with Rig() as rig:
        rig.venue.counts_trades = True
        rig.venue.trades_page = page
        rig.venue.trade(100)
        viewer = await rig.view(stream("trades"))
        lost = 0
        for _ in range(300):
            await rig.clock.advance(rng.uniform(0.05, 0.5))
            rig.venue.trade(rng.uniform(90, 110), tell=False)
            if rng.random() < 0.05:
                lost += 1
            elif rng.random() < 0.2:  # two at once, the later one first
                rig.venue.trade(100, tell=False)
                rig.venue.send("trades", rig.venue.trades[-1:])
                rig.venue.send("trades", rig.venue.trades[-2:-1])
            else:
                rig.venue.send("trades", rig.venue.trades[-1:])
        await rig.clock.advance(20)
        told = [int(trade.id) for trade in viewer.trades]
        assert lost > 5
        assert told == sorted(set(told))
        assert viewer.states[-1] == "live"
        assert rig.venue.opened == 1, "no stream was given up for it"
        if page == 500:
            assert told == [int(trade.id) for trade in rig.venue.trades]
            assert viewer.resyncs == []
        else:
            assert viewer.resyncs, "what can't be had is told"


async def test_missing_numbers_do_not_stop_what_follows_where_nobody_can_be_asked() -> None:
    async with Rig() as rig:
        rig.venue.counts_trades = True
        rig.venue.trade(100)
        viewer = await rig.view(stream("trades"))
        rig.venue.trade(100, tell=False)
        rig.venue.rest_up = False
        for _ in range(30):
            rig.venue.trade(100)
            await rig.clock.advance(1)
        assert viewer.trades[-1].id == rig.venue.trades[-1].id
        assert viewer.resyncs == ["epoch_changed"]
