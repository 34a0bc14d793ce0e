"""Every call of the API, read from the OpenAPI document, with what is needed to make it.

A parameter or a body that is not known here fails whatever walks the API, so that whoever adds one says what
it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from tests.support.account_client import AUTH, Client
from tests.support.accounts import PASSWORD

BTC: Final = {"market": "crypto", "provider": "simulated", "symbol": "BTC/USDT"}
KEY: Final = {"api_key": "key-of-anna-1234", "secret": "secret-of-anna-5678"}

QUERY: Final[Mapping[str, str]] = {
    **BTC,
    "timeframe": "1h",
    "start": "1699900000000",
    "end": "1699903600000",
    "limit": "5",
    "depth": "5",
    "buckets": "5",
    "search": "btc",
    "adjustment": "raw",
    "format": "csv",
}
"""A right value for each parameter that a call may need."""
WITHOUT: Final = frozenset({"cursor", "user_id"})
"""Parameters of queries that only narrow down, and have no right value to be known beforehand."""

BODIES: Final[Mapping[str, dict[str, Any]]] = {
    "RegisterRequest": {"email": "eve@example.com", "username": "eve", "password": PASSWORD},
    "LoginRequest": {"login": "anna", "password": "a wrong password 1"},
    "RefreshRequest": {},
    "StepUpRequest": {"password": "a wrong password 1"},
    "PasswordRequest": {"current_password": PASSWORD, "new_password": "another horse 7 battery"},
    "TotpRequest": {"totp": "123456"},
    "TokenRequest": {"label": "robot", "scopes": ["read"], "days": 30},
    "InviteRequest": {"role": "viewer"},
    "UserPatch": {"role": "viewer"},
    "ProfilePatch": {"username": "renamed"},
    "Preferences": {"theme": "dark"},
    "CredentialRequest": {
        "market": "crypto",
        "provider": "binance",
        "label": "main",
        "testnet": True,
        "fields": KEY,
    },
    "CredentialPatch": {"label": "renamed"},
    "BackfillRequest": {**BTC, "start": 1_699_900_000_000, "end": 1_699_903_600_000},
}
"""A body for each schema, which changes something where its caller may."""

IDS: Final = ("session_id", "token_id", "invite_id", "credential_id", "user_id", "job_id")
SHARED: Final = frozenset({"job_id"})
"""What belongs to everybody alike."""


@dataclass(frozen=True, slots=True)
class Call:
    """One method of one address."""

    method: str
    path: str
    ids: tuple[str, ...]
    query: tuple[str, ...]
    required: frozenset[str]
    schema: str | None
    open: bool = field(compare=False)
    """Whether the document says that nobody need log in."""

    @property
    def changes(self) -> bool:
        return self.method not in ("GET", "HEAD")

    def address(self, ids: Mapping[str, str], **query: str) -> str:
        """Where it is, with these ids and every parameter that it needs, some of them changed."""
        path = self.path
        for name in self.ids:
            path = path.replace("{" + name + "}", quote(ids[name], safe=""))
        values = {name: QUERY[name] for name in self.query if name in self.required} | query
        text = "&".join(f"{name}={quote(value, safe='')}" for name, value in values.items())
        return f"{path}?{text}" if text else path

    def body(self) -> dict[str, Any] | None:
        """A body that it takes; None where it takes none."""
        return None if self.schema is None else dict(BODIES[self.schema])


def calls(document: Mapping[str, Any]) -> Iterator[Call]:
    """Every call of the document; ``AssertionError`` names what is not known here."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield _call(method.upper(), path, operation)


def _call(method: str, path: str, operation: Mapping[str, Any]) -> Call:
    parameters = operation.get("parameters", [])
    ids = tuple(each["name"] for each in parameters if each["in"] == "path")
    query = [each for each in parameters if each["in"] == "query"]
    names = tuple(each["name"] for each in query)
    references = [
        content["schema"]["$ref"].rpartition("/")[2]
        for content in operation.get("requestBody", {}).get("content", {}).values()
    ]
    unknown = {*ids} - {*IDS} | {*names} - {*QUERY} - WITHOUT | {*references} - {*BODIES}
    assert not unknown, f"{method} {path} has what tests/support/api_map.py does not know: {unknown}"
    return Call(
        method,
        path,
        ids,
        names,
        frozenset(each["name"] for each in query if each.get("required")),
        references[0] if references else None,
        open=not operation.get("security"),
    )


async def ids_of(client: Client) -> dict[str, str]:
    """Something of this person under the name of each id; an administrator's invitation too."""

    async def made(path: str, schema: str) -> str:
        answer = await client.post(path, BODIES[schema])
        assert answer.status in (201, 202), (path, answer.text)
        return str(answer.body["id"])

    me = (await client.get(f"{AUTH}/me")).body
    found = {
        "user_id": me["user"]["id"],
        "session_id": me["session_id"],
        "token_id": await made(f"{AUTH}/tokens", "TokenRequest"),
        "credential_id": await made("/api/v1/credentials", "CredentialRequest"),
        "job_id": await made("/api/v1/market/backfills", "BackfillRequest"),
    }
    if me["user"]["role"] == "admin":
        found["invite_id"] = await made(f"{AUTH}/invites", "InviteRequest")
    return found
