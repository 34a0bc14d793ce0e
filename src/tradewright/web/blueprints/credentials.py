"""``/api/v1/credentials``: one's own keys to providers. No answer holds a secret."""

from __future__ import annotations

from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag

from tradewright.domain.errors import InvalidInput
from tradewright.services.user.credentials import CredentialChanges, NewCredential
from tradewright.services.user_service import UserService
from tradewright.web.account_models import Nothing
from tradewright.web.answers import json_response, no_content
from tradewright.web.cursors import page_of_all
from tradewright.web.decoding import parse_body, parse_query
from tradewright.web.middleware.authentication import HEAVY, PERSON, PROVEN_PERSON, allow, caller
from tradewright.web.models import NoQuery, PageQuery, ProblemDocument
from tradewright.web.peers import visit
from tradewright.web.user_models import (
    CheckAnswer,
    CredentialItem,
    CredentialList,
    CredentialPatch,
    CredentialRequest,
)


def build(service: UserService) -> Blueprint:
    """The routes, over this service."""
    blueprint = Blueprint("credentials", __name__, url_prefix="/api/v1/credentials")
    _add_reading(blueprint, service)
    _add_changing(blueprint, service)
    return blueprint


def _add_reading(blueprint: Blueprint, service: UserService) -> None:
    desk = service.credentials

    @blueprint.get("")
    @allow(PERSON)
    @tag(["credentials"])
    @document_querystring(PageQuery)
    @document_response(CredentialList)
    @document_response(ProblemDocument, 401)
    async def credentials() -> Response:
        """Your keys, oldest first."""
        query = parse_query(PageQuery)
        found = await desk.of_user(caller().user_id)
        page, cursor = page_of_all(found, query, lambda each: (each.created_ms, each.id))
        items = [CredentialItem.of(each) for each in page]
        return json_response(CredentialList(items=items, next_cursor=cursor))

    @blueprint.get("/<credential_id>")
    @allow(PERSON)
    @tag(["credentials"])
    @document_response(CredentialItem)
    @document_response(ProblemDocument, 404)
    async def credential(credential_id: str) -> Response:
        """One of your keys."""
        parse_query(NoQuery)
        return json_response(CredentialItem.of(await desk.get(caller().user_id, credential_id)))

    @blueprint.post("/<credential_id>/test")
    @allow(PERSON, cost=HEAVY)
    @tag(["credentials"])
    @document_response(CheckAnswer)
    @document_response(ProblemDocument, 404)
    @document_response(ProblemDocument, 409)
    @document_response(ProblemDocument, 429)
    @document_response(ProblemDocument, 502)
    async def test(credential_id: str) -> Response:
        """Ask the venue with one of your keys what it may do. 502 `provider_authentication_failed`: the venue
        does not take it."""
        parse_query(NoQuery)
        return json_response(CheckAnswer.of(await desk.test(caller().user_id, credential_id, visit())))


def _add_changing(blueprint: Blueprint, service: UserService) -> None:
    desk = service.credentials

    @blueprint.post("")
    @allow(PROVEN_PERSON)
    @tag(["credentials"])
    @document_request(CredentialRequest)
    @document_response(CredentialItem, 201)
    @document_response(ProblemDocument, 403)
    @document_response(ProblemDocument, 404)
    @document_response(ProblemDocument, 422)
    async def add() -> Response:
        """Keep a key. The venue is not asked; its fields are never told again."""
        parse_query(NoQuery)
        body = await parse_body(CredentialRequest)
        given = NewCredential(
            market=body.market,
            provider=body.provider,
            label=body.label,
            testnet=body.testnet,
            fields=body.fields,
        )
        return json_response(CredentialItem.of(await desk.add(caller().user_id, given, visit())), 201)

    @blueprint.patch("/<credential_id>")
    @allow(PROVEN_PERSON)
    @tag(["credentials"])
    @document_request(CredentialPatch)
    @document_response(CredentialItem)
    @document_response(ProblemDocument, 403)
    @document_response(ProblemDocument, 404)
    @document_response(ProblemDocument, 409)
    @document_response(ProblemDocument, 422)
    async def change(credential_id: str) -> Response:
        """Change a key's label, put another key in its place, or accept that it can withdraw."""
        parse_query(NoQuery)
        body = await parse_body(CredentialPatch)
        if body == CredentialPatch():
            raise InvalidInput("Nothing is to be changed.", {"label": "or fields or withdrawal_accepted"})
        changes = CredentialChanges(
            label=body.label, fields=body.fields, withdrawal_accepted=body.withdrawal_accepted
        )
        return json_response(
            CredentialItem.of(await desk.change(caller().user_id, credential_id, changes, visit()))
        )

    @blueprint.delete("/<credential_id>")
    @allow(PROVEN_PERSON)
    @tag(["credentials"])
    @document_response(Nothing, 204)
    @document_response(ProblemDocument, 403)
    @document_response(ProblemDocument, 404)
    async def delete(credential_id: str) -> Response:
        """Delete a key; whatever uses it ends at once."""
        parse_query(NoQuery)
        await desk.delete(caller().user_id, credential_id, visit())
        return no_content()
