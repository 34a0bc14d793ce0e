"""``/api/v1/user``: one's own profile and preferences."""

from __future__ import annotations

from collections.abc import Callable

from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag

from tradewright.domain.people import Caller
from tradewright.services.user.preferences import Preferences
from tradewright.services.user_service import UserService
from tradewright.web.account_models import UserItem
from tradewright.web.answers import json_response
from tradewright.web.decoding import parse_body, parse_query
from tradewright.web.middleware.authentication import HEAVY, PERSON, READS, allow, caller
from tradewright.web.models import NoQuery, ProblemDocument
from tradewright.web.peers import visit
from tradewright.web.user_models import ProfilePatch


def build(service: UserService, has_proved_lately: Callable[[Caller], bool]) -> Blueprint:
    """The routes, over this service; the other argument tells who has proved lately who they are."""
    blueprint = Blueprint("user", __name__, url_prefix="/api/v1/user")

    @blueprint.get("/profile")
    @allow(READS)
    @tag(["user"])
    @document_response(UserItem)
    @document_response(ProblemDocument, 401)
    async def profile() -> Response:
        """Who you are."""
        parse_query(NoQuery)
        return json_response(UserItem.of(await service.profile(caller().user_id)))

    @blueprint.patch("/profile")
    @allow(PERSON, cost=HEAVY)
    @tag(["user"])
    @document_request(ProfilePatch)
    @document_response(UserItem)
    @document_response(ProblemDocument, 403)
    @document_response(ProblemDocument, 409)
    @document_response(ProblemDocument, 422)
    @document_response(ProblemDocument, 429)
    async def change_profile() -> Response:
        """Change your user name, or your e-mail address, which wants a proof of who you are."""
        parse_query(NoQuery)
        body, who = await parse_body(ProfilePatch), caller()
        changed = await service.change_profile(
            who.user_id,
            username=body.username,
            email=body.email,
            proved=has_proved_lately(who),
            visit=visit(),
        )
        return json_response(UserItem.of(changed))

    @blueprint.get("/preferences")
    @allow(READS)
    @tag(["user"])
    @document_response(Preferences)
    @document_response(ProblemDocument, 401)
    async def preferences() -> Response:
        """What you have chosen; what is left out you have not."""
        parse_query(NoQuery)
        return json_response(await service.preferences(caller().user_id))

    @blueprint.patch("/preferences")
    @allow(PERSON)
    @tag(["user"])
    @document_request(Preferences)
    @document_response(Preferences)
    @document_response(ProblemDocument, 422)
    async def change_preferences() -> Response:
        """Change what is given, take back what is null, and leave the rest."""
        parse_query(NoQuery)
        body = await parse_body(Preferences)
        return json_response(await service.change_preferences(caller().user_id, body))

    return blueprint
