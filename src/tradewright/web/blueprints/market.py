"""``/api/v1/market``: what can be watched, its history, and its state now."""

from __future__ import annotations

from collections import deque
from typing import Final

from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_response, tag

from tradewright.domain.errors import StorageUnavailable
from tradewright.domain.instruments import (
    Instrument,
    SeriesKey,
    check_identifier,
)
from tradewright.domain.streams import Problem
from tradewright.domain.ticks import OrderBook, Ticker
from tradewright.services.adjusted_bars import AdjustedBars
from tradewright.services.data_orchestrator import BarsAnswer
from tradewright.services.market_service import MarketService
from tradewright.web.answers import encoded, instrument_key, json_response
from tradewright.web.cursors import read_cursor, write_cursor
from tradewright.web.decoding import parse_query
from tradewright.web.middleware.authentication import ASKS_VENUE, MARKET, allow
from tradewright.web.middleware.warm_history import WarmAnswers
from tradewright.web.models import (
    InstrumentItem,
    InstrumentQuery,
    MarketItem,
    MarketList,
    MarketQuery,
    NoQuery,
    OhlcvQuery,
    OhlcvResponse,
    OrderBookQuery,
    ProblemDocument,
    ProviderItem,
    ProviderList,
    SourceItem,
    StoredRange,
    SymbolList,
    SymbolsQuery,
    TradeList,
    TradesQuery,
)

_BODIES_MAX: Final = 8
_SEPARATORS: Final = str.maketrans("", "", "/-_:. ")


def build(markets: MarketService, bars: AdjustedBars, warm: WarmAnswers) -> Blueprint:
    """The routes, over these services; answers that can't change are left in ``warm``."""
    blueprint = Blueprint("market", __name__, url_prefix="/api/v1/market")
    _add_lists(blueprint, markets)
    _add_bars(blueprint, bars, warm)
    _add_states(blueprint, markets)
    return blueprint


def _add_lists(blueprint: Blueprint, markets: MarketService) -> None:
    """What there is to look at."""

    @blueprint.get("/markets")
    @allow(MARKET)
    @tag(["market"])
    @document_response(MarketList)
    async def list_markets() -> Response:
        """The markets, and what plugins bring to each."""
        parse_query(NoQuery)
        items = [
            MarketItem(market=market, plugin=plugin, providers=count)
            for market, plugin, count in await markets.plugin_counts()
        ]
        return json_response(MarketList(items=items))

    @blueprint.get("/providers")
    @allow(MARKET)
    @tag(["market"])
    @document_querystring(MarketQuery)
    @document_response(ProviderList)
    @document_response(ProblemDocument, 404)
    async def list_providers() -> Response:
        """The providers of a market."""
        query = parse_query(MarketQuery)
        found = await markets.providers(check_identifier("market", query.market))
        items = [
            ProviderItem(**{name: getattr(info, name) for name in ProviderItem.__struct_fields__})
            for info in found
        ]
        return json_response(ProviderList(items=items))

    @blueprint.get("/symbols")
    @allow(MARKET)
    @tag(["market"])
    @document_querystring(SymbolsQuery)
    @document_response(SymbolList)
    @document_response(ProblemDocument, 404)
    async def list_symbols() -> Response:
        """The instruments of a provider, the best match of a search first."""
        query = parse_query(SymbolsQuery)
        listing = await markets.listing(
            check_identifier("market", query.market), check_identifier("provider", query.provider)
        )
        page, cursor = _page_of_symbols(listing.instruments, query)
        problem = listing.problem
        source = "db" if isinstance(problem, StorageUnavailable) else "plugin"
        problems = (Problem(source, problem.code, problem.message),) if problem else ()
        items = [InstrumentItem.of(instrument) for instrument in page]
        return json_response(SymbolList(items=items, next_cursor=cursor, problems=problems))


class _Bodies:
    """Answers as bytes; one that several equal requests share is encoded once. Holds the last few."""

    def __init__(self) -> None:
        self._last: deque[tuple[BarsAnswer, bytes]] = deque(maxlen=_BODIES_MAX)

    def of(self, answer: BarsAnswer) -> bytes:
        """The answer as the API tells it."""
        for known, body in self._last:
            if known is answer:
                return body
        body = encoded(_ohlcv_response(answer))
        self._last.append((answer, body))
        return body


def _add_bars(blueprint: Blueprint, bars: AdjustedBars, warm: WarmAnswers) -> None:
    """History."""
    bodies = _Bodies()

    @blueprint.get("/ohlcv")
    @allow(MARKET, cost=ASKS_VENUE)
    @tag(["market"])
    @document_querystring(OhlcvQuery)
    @document_response(OhlcvResponse)
    @document_response(ProblemDocument, 404)
    @document_response(ProblemDocument, 422)
    async def ohlcv() -> Response:
        """Bars of an instrument, with every gap labelled and every part's source named."""
        query = parse_query(OhlcvQuery)
        key = instrument_key(query)
        answer = await bars.get_bars(
            SeriesKey(key.market, key.provider, key.symbol, query.timeframe),
            start_ms=query.start,
            end_ms=query.end,
            limit=query.limit,
            adjustment=query.adjustment,
        )
        body = bodies.of(answer)
        if answer.final and len(answer.bars):
            warm.put(request.query_string, body)
        return json_response(body)


def _add_states(blueprint: Blueprint, markets: MarketService) -> None:
    """What is now."""

    @blueprint.get("/ticker")
    @allow(MARKET, cost=ASKS_VENUE)
    @tag(["market"])
    @document_querystring(InstrumentQuery)
    @document_response(Ticker)
    async def ticker() -> Response:
        """The state of an instrument now."""
        return json_response(await markets.ticker(instrument_key(parse_query(InstrumentQuery))))

    @blueprint.get("/order_book")
    @allow(MARKET, cost=ASKS_VENUE)
    @tag(["market"])
    @document_querystring(OrderBookQuery)
    @document_response(OrderBook)
    async def order_book() -> Response:
        """The best levels of both sides now."""
        query = parse_query(OrderBookQuery)
        return json_response(await markets.order_book(instrument_key(query), query.depth))

    @blueprint.get("/trades")
    @allow(MARKET, cost=ASKS_VENUE)
    @tag(["market"])
    @document_querystring(TradesQuery)
    @document_response(TradeList)
    async def trades() -> Response:
        """The newest public trades, newest last."""
        query = parse_query(TradesQuery)
        return json_response(TradeList(items=list(await markets.trades(instrument_key(query), query.limit))))


def _ohlcv_response(answer: BarsAnswer) -> OhlcvResponse:
    key = answer.key
    return OhlcvResponse(
        market=key.market,
        provider=key.provider,
        symbol=key.symbol,
        timeframe=key.timeframe,
        bars=answer.bars.rows(),
        forming=answer.forming,
        sources=[SourceItem(source=part.source, start=part.start, end=part.end) for part in answer.sources],
        gaps=answer.gaps,
        problems=answer.problems,
        stored=StoredRange(first=answer.stored[0], last=answer.stored[1]) if answer.stored else None,
    )


def _page_of_symbols(
    instruments: tuple[Instrument, ...], query: SymbolsQuery
) -> tuple[list[Instrument], str | None]:
    """The page after the cursor, in the order of rank and symbol, and the cursor of the next one."""
    needle = query.search.strip().upper()
    ranked = sorted(
        ((rank, instrument.symbol), instrument)
        for instrument in instruments
        if (rank := _rank(instrument, needle)) is not None
    )
    if query.cursor is not None:
        after = read_cursor(query.cursor, tuple[int, str])
        ranked = [entry for entry in ranked if entry[0] > after]
    page = ranked[: query.limit]
    more = len(ranked) > len(page)
    return [instrument for _, instrument in page], write_cursor(page[-1][0]) if more else None


def _rank(instrument: Instrument, needle: str) -> int | None:
    """How well the instrument fits a search: lower is better, None is not at all."""
    symbol = instrument.symbol.upper()
    inactive = 0 if instrument.active else 10
    # Each venue separates in its own way, so letters are compared with letters: BTC-USDT is BTC/USDT.
    plain, wanted = symbol.translate(_SEPARATORS), needle.translate(_SEPARATORS)
    if not needle or symbol == needle or (wanted and plain == wanted):
        return inactive
    if instrument.base.upper() == needle:
        return 1 + inactive
    if symbol.startswith(needle) or (wanted and plain.startswith(wanted)):
        return 2 + inactive
    if needle in symbol or (wanted and wanted in plain) or needle in (instrument.name or "").upper():
        return 3 + inactive
    return None
