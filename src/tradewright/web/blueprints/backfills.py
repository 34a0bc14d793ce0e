"""``/api/v1/market/backfills``: history that is fetched on request."""

from __future__ import annotations

from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag

from tradewright.domain.backfills import BackfillJob, JobPosition
from tradewright.services.backfill_manager import BackfillManager
from tradewright.web.answers import instrument_key, json_response
from tradewright.web.cursors import read_cursor, write_cursor
from tradewright.web.decoding import parse_body, parse_query
from tradewright.web.middleware.authentication import FETCHES, HEAVY, MARKET, allow
from tradewright.web.models import BackfillList, BackfillRequest, NoQuery, PageQuery, ProblemDocument


def build(backfills: BackfillManager) -> Blueprint:
    """The routes, over this service."""
    blueprint = Blueprint("backfills", __name__, url_prefix="/api/v1/market/backfills")

    @blueprint.post("")
    @allow(FETCHES, cost=HEAVY)
    @tag(["market"])
    @document_request(BackfillRequest)
    @document_response(BackfillJob, 202)
    @document_response(ProblemDocument, 404)
    @document_response(ProblemDocument, 409)
    @document_response(ProblemDocument, 422)
    async def submit() -> Response:
        """Ask for the history of an instrument; what is there already is not fetched again."""
        parse_query(NoQuery)
        body = await parse_body(BackfillRequest)
        job = await backfills.submit(
            instrument_key(body), body.start, body.end, newest_first=body.newest_first
        )
        return json_response(job, 202)

    @blueprint.get("")
    @allow(MARKET)
    @tag(["market"])
    @document_querystring(PageQuery)
    @document_response(BackfillList)
    async def list_backfills() -> Response:
        """The backfills, newest first."""
        query = parse_query(PageQuery)
        before = None if query.cursor is None else read_cursor(query.cursor, JobPosition)
        found = await backfills.newest(query.limit + 1, before)
        page = list(found[: query.limit])
        cursor = write_cursor(page[-1].position) if len(found) > len(page) else None
        return json_response(BackfillList(items=page, next_cursor=cursor))

    @blueprint.get("/<job_id>")
    @allow(MARKET)
    @tag(["market"])
    @document_response(BackfillJob)
    @document_response(ProblemDocument, 404)
    async def get_backfill(job_id: str) -> Response:
        """One backfill."""
        parse_query(NoQuery)
        return json_response(await backfills.get(job_id))

    @blueprint.delete("/<job_id>")
    @allow(FETCHES)
    @tag(["market"])
    @document_response(BackfillJob)
    @document_response(ProblemDocument, 404)
    async def cancel_backfill(job_id: str) -> Response:
        """Cancel it, wherever it runs; one that has ended stays as it is. What it stored is kept."""
        parse_query(NoQuery)
        return json_response(await backfills.cancel(job_id))

    return blueprint
