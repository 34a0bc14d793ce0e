"""A browser, or a program, that talks to an application inside the test's process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from quart import Quart, Response
from quart.typing import TestClientProtocol

from tests.support.accounts import PASSWORD
from tests.support.applications import Answer, RunningApp
from tradewright.domain.people import Role
from tradewright.services.auth.registration import Applicant
from tradewright.services.auth.visits import Visit

AUTH = "/api/v1/auth"
OWN = {"X-Requested-With": "tradewright"}


@dataclass
class Client:
    """Keeps cookies as a browser does, and its access token. ``address`` is where it connects from."""

    app: Quart
    address: str = "127.0.0.1"
    token: str | None = None
    http: TestClientProtocol = field(init=False)

    def __post_init__(self) -> None:
        self.http = self.app.test_client()

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """Send a request: a body as JSON, or bytes as they are. Underscores in headers' names are dashes."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token is not None and "Authorization" not in sent:
            sent["Authorization"] = f"Bearer {self.token}"
        data = body if isinstance(body, bytes) else None
        if body is not None and data is None:
            data = msgspec.json.encode(body)
            sent.setdefault("Content-Type", "application/json")
        scope = {"client": (self.address, 40_000)}
        made: Any = self.http.open  # its type leaves out what a call need not give
        response: Response = await made(path, method=method, data=data, headers=sent, scope_base=scope)
        text = await response.get_data(as_text=True)
        decoded: Any = None
        if "json" in response.headers.get("Content-Type", ""):
            decoded = msgspec.json.decode(text)
        return Answer(response.status_code, response.headers, decoded, text)

    @property
    def cookies(self) -> dict[str, str | None]:
        """What the browser keeps."""
        return {cookie.name: cookie.value for cookie in self.http.cookie_jar or ()}

    async def get(self, path: str, **headers: str) -> Answer:
        """GET."""
        return await self.call("GET", path, **headers)

    async def post(self, path: str, body: object = None, **headers: str) -> Answer:
        """POST this as JSON."""
        return await self.call("POST", path, body, **headers)

    async def register(self, name: str = "anna", password: str = PASSWORD, **more: str) -> Answer:
        """Register."""
        body = {"email": f"{name}@example.com", "username": name, "password": password, **more}
        return await self.post(f"{AUTH}/register", body)

    async def login(self, name: str = "anna", password: str = PASSWORD, **more: str) -> Answer:
        """Log in, and keep the access token."""
        answer = await self.post(f"{AUTH}/login", {"login": name, "password": password, **more})
        if answer.status == 200:
            self.token = answer.body["access_token"]
        return answer

    async def refresh(self, **headers: str) -> Answer:
        """Renew the session by the cookie, as our own pages do, and keep the access token."""
        answer = await self.post(f"{AUTH}/refresh", {}, **{**OWN, **headers})
        if answer.status == 200:
            self.token = answer.body["access_token"]
        return answer


async def first_person(app: RunningApp) -> Client:
    """The first one who registers, ``anna`` the administrator, logged in."""
    client = Client(app.app)
    assert (await client.register()).status == 201
    assert (await client.login()).status == 200
    return client


async def person(app: RunningApp, name: str, role: Role = "trader") -> Client:
    """Somebody whom the operator adds, logged in."""
    applicant = Applicant(email=f"{name}@example.com", username=name, password=PASSWORD)
    user = await app.services.auth.add_user(applicant, role, Visit())
    assert user.role == role
    client = Client(app.app)
    assert (await client.login(name)).status == 200
    return client
