"""``/api/v1/market``: what is stored and what is missing, and stored bars as files."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from quart import Blueprint, Response
from quart_schema import document_querystring, document_response, tag

from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.services.bar_export import BarExporter
from tradewright.services.coverage import CoverageService
from tradewright.services.coverage_strip import StripRow
from tradewright.web.answers import instrument_key, json_response
from tradewright.web.coverage_models import (
    BarFile,
    CoverageItem,
    CoverageQuery,
    CoverageResponse,
    ExportQuery,
    Hole,
    StoredItem,
    StoredList,
    StoredQuery,
    StoredTimeframe,
    StripItem,
    StripQuery,
    StripResponse,
)
from tradewright.web.cursors import read_cursor, write_cursor
from tradewright.web.decoding import parse_query
from tradewright.web.middleware.authentication import HEAVY, MARKET, allow
from tradewright.web.models import TIME_MAX_MS, ProblemDocument

EXPORT_DEADLINE_S: Final = 1_800
"""Who takes longer for a file asks for it in parts: a client that stops reading must not hold a place."""


def build(coverage: CoverageService, exporter: BarExporter) -> Blueprint:
    """The routes, over these services."""
    blueprint = Blueprint("coverage", __name__, url_prefix="/api/v1/market")
    _add_coverage(blueprint, coverage)
    _add_stored(blueprint, coverage)
    _add_export(blueprint, exporter)
    return blueprint


def _add_coverage(blueprint: Blueprint, coverage: CoverageService) -> None:
    @blueprint.get("/coverage")
    @allow(MARKET)
    @tag(["stored data"])
    @document_querystring(CoverageQuery)
    @document_response(CoverageResponse)
    @document_response(ProblemDocument, 404)
    @document_response(ProblemDocument, 422)
    async def known() -> Response:
        """What is known of an instrument, and the holes in its minutes."""
        query = parse_query(CoverageQuery)
        end = TIME_MAX_MS if query.end is None else query.end
        found = await coverage.known(instrument_key(query), query.start or 0, end, query.limit)
        return json_response(
            CoverageResponse(
                market=query.market,
                provider=query.provider,
                symbol=query.symbol,
                items=[
                    CoverageItem(timeframe=each.timeframe, start=each.start, end=each.end, kind=each.kind)
                    for each in found.items
                ],
                holes=[Hole(start=start, end=end) for start, end in found.holes],
                since=found.since_ms,
                whole_since=found.whole_since_ms,
            )
        )

    @blueprint.get("/coverage/strip")
    @allow(MARKET)
    @tag(["stored data"])
    @document_querystring(StripQuery)
    @document_response(StripResponse)
    @document_response(ProblemDocument, 404)
    @document_response(ProblemDocument, 422)
    async def strip() -> Response:
        """How much of each part of a range is known, for a picture of it."""
        query = parse_query(StripQuery)
        found = await coverage.strip(instrument_key(query), query.start, query.end, query.buckets)
        return json_response(
            StripResponse(
                market=query.market,
                provider=query.provider,
                symbol=query.symbol,
                start=int(found.edges[0]),
                end=int(found.edges[-1]),
                buckets=len(found.edges) - 1,
                items=[_strip_item(row) for row in found.rows],
            )
        )


def _add_stored(blueprint: Blueprint, coverage: CoverageService) -> None:
    @blueprint.get("/stored")
    @allow(MARKET)
    @tag(["stored data"])
    @document_querystring(StoredQuery)
    @document_response(StoredList)
    @document_response(ProblemDocument, 422)
    async def stored() -> Response:
        """The instruments of which anything is stored."""
        query = parse_query(StoredQuery)
        after = (
            None if query.cursor is None else InstrumentKey(*read_cursor(query.cursor, tuple[str, str, str]))
        )
        page, following = await coverage.stored(after, query.limit)
        items = [
            StoredItem(
                market=each.key.market,
                provider=each.key.provider,
                symbol=each.key.symbol,
                timeframes=[
                    StoredTimeframe(timeframe=series.timeframe, first=series.first_ms, last=series.last_ms)
                    for series in each.series
                ],
                known_share=each.known_share,
            )
            for each in page
        ]
        cursor = None
        if following is not None:
            cursor = write_cursor((following.market, following.provider, following.symbol))
        return json_response(StoredList(items=items, next_cursor=cursor))


def _add_export(blueprint: Blueprint, exporter: BarExporter) -> None:
    @blueprint.get("/export")
    @allow(MARKET, cost=HEAVY)
    @tag(["stored data"])
    @document_querystring(ExportQuery)
    @document_response(BarFile)
    @document_response(ProblemDocument, 404)
    @document_response(ProblemDocument, 422)
    @document_response(ProblemDocument, 429)
    async def export() -> Response:
        """Stored final bars as a file, CSV or Parquet; nothing is fetched for it."""
        query = parse_query(ExportQuery)
        key = instrument_key(query)
        made = await exporter.export(
            SeriesKey(key.market, key.provider, key.symbol, query.timeframe),
            query.start,
            query.end,
            query.format,
        )
        # The first part is made before there is an answer, so that what fails at once has a status.
        first = await anext(made.parts)
        response = Response(_Begun(first, made.parts), content_type=made.content_type)
        response.headers["Content-Disposition"] = f'attachment; filename="{made.file_name}"'
        response.timeout = EXPORT_DEADLINE_S
        return response


class _Begun:
    """The parts of a file of which the first has been made; closing it ends the making."""

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes]) -> None:
        self._first: bytes | None = first
        self._rest = rest

    def __aiter__(self) -> _Begun:
        return self

    async def __anext__(self) -> bytes:
        first, self._first = self._first, None
        return await anext(self._rest) if first is None else first

    async def aclose(self) -> None:
        await self._rest.aclose()


def _strip_item(row: StripRow) -> StripItem:
    return StripItem(
        timeframe=row.timeframe.name,
        resolution=None if row.resolution is None else row.resolution.name,
        since=row.since_ms,
        have=row.have.tolist(),
        no_trades=row.no_trades.tolist(),
        missing=row.missing.tolist(),
        outage=row.outage.tolist(),
    )
