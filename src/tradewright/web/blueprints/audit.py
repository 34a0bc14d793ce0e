"""``/api/v1/audit``: what was done, for administrators."""

from __future__ import annotations

from quart import Blueprint, Response
from quart_schema import document_querystring, document_response, tag

from tradewright.services.auth_service import AuthService
from tradewright.web.account_models import AuditList, AuditQuery
from tradewright.web.answers import json_response
from tradewright.web.cursors import read_cursor, write_cursor
from tradewright.web.decoding import parse_query
from tradewright.web.middleware.authentication import ADMIN, allow
from tradewright.web.models import ProblemDocument


def build(service: AuthService) -> Blueprint:
    """The route, over this service."""
    blueprint = Blueprint("audit", __name__, url_prefix="/api/v1/audit")

    @blueprint.get("")
    @allow(ADMIN)
    @tag(["administration"])
    @document_querystring(AuditQuery)
    @document_response(AuditList)
    @document_response(ProblemDocument, 403)
    async def events() -> Response:
        """The audit log, newest first."""
        query = parse_query(AuditQuery)
        before = None if query.cursor is None else read_cursor(query.cursor, int)
        found = await service.audit.newest(limit=query.limit + 1, before=before, user_id=query.user_id)
        page = found[: query.limit]
        cursor = write_cursor(page[-1].position) if len(found) > len(page) else None
        return json_response(AuditList(items=list(page), next_cursor=cursor))

    return blueprint
