"""``/api/v1/users``: the users, for administrators."""

from __future__ import annotations

from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag

from tradewright.domain.errors import InvalidInput
from tradewright.services.auth_service import AuthService
from tradewright.web.account_models import UserItem, UserList, UserPatch
from tradewright.web.answers import json_response
from tradewright.web.cursors import read_cursor, write_cursor
from tradewright.web.decoding import parse_body, parse_query
from tradewright.web.middleware.authentication import ADMIN, PROVEN_ADMIN, allow, caller
from tradewright.web.models import NoQuery, PageQuery, ProblemDocument
from tradewright.web.peers import visit


def build(service: AuthService) -> Blueprint:
    """The routes, over this service."""
    blueprint = Blueprint("users", __name__, url_prefix="/api/v1/users")
    manage = service.administration

    @blueprint.get("")
    @allow(ADMIN)
    @tag(["administration"])
    @document_querystring(PageQuery)
    @document_response(UserList)
    @document_response(ProblemDocument, 403)
    async def users() -> Response:
        """The users."""
        query = parse_query(PageQuery)
        after = None if query.cursor is None else read_cursor(query.cursor, str)
        found = await manage.users(after=after, limit=query.limit + 1)
        page = found[: query.limit]
        cursor = write_cursor(page[-1].id) if len(found) > len(page) else None
        return json_response(UserList(items=[UserItem.of(each) for each in page], next_cursor=cursor))

    @blueprint.get("/<user_id>")
    @allow(ADMIN)
    @tag(["administration"])
    @document_response(UserItem)
    @document_response(ProblemDocument, 404)
    async def user(user_id: str) -> Response:
        """One user."""
        parse_query(NoQuery)
        return json_response(UserItem.of(await manage.user(user_id)))

    @blueprint.patch("/<user_id>")
    @allow(PROVEN_ADMIN)
    @tag(["administration"])
    @document_request(UserPatch)
    @document_response(UserItem)
    @document_response(ProblemDocument, 404)
    @document_response(ProblemDocument, 409)
    async def change(user_id: str) -> Response:
        """Give a user another role, or shut them out, which ends their sessions."""
        parse_query(NoQuery)
        body = await parse_body(UserPatch)
        if body.role is None and body.disabled is None:
            raise InvalidInput("Nothing is to be changed.", {"role": "or disabled must be given"})
        found = await manage.user(user_id)
        if body.role is not None:
            found = await manage.set_role(user_id, body.role, caller().user_id, visit())
        if body.disabled is not None:
            found = await manage.set_disabled(user_id, body.disabled, caller().user_id, visit())
        return json_response(UserItem.of(found))

    return blueprint
