"""``/api/v1/auth``: one's own account, its sessions, second factor and API tokens."""

from __future__ import annotations

from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag

from tradewright.services.auth_service import STEP_UP_MS, AuthService
from tradewright.web.account_models import (
    EnrolAnswer,
    Me,
    Nothing,
    PasswordRequest,
    RecoveryCodes,
    SessionItem,
    SessionList,
    TokenItem,
    TokenList,
    TokenRequest,
    TotpRequest,
    UserItem,
)
from tradewright.web.answers import json_response, no_content
from tradewright.web.auth_cookies import clear_refresh_cookie
from tradewright.web.cursors import page_of_all
from tradewright.web.decoding import parse_body, parse_query
from tradewright.web.middleware.authentication import HEAVY, PERSON, PROVEN_PERSON, READS, allow, caller
from tradewright.web.models import NoQuery, PageQuery, ProblemDocument
from tradewright.web.peers import visit


def add_own_account(blueprint: Blueprint, service: AuthService) -> None:
    """Add the routes to the blueprint."""
    _add_account(blueprint, service)
    _add_sessions(blueprint, service)
    _add_second_factor(blueprint, service)
    _add_tokens(blueprint, service)


def _add_account(blueprint: Blueprint, service: AuthService) -> None:
    @blueprint.get("/me")
    @allow(READS)
    @tag(["accounts"])
    @document_response(Me)
    @document_response(ProblemDocument, 401)
    async def me() -> Response:
        """Who you are, and what this token may do."""
        parse_query(NoQuery)
        who = caller()
        user, codes_left = await service.me(who)
        until_ms = who.verified_ms + STEP_UP_MS if who.verified_ms is not None else None
        return json_response(
            Me(
                user=UserItem.of(user),
                scopes=who.scopes,
                session_id=who.session_id,
                verified_until=until_ms if service.has_proved_lately(who) else None,
                recovery_codes_left=codes_left,
            )
        )

    @blueprint.delete("/me")
    @allow(PROVEN_PERSON)
    @tag(["accounts"])
    @document_response(Nothing, 204)
    @document_response(ProblemDocument, 403)
    @document_response(ProblemDocument, 409)
    async def delete_me() -> Response:
        """Remove your account with everything that is kept of you, but the audit log."""
        parse_query(NoQuery)
        await service.delete_me(caller(), visit())
        response = no_content()
        clear_refresh_cookie(response)
        return response

    @blueprint.post("/password")
    @allow(PROVEN_PERSON, cost=HEAVY)
    @tag(["accounts"])
    @document_request(PasswordRequest)
    @document_response(Nothing, 204)
    @document_response(ProblemDocument, 401)
    @document_response(ProblemDocument, 403)
    @document_response(ProblemDocument, 422)
    async def change_password() -> Response:
        """Change your password, which ends your other sessions."""
        parse_query(NoQuery)
        body = await parse_body(PasswordRequest)
        await service.change_password(caller(), body.current_password, body.new_password, visit())
        return no_content()


def _add_sessions(blueprint: Blueprint, service: AuthService) -> None:
    @blueprint.get("/sessions")
    @allow(PERSON)
    @tag(["accounts"])
    @document_querystring(PageQuery)
    @document_response(SessionList)
    async def sessions() -> Response:
        """Your sessions, the last used first."""
        query, who = parse_query(PageQuery), caller()
        found = await service.sessions(who)
        page, cursor = page_of_all(found, query, lambda each: (-each.last_used_ms, each.id))
        items = [SessionItem.of(each, who.session_id) for each in page]
        return json_response(SessionList(items=items, next_cursor=cursor))

    @blueprint.delete("/sessions/<session_id>")
    @allow(PERSON)
    @tag(["accounts"])
    @document_response(Nothing, 204)
    @document_response(ProblemDocument, 404)
    async def end_session(session_id: str) -> Response:
        """End one of your sessions."""
        parse_query(NoQuery)
        await service.end_session(caller(), session_id, visit())
        return no_content()


def _add_second_factor(blueprint: Blueprint, service: AuthService) -> None:
    @blueprint.post("/totp/enroll")
    @allow(PROVEN_PERSON)
    @tag(["accounts"])
    @document_response(EnrolAnswer)
    @document_response(ProblemDocument, 403)
    @document_response(ProblemDocument, 409)
    async def enrol() -> Response:
        """Begin to set up a second factor; it counts once a code was confirmed."""
        parse_query(NoQuery)
        found = await service.enrol_totp(caller(), visit())
        return json_response(EnrolAnswer(secret=found.secret, uri=found.uri, image=found.image))

    @blueprint.post("/totp/confirm")
    @allow(PROVEN_PERSON)
    @tag(["accounts"])
    @document_request(TotpRequest)
    @document_response(RecoveryCodes)
    @document_response(ProblemDocument, 409)
    @document_response(ProblemDocument, 422)
    async def confirm() -> Response:
        """Confirm it by a code; the recovery codes are told this once."""
        parse_query(NoQuery)
        body = await parse_body(TotpRequest)
        codes = await service.confirm_totp(caller(), body.totp, visit())
        return json_response(RecoveryCodes(recovery_codes=codes))

    @blueprint.post("/totp/disable")
    @allow(PROVEN_PERSON)
    @tag(["accounts"])
    @document_response(Nothing, 204)
    @document_response(ProblemDocument, 403)
    async def disable() -> Response:
        """Remove the second factor."""
        parse_query(NoQuery)
        await service.disable_totp(caller(), visit())
        return no_content()


def _add_tokens(blueprint: Blueprint, service: AuthService) -> None:
    @blueprint.get("/tokens")
    @allow(PERSON)
    @tag(["accounts"])
    @document_querystring(PageQuery)
    @document_response(TokenList)
    async def tokens() -> Response:
        """Your API tokens, newest first."""
        query = parse_query(PageQuery)
        found = await service.tokens(caller())
        page, cursor = page_of_all(found, query, lambda each: (-each.created_ms, each.id))
        return json_response(TokenList(items=[TokenItem.of(each) for each in page], next_cursor=cursor))

    @blueprint.post("/tokens")
    @allow(PROVEN_PERSON)
    @tag(["accounts"])
    @document_request(TokenRequest)
    @document_response(TokenItem, 201)
    @document_response(ProblemDocument, 403)
    @document_response(ProblemDocument, 422)
    async def make_token() -> Response:
        """A new API token; it is told this once."""
        parse_query(NoQuery)
        body = await parse_body(TokenRequest)
        token, text = await service.make_token(caller(), body.label, body.scopes, body.days, visit())
        return json_response(TokenItem.of(token, text), 201)

    @blueprint.delete("/tokens/<token_id>")
    @allow(PROVEN_PERSON)
    @tag(["accounts"])
    @document_response(Nothing, 204)
    @document_response(ProblemDocument, 404)
    async def delete_token(token_id: str) -> Response:
        """Delete one of your API tokens; it ends at once."""
        parse_query(NoQuery)
        await service.delete_token(caller(), token_id, visit())
        return no_content()
