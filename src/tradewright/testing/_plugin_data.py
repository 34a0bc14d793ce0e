"""Promises about what a plugin's ``fetch_*`` methods give."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Final

import numpy as np

from tradewright.domain.bars import Bars, impossible_rows
from tradewright.domain.capabilities import Capability
from tradewright.domain.errors import InvalidInput
from tradewright.domain.instruments import Instrument, check_symbol
from tradewright.domain.resampling import resample
from tradewright.domain.ticks import OrderBook, Ticker, Trade
from tradewright.domain.timeframes import DAY_MS, ONE_MINUTE, Timeframe
from tradewright.plugins.base import MarketPlugin
from tradewright.testing._plugin_subject import CLOCK_TOLERANCE_MS, Subject

_TRADES: Final = 20
_MOST_PAGES: Final = 50
_VOLUME_TOLERANCE: Final = 1e-9
_PARALLEL_CALLS: Final = 10


async def check_instruments(subject: Subject, plugin: MarketPlugin) -> None:
    """The list is sound and holds the symbol."""
    async with subject.attempt("fetch_instruments()"):
        listed = await plugin.fetch_instruments()
    names = [(instrument.market, instrument.symbol) for instrument in listed]
    assert len(set(names)) == len(names), "fetch_instruments lists a symbol of one market twice."
    for instrument in listed:
        _check_instrument(instrument, plugin)
    assert (subject.market, subject.symbol) in names, (
        f"fetch_instruments does not list {subject.symbol} in {subject.market}."
    )


def _check_instrument(instrument: Instrument, plugin: MarketPlugin) -> None:
    symbol = instrument.symbol
    try:
        check_symbol(symbol)
    except InvalidInput:
        raise AssertionError(f"fetch_instruments lists {symbol!r}, which can't be a symbol.") from None
    assert instrument.market in plugin.get_supported_markets(), (
        f"{symbol} is listed in {instrument.market}, which the plugin does not support."
    )
    assert instrument.base, f"{symbol} has no base."
    assert instrument.quote, f"{symbol} has no quote."
    for name in ("price_tick", "amount_step", "min_amount", "min_cost"):
        step = getattr(instrument, name)
        assert step is None or (step.is_finite() and step >= 0), f"The {name} of {symbol} is {step}."
    for name in ("price_tick", "amount_step"):
        assert getattr(instrument, name) != 0, (
            f"The {name} of {symbol} is zero; where it is unknown it is None."
        )


async def check_ohlcv(subject: Subject, plugin: MarketPlugin) -> None:
    """Pages of bars are what ``fetch_ohlcv`` promises, in each timeframe, and the timeframes agree."""
    if not plugin.supports(Capability.OHLCV):
        return
    assert plugin.timeframes, "OHLCV is declared, but there is no timeframe."
    assert plugin.ohlcv_page_limit > 0, "ohlcv_page_limit is not positive."
    start_ms, end_ms = await subject.history(plugin)
    minutes = Bars.empty()
    for timeframe in subject.timeframes(plugin):
        aligned_ms = timeframe.floor(start_ms)
        bars = await _all_pages(subject, plugin, timeframe, aligned_ms, end_ms)
        assert len(bars), f"There is no {timeframe} bar in the history that was named."
        await _check_paging(subject, plugin, timeframe, bars, aligned_ms, end_ms)
        await _check_present(subject, plugin, timeframe)
        if timeframe is ONE_MINUTE:
            minutes = bars
        elif len(minutes):
            now_ms = await subject.now_ms(plugin)
            _check_agreement(minutes, bars, timeframe, start_ms, min(end_ms, now_ms - plugin.settling_ms))


async def _page(
    subject: Subject,
    plugin: MarketPlugin,
    timeframe: Timeframe,
    start_ms: int,
    end_ms: int,
    limit: int | None,
) -> Bars:
    """One page, checked on its own."""
    call = f"fetch_ohlcv({subject.symbol}, {timeframe}, start_ms={start_ms}, end_ms={end_ms}, limit={limit})"
    async with subject.attempt(call):
        bars = await plugin.fetch_ohlcv(
            subject.symbol, timeframe, start_ms=start_ms, end_ms=end_ms, limit=limit
        )
    most = plugin.ohlcv_page_limit if limit is None else min(limit, plugin.ohlcv_page_limit)
    assert len(bars) <= most, f"{call} gave {len(bars)} bars, at most {most} are allowed."
    check_bars(bars, timeframe, call)
    if len(bars):
        assert bars.time[0] >= start_ms, f"{call} gave a bar that opens before the start."
        assert bars.time[-1] < end_ms, f"{call} gave a bar that does not open before the end."
        now_ms = await subject.now_ms(plugin) + CLOCK_TOLERANCE_MS
        assert bars.time[-1] <= now_ms, f"{call} gave a bar of the future."
        assert len(bars) == 1 or timeframe.end(int(bars.time[-2])) <= now_ms, (
            f"{call} gave a forming bar that is not the last one."
        )
    return bars


def check_bars(bars: Bars, timeframe: Timeframe, source: str) -> None:
    """The bars ascend, are aligned, and could be made by a market."""
    assert len({len(column) for column in bars.columns()}) == 1, f"{source} gave columns of unequal length."
    assert bars.time.dtype == np.int64, f"{source} gave times that are not int64."
    assert (np.diff(bars.time) > 0).all(), f"{source} gave bars that do not ascend in time."
    assert np.array_equal(timeframe.floor_array(bars.time), bars.time), (
        f"{source} gave a bar that is not aligned to {timeframe}."
    )
    impossible = impossible_rows(bars)
    first = bars.take(impossible).rows()[:1]
    assert not first, f"{source} gave a bar that no market can have made: {first[0]}."


async def _all_pages(
    subject: Subject, plugin: MarketPlugin, timeframe: Timeframe, start_ms: int, end_ms: int
) -> Bars:
    pages: list[Bars] = []
    for _ in range(_MOST_PAGES):
        page = await _page(subject, plugin, timeframe, start_ms, end_ms, None)
        if not len(page):
            break
        pages.append(page)
        start_ms = timeframe.end(int(page.time[-1]))
        if start_ms >= end_ms:
            break
    return Bars.concat(pages)


async def _check_paging(
    subject: Subject, plugin: MarketPlugin, timeframe: Timeframe, bars: Bars, start_ms: int, end_ms: int
) -> None:
    """A limited page is the beginning of the whole; its borders are exact; what is final stays."""
    page = partial(_page, subject, plugin, timeframe)
    first_ms = int(bars.time[0])
    limited = await page(start_ms, end_ms, 2)
    assert limited.time.tolist() == bars.time[:2].tolist(), (
        f"A page of {timeframe} with limit=2 does not begin with the earliest bars."
    )
    if len(bars) > 1:  # so the first one is closed
        now_ms = await subject.now_ms(plugin)
        if timeframe.end(first_ms) + plugin.settling_ms <= now_ms:
            assert limited[:1].equals(bars[:1]), f"A final bar of {timeframe} differed when asked for again."
        later = await page(first_ms + 1, end_ms, 1)
        assert later.time[:1].tolist() == bars.time[1:2].tolist(), (
            f"A page of {timeframe} that starts after a bar's opening does not begin with the next bar."
        )
    none = await page(first_ms, first_ms, None)
    assert not len(none), f"An empty interval of {timeframe} gave bars."


async def _check_present(subject: Subject, plugin: MarketPlugin, timeframe: Timeframe) -> None:
    """Asking for the present gives at most a forming bar, for the future nothing."""
    now_ms = await subject.now_ms(plugin)
    await _page(subject, plugin, timeframe, timeframe.floor(now_ms), now_ms + DAY_MS, None)
    ahead_ms = timeframe.end(timeframe.floor(now_ms)) + 2 * CLOCK_TOLERANCE_MS + timeframe.length_ms
    future = await _page(subject, plugin, timeframe, ahead_ms, ahead_ms + timeframe.length_ms + 1, None)
    assert not len(future), f"There are {timeframe} bars of the future."


def _check_agreement(minutes: Bars, bars: Bars, timeframe: Timeframe, start_ms: int, end_ms: int) -> None:
    """Every bar that lies in the interval as a whole is made of its minutes."""
    start_ms, end_ms = timeframe.ceil(start_ms), timeframe.floor(max(start_ms, end_ms))
    made = resample(minutes.between(start_ms, end_ms), timeframe)
    own = bars.between(start_ms, end_ms)
    assert own.time.tolist() == made.time.tolist(), (
        f"The {timeframe} bars are not at the times of the minutes."
    )
    for name in ("open", "high", "low", "close"):
        same = np.array_equal(getattr(own, name), getattr(made, name))
        assert same, f"The {name} of a {timeframe} bar is not that of its minutes."
    assert np.allclose(own.volume, made.volume, rtol=_VOLUME_TOLERANCE, atol=0.0), (
        f"The volume of a {timeframe} bar is not that of its minutes."
    )


async def check_ticker(subject: Subject, plugin: MarketPlugin) -> None:
    """The ticker is one of this market, now."""
    if plugin.supports(Capability.TICKER):
        async with subject.attempt("fetch_ticker()"):
            ticker = await plugin.fetch_ticker(subject.symbol)
        check_one_ticker(ticker, await subject.now_ms(plugin), "fetch_ticker")


def check_one_ticker(ticker: Ticker, now_ms: int, source: str) -> None:
    """Its numbers fit each other."""
    assert ticker.t <= now_ms + CLOCK_TOLERANCE_MS, f"{source} gave a ticker of the future."
    for name in ("last", "bid", "ask", "high", "low"):
        price = getattr(ticker, name)
        assert price is None or (np.isfinite(price) and price > 0), f"{source} gave {name} = {price}."
    for name in ("volume", "quote_volume"):
        amount = getattr(ticker, name)
        assert amount is None or (np.isfinite(amount) and amount >= 0), f"{source} gave {name} = {amount}."
    assert ticker.last is not None, f"{source} gave a ticker without the last price."
    if ticker.bid is not None and ticker.ask is not None:
        assert ticker.bid < ticker.ask, f"{source} gave a bid that is not below the ask."
    if ticker.high is not None and ticker.low is not None:
        assert ticker.low <= ticker.high, f"{source} gave a low above the high."


async def check_order_book(subject: Subject, plugin: MarketPlugin) -> None:
    """The book is sorted, uncrossed and deep enough."""
    if plugin.supports(Capability.ORDER_BOOK):
        async with subject.attempt("fetch_order_book()"):
            book = await plugin.fetch_order_book(subject.symbol, subject.book_levels)
        check_one_book(book, await subject.now_ms(plugin), "fetch_order_book")
        for side, levels in (("bids", book.bids), ("asks", book.asks)):
            assert len(levels) >= subject.book_levels, (
                f"fetch_order_book gave {len(levels)} {side}; {subject.book_levels} were asked for."
            )


def check_one_book(book: OrderBook, now_ms: int, source: str) -> None:
    """Both sides sorted, best first, amounts positive, not crossed."""
    assert book.t <= now_ms + CLOCK_TOLERANCE_MS, f"{source} gave a book of the future."
    assert book.bids, f"{source} gave a book without bids."
    assert book.asks, f"{source} gave a book without asks."
    assert not book.crossed, f"{source} gave a crossed book: {book.bids[0]} against {book.asks[0]}."
    bids, asks = ([price for price, _ in levels] for levels in (book.bids, book.asks))
    assert all(a > b for a, b in pairwise(bids)), f"{source} gave bids that do not descend."
    assert all(a < b for a, b in pairwise(asks)), f"{source} gave asks that do not ascend."
    assert all(price > 0 and amount > 0 for price, amount in (*book.bids, *book.asks)), (
        f"{source} gave a level whose price or amount is not positive."
    )


async def check_trades(subject: Subject, plugin: MarketPlugin) -> None:
    """The newest trades, in order, no more than asked for."""
    if plugin.supports(Capability.TRADES):
        async with subject.attempt("fetch_trades()"):
            trades = await plugin.fetch_trades(subject.symbol, _TRADES)
        assert trades, "fetch_trades gave no trade."
        assert len(trades) <= _TRADES, f"fetch_trades gave {len(trades)} trades; {_TRADES} were asked for."
        check_trade_list(trades, await subject.now_ms(plugin), "fetch_trades")


def check_trade_list(trades: Sequence[Trade], now_ms: int, source: str) -> None:
    """Oldest first, each once, none impossible."""
    times = [trade.time for trade in trades]
    assert times == sorted(times), f"{source} gave trades that are not in order, the newest last."
    assert len({trade.id for trade in trades}) == len(trades), f"{source} gave a trade twice."
    assert all(trade.id for trade in trades), f"{source} gave a trade without an id."
    assert not times or times[-1] <= now_ms + CLOCK_TOLERANCE_MS, f"{source} gave a trade of the future."
    for trade in trades:
        sound = (
            np.isfinite(trade.price) and trade.price > 0 and np.isfinite(trade.amount) and trade.amount > 0
        )
        assert sound, f"{source} gave a trade that no market can have made: {trade}."
        assert trade.side in ("buy", "sell", None), f"{source} gave the side {trade.side!r}."


async def check_parallel_calls(subject: Subject, plugin: MarketPlugin) -> None:
    """Ten calls at once all succeed."""
    calls = _data_calls(subject, plugin, await subject.history(plugin))
    if calls:
        async with subject.attempt(f"{_PARALLEL_CALLS} calls at once"):
            await asyncio.gather(*(calls[number % len(calls)]() for number in range(_PARALLEL_CALLS)))


def _data_calls(
    subject: Subject, plugin: MarketPlugin, history_ms: tuple[int, int]
) -> list[Callable[[], Awaitable[object]]]:
    symbol, (start_ms, end_ms) = subject.symbol, history_ms
    timeframes = subject.timeframes(plugin)
    possible: list[tuple[Capability, Callable[[], Awaitable[object]]]] = [
        (Capability.TICKER, lambda: plugin.fetch_ticker(symbol)),
        (Capability.ORDER_BOOK, lambda: plugin.fetch_order_book(symbol, subject.book_levels)),
        (Capability.TRADES, lambda: plugin.fetch_trades(symbol, _TRADES)),
    ]
    if timeframes:
        page = partial(plugin.fetch_ohlcv, symbol, timeframes[0], start_ms=start_ms, end_ms=end_ms, limit=5)
        possible.append((Capability.OHLCV, page))
    return [call for capability, call in possible if plugin.supports(capability)]
