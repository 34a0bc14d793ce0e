"""``/api/v1/auth/registration``: whether one can register here, and with what."""

from __future__ import annotations

from quart import Blueprint, Response
from quart_schema import document_response, tag

from tradewright.services.auth_service import AuthService
from tradewright.web.account_models import RegistrationState
from tradewright.web.answers import json_response
from tradewright.web.decoding import parse_query
from tradewright.web.middleware.authentication import EVERYBODY, allow
from tradewright.web.models import NoQuery
from tradewright.web.peers import visit


def add_registration_state(blueprint: Blueprint, service: AuthService) -> None:
    """Add the route to the blueprint."""
    desk = service.registration

    @blueprint.get("/registration")
    @allow(EVERYBODY)
    @tag(["accounts"])
    @document_response(RegistrationState)
    async def registration() -> Response:
        """Who may register here, as far as whoever asks is concerned."""
        parse_query(NoQuery)
        first = not await desk.has_users()
        needs_token = first and not desk.may_come_first(visit())
        return json_response(RegistrationState(mode=desk.mode, first=first, setup_token=needs_token))
