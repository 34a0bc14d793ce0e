"""``/api/v1/auth/invites``: whom administrators invite."""

from __future__ import annotations

from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag

from tradewright.services.auth_service import AuthService
from tradewright.web.account_models import InviteItem, InviteList, InviteRequest, Nothing
from tradewright.web.answers import json_response, no_content
from tradewright.web.cursors import after_of, page_of
from tradewright.web.decoding import parse_body, parse_query
from tradewright.web.middleware.authentication import ADMIN, PROVEN_ADMIN, allow, caller
from tradewright.web.models import NoQuery, PageQuery, ProblemDocument
from tradewright.web.peers import visit


def add_invites(blueprint: Blueprint, service: AuthService) -> None:
    """Add the routes to the blueprint."""

    @blueprint.get("/invites")
    @allow(ADMIN)
    @tag(["accounts"])
    @document_querystring(PageQuery)
    @document_response(InviteList)
    @document_response(ProblemDocument, 403)
    async def invites() -> Response:
        """The invitations, newest first."""
        query = parse_query(PageQuery)
        after = after_of(query)
        behind = None if after is None else (-after[0], after[1])
        found = await service.registration.invites(limit=query.limit + 1, behind=behind)
        page, cursor = page_of(found, query, lambda each: (-each.created_ms, each.id))
        return json_response(InviteList(items=[InviteItem.of(each) for each in page], next_cursor=cursor))

    @blueprint.post("/invites")
    @allow(PROVEN_ADMIN)
    @tag(["accounts"])
    @document_request(InviteRequest)
    @document_response(InviteItem, 201)
    @document_response(ProblemDocument, 403)
    async def invite() -> Response:
        """Invite somebody; the code is told this once."""
        parse_query(NoQuery)
        body = await parse_body(InviteRequest)
        made, code = await service.registration.invite(body.role, caller().user_id, visit())
        return json_response(InviteItem.of(made, code), 201)

    @blueprint.delete("/invites/<invite_id>")
    @allow(PROVEN_ADMIN)
    @tag(["accounts"])
    @document_response(Nothing, 204)
    @document_response(ProblemDocument, 404)
    async def delete_invite(invite_id: str) -> Response:
        """Take an invitation back."""
        parse_query(NoQuery)
        await service.registration.delete_invite(invite_id, caller().user_id, visit())
        return no_content()
