"""``/api/v1/auth``: coming in, staying in, going out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from quart import Blueprint, Response, after_this_request, request
from quart.typing import ResponseTypes
from quart_schema import document_request, document_response, tag

from tradewright.domain.people import Caller, InvalidToken
from tradewright.services.auth.registration import Applicant
from tradewright.services.auth.sessions import Granted
from tradewright.services.auth_service import AuthService
from tradewright.web.account_models import (
    LoginRequest,
    Nothing,
    RefreshRequest,
    RegisterRequest,
    StepUpAnswer,
    StepUpRequest,
    TokenAnswer,
    UserAnswer,
    UserItem,
)
from tradewright.web.answers import json_response, no_content
from tradewright.web.auth_cookies import (
    clear_refresh_cookie,
    refresh_cookie,
    set_device_cookie,
    set_refresh_cookie,
)
from tradewright.web.blueprints.auth_invites import add_invites
from tradewright.web.blueprints.auth_own import add_own_account
from tradewright.web.blueprints.auth_registration import add_registration_state
from tradewright.web.decoding import parse_body, parse_query
from tradewright.web.middleware.authentication import (
    EVERYBODY,
    HEAVY,
    PERSON,
    allow,
    caller,
    presented_token,
)
from tradewright.web.models import NoQuery, ProblemDocument
from tradewright.web.peers import visit


def build(service: AuthService) -> Blueprint:
    """The routes, over this service."""
    blueprint = Blueprint("auth", __name__, url_prefix="/api/v1/auth")
    _add_coming_in(blueprint, service)
    _add_staying_in(blueprint, service)
    _add_going_out(blueprint, service)
    add_own_account(blueprint, service)
    add_invites(blueprint, service)
    add_registration_state(blueprint, service)
    return blueprint


def _add_coming_in(blueprint: Blueprint, service: AuthService) -> None:
    @blueprint.post("/register")
    @allow(EVERYBODY, cost=HEAVY)
    @tag(["accounts"])
    @document_request(RegisterRequest)
    @document_response(UserAnswer, 201)
    @document_response(ProblemDocument, 403)
    @document_response(ProblemDocument, 409)
    @document_response(ProblemDocument, 422)
    async def register() -> Response:
        """Become a user, where the server lets people in; the first one is administrator."""
        parse_query(NoQuery)
        body = await parse_body(RegisterRequest)
        applicant = Applicant(
            email=body.email,
            username=body.username,
            password=body.password,
            setup_token=body.setup_token,
            invite=body.invite,
        )
        user = await service.register(applicant, visit())
        return json_response(UserAnswer(user=UserItem.of(user)), 201)

    @blueprint.post("/login")
    @allow(EVERYBODY, cost=HEAVY)
    @tag(["accounts"])
    @document_request(LoginRequest)
    @document_response(TokenAnswer)
    @document_response(ProblemDocument, 401)
    @document_response(ProblemDocument, 429)
    async def login() -> Response:
        """Log in. The refresh token comes as a cookie, or in the body for ``"client":"api"``."""
        parse_query(NoQuery)
        body = await parse_body(LoginRequest)
        found = await service.login(body.login, body.password, body.totp, body.client, visit())
        response = _granted(found.granted)
        if body.client == "browser":
            set_device_cookie(response, found.device)
        return response


def _add_staying_in(blueprint: Blueprint, service: AuthService) -> None:
    @blueprint.post("/refresh")
    @allow(EVERYBODY)
    @tag(["accounts"])
    @document_request(RefreshRequest)
    @document_response(TokenAnswer)
    @document_response(Nothing, 204)
    @document_response(ProblemDocument, 401)
    async def refresh() -> Response:
        """The next access and refresh token; 204 where there is neither cookie nor token."""
        parse_query(NoQuery)
        given = await _given_token()
        token = given or refresh_cookie()
        if token is None:
            return no_content()
        if given is None:
            await _require_json()
            after_this_request(_forget_cookie_where_refused)
        return _granted(await service.refresh(token, visit()))

    @blueprint.post("/step_up")
    @allow(PERSON, cost=HEAVY)
    @tag(["accounts"])
    @document_request(StepUpRequest)
    @document_response(StepUpAnswer)
    @document_response(ProblemDocument, 401)
    @document_response(ProblemDocument, 429)
    async def step_up() -> Response:
        """Prove anew who you are, for what needs it; believed for five minutes."""
        parse_query(NoQuery)
        body = await parse_body(StepUpRequest)
        until_ms = await service.step_up(caller(), body.password, body.totp, visit())
        return json_response(StepUpAnswer(verified_until=until_ms))


def _add_going_out(blueprint: Blueprint, service: AuthService) -> None:
    @blueprint.post("/logout")
    @allow(EVERYBODY)
    @tag(["accounts"])
    @document_request(RefreshRequest)
    @document_response(Nothing, 204)
    async def logout() -> Response:
        """End the session of the access token, or of the refresh token."""
        parse_query(NoQuery)
        given = await _given_token()
        speaker = await _speaker(service.authenticate)
        token = given
        if speaker is None and given is None and (token := refresh_cookie()) is not None:
            await _require_json()
        await service.logout(visit(), caller=speaker, refresh_token=token)
        response = no_content()
        clear_refresh_cookie(response)
        return response

    @blueprint.post("/logout_all")
    @allow(PERSON)
    @tag(["accounts"])
    @document_response(Nothing, 204)
    @document_response(ProblemDocument, 401)
    async def logout_all() -> Response:
        """End every session of yours."""
        parse_query(NoQuery)
        await service.logout_all(caller(), visit())
        response = no_content()
        clear_refresh_cookie(response)
        return response


def _granted(granted: Granted) -> Response:
    answer = TokenAnswer(
        access_token=granted.access_token,
        expires_in=granted.expires_in_s,
        user=UserItem.of(granted.user),
    )
    if granted.session.client == "api":
        return json_response(msgspec.structs.replace(answer, refresh_token=granted.refresh_token))
    response = json_response(answer)
    set_refresh_cookie(response, granted.refresh_token)
    return response


async def _given_token() -> str | None:
    """The refresh token in the body; None where there is no body."""
    if not await request.get_data():
        return None
    return (await parse_body(RefreshRequest)).refresh_token


async def _require_json() -> None:
    """What rests on a cookie must not be a form of another page."""
    await parse_body(RefreshRequest)


async def _speaker(authenticate: Callable[[str], Awaitable[Caller]]) -> Caller | None:
    """Who the access token speaks for; None where there is none that holds."""
    try:
        token = presented_token()
        return None if token is None else await authenticate(token)
    except InvalidToken:
        return None


async def _forget_cookie_where_refused(response: ResponseTypes) -> ResponseTypes:
    if response.status_code == 401:
        clear_refresh_cookie(response)
    return response
