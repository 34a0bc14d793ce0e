"""Who a request speaks for, and whether they may call the route.

Every route of the API says by ``allow`` whom it is for; one that does not say is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeVar, cast

from quart import Quart, g, request
from quart_schema import security_scheme

from tradewright.domain.errors import LoginRequired, NotAllowed, StorageUnavailable
from tradewright.domain.people import Caller, InvalidToken, MissingScope, Scope, StepUpRequired
from tradewright.services.auth_service import AuthService
from tradewright.web.peers import from_this_machine, visit

SCHEME: Final = "bearer"
_ATTRIBUTE: Final = "_tradewright_policy"
_COST: Final = "_tradewright_cost"
_API: Final = "/api/"
_DESCRIPTION: Final = "openapi"
"""The endpoint of the API's description, which is for who is logged in, or sits at the server itself."""
_OUTSIDE: Final = frozenset({"frontend.api_docs"})
"""Endpoints under ``/api/`` that are no part of the API: the page that shows its description."""
_AUTHORIZATION_BYTES_MAX: Final = 8_192

ViewT = TypeVar("ViewT", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Policy:
    """Whom a route is for.

    ``everybody``; ``market``: everybody, unless the server wants a login; ``newcomer``: as ``scope``, but
    also whoever sits at the server before there are accounts; ``scope``: people and programs who may do
    that; ``person``: people who are logged in, not programs; ``admin``: administrators among them.
    ``step_up``: who has proved who they are within the last minutes.
    """

    kind: Literal["everybody", "market", "newcomer", "scope", "person", "admin"]
    scope: Scope = "read"
    step_up: bool = False


EVERYBODY: Final = Policy("everybody")
MARKET: Final = Policy("market")
FETCHES: Final = Policy("newcomer", "trade")
READS: Final = Policy("scope", "read")
TRADES: Final = Policy("scope", "trade")
PERSON: Final = Policy("person")
PROVEN_PERSON: Final = Policy("person", step_up=True)
ADMIN: Final = Policy("admin")
PROVEN_ADMIN: Final = Policy("admin", step_up=True)


ASKS_VENUE: Final = 3
"""What a call costs that may ask a provider, in plain calls."""
HEAVY: Final = 30
"""What a call costs that reads or fetches much, or has a password looked at."""


def allow(policy: Policy, cost: int = 1) -> Callable[[ViewT], ViewT]:
    """Say whom a route is for, and what a call counts against the limits of who makes it."""

    def mark(view: ViewT) -> ViewT:
        setattr(view, _ATTRIBUTE, policy)
        setattr(view, _COST, cost)
        return view if policy.kind in ("everybody", "market") else security_scheme([{SCHEME: []}])(view)

    return mark


def policy_of(view: object) -> Policy | None:
    """What the route said; None where it said nothing."""
    return cast("Policy | None", getattr(view, _ATTRIBUTE, None))


def cost_of(view: object) -> int:
    """What a call of the route costs, in plain calls."""
    return cast(int, getattr(view, _COST, 1))


def caller() -> Caller:
    """Who the request speaks for; only on routes whose policy wants to know."""
    return cast(Caller, g.caller)


def presented_token() -> str | None:
    """The token in ``Authorization: Bearer``; ``InvalidToken`` where the header is of another form."""
    headers = request.headers.getlist("Authorization")
    if not headers:
        return None
    scheme, _, token = headers[0].partition(" ")
    if len(headers) > 1 or scheme.lower() != "bearer" or len(headers[0]) > _AUTHORIZATION_BYTES_MAX:
        raise InvalidToken("The token must be given once, as `Authorization: Bearer …`.")
    return token.strip()


def install_authentication(app: Quart, auth: AuthService, *, require_login: bool) -> None:
    """Look at every request of the API, before its handler, whether its caller may make it."""

    @app.before_request
    async def check_policy() -> None:
        if request.url_rule is None or request.method == "OPTIONS" or request.endpoint in _OUTSIDE:
            return
        if request.endpoint == _DESCRIPTION:
            if not from_this_machine():
                await _check(READS, auth, require_login=require_login)
            return
        policy = policy_of(app.view_functions.get(request.endpoint or ""))
        if policy is not None:
            await _check(policy, auth, require_login=require_login)
        elif request.path.startswith(_API):
            raise NotAllowed("Nobody may call this: it does not say whom it is for.")


async def is_insider(auth: AuthService) -> bool:
    """Whether the request comes from this machine, or from somebody who is logged in; False where that can't
    be told now."""
    if from_this_machine():
        return True
    try:
        token = presented_token()
        if token is None:
            return False
        await auth.authenticate(token)
    except (InvalidToken, StorageUnavailable):
        return False
    return True


async def _check(policy: Policy, auth: AuthService, *, require_login: bool) -> None:
    if policy.kind == "everybody" or (policy.kind == "market" and not require_login):
        return
    token = presented_token()
    if token is None:
        if policy.kind == "newcomer" and await _is_newcomer(auth):
            return
        raise LoginRequired("Log in first.")
    g.caller = found = await auth.authenticate(token)
    if policy.kind == "admin" and not found.is_admin:
        raise NotAllowed("This is for administrators.")
    if policy.kind == "person" and found.session_id is None:
        raise MissingScope("This is for people who are logged in, not for API tokens.")
    if policy.kind in ("scope", "newcomer", "market") and policy.scope not in found.scopes:
        raise MissingScope(f"This needs the scope {policy.scope}.")
    if policy.step_up and not auth.has_proved_lately(found):
        raise StepUpRequired("Prove again who you are: POST /api/v1/auth/step_up.")


async def _is_newcomer(auth: AuthService) -> bool:
    """Whether somebody sits at the server itself, before it has any account."""
    return auth.registration.may_come_first(visit()) and not await auth.registration.has_users()
