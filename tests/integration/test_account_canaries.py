"""The secrets of accounts are told once, to whom they belong, and are in no log, database or later answer."""

from __future__ import annotations

import io
import logging
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyotp
import pytest

from tests.support.account_client import AUTH, OWN, Client
from tests.support.accounts import CHEAP
from tests.support.applications import Answer, running_app
from tradewright.app import Adapters
from tradewright.app_extensions.people import people_of
from tradewright.config import TestingConfig
from tradewright.runtime.clock import SystemClock

PASSWORD, NEW_PASSWORD = "planted password of anna 1", "planted password of anna 2"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that is logged at whatever level, as it was said: nothing is masked."""
    text, root = io.StringIO(), logging.getLogger()
    handler = logging.StreamHandler(text)
    root.addHandler(handler)
    loggers = [root, *(each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger))]
    levels = [(logger, logger.level) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    for logger, level in levels:
        logger.setLevel(level)


@dataclass
class Life:
    """What somebody does, every answer but for what it was meant to tell, and every secret that there was."""

    client: Client
    said: list[str] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, path: str, body: object = None, *tells: str, **headers: str) -> Answer:
        """Make a call, whose answer ``tells`` these fields, each for the first time."""
        answer = await self.client.call(method, f"{AUTH}{path}", body, **headers)
        text = f"{answer.headers} {answer.text}"
        for name in tells:
            value = answer.body[name]
            for one in value if isinstance(value, list) else [value]:
                text = text.replace(one, "")
                self.secrets[f"{name} {len(self.secrets)}"] = one
        for name, value in self.client.cookies.items():
            if value:
                text = text.replace(value, "") if "Set-Cookie" in answer.headers else text
                self.secrets[f"{name} {value[:4]}"] = value
        self.said.append(text)
        return answer


async def live(life: Life) -> None:
    """Everything that has to do with secrets, rightly and wrongly."""
    call, register = life.call, {"email": "anna@example.com", "username": "anna", "password": PASSWORD}
    login: dict[str, Any] = {"login": "anna", "password": PASSWORD}
    assert (await call("POST", "/register", register)).status == 201
    assert (await call("POST", "/login", {**login, "password": [PASSWORD]})).status == 422
    assert (await call("POST", "/login", f'{{"login":"anna","password":"{PASSWORD}"'.encode())).status == 415
    found = await call("POST", "/login", login, "access_token")
    life.client.token = found.body["access_token"]
    api = await call("POST", "/login", {**login, "client": "api"}, "access_token", "refresh_token")
    await call(
        "POST", "/refresh", {"refresh_token": api.body["refresh_token"]}, "access_token", "refresh_token"
    )
    again = await call("POST", "/refresh", {}, "access_token", **OWN)
    assert again.status == 200
    assert (await call("POST", "/tokens", {"label": "robot", "scopes": ["read"]}, "token")).status == 201
    assert (await call("POST", "/invites", {"role": "viewer"}, "code")).status == 201
    enrolled = await call("POST", "/totp/enroll", None, "uri", "secret")
    code = pyotp.TOTP(enrolled.body["secret"]).now()
    assert (await call("POST", "/totp/confirm", {"totp": code}, "recovery_codes")).status == 200
    changed = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await call("POST", "/password", changed)).status == 204
    for secret in (PASSWORD, NEW_PASSWORD, *list(life.secrets.values())[:12]):
        await call("GET", "/me", Authorization=f"Bearer {secret}")
        await call("POST", "/refresh", {"refresh_token": secret[:120]})
        await call("POST", "/login", {"login": secret[:200], "password": secret[:200]})
    for path in ("/me", "/sessions", "/tokens", "/invites", "/../audit", "/../users", "/registration"):
        await call("GET", path)
    await call("POST", "/logout", {})


async def test_no_secret_of_an_account_is_anywhere(tmp_path: Path, log: io.StringIO) -> None:
    people = people_of(TestingConfig(data_dir=tmp_path), SystemClock())
    async with running_app(tmp_path, Adapters(people=people, password_cost=CHEAP)) as running:
        for name in ("aiosqlite", "sqlalchemy", "sqlalchemy.engine", "tradewright"):
            logging.getLogger(name).setLevel(logging.DEBUG)
        life = Life(Client(running.app))
        await live(life)
        files = contents(tmp_path)
    files = {**files, **{f"{name} afterwards": text for name, text in contents(tmp_path).items()}}
    own = tomllib.loads((tmp_path / "secrets.toml").read_text())
    secrets = {"password": PASSWORD, "new password": NEW_PASSWORD, **life.secrets, **own}
    kinds = {name.rpartition(" ")[0] for name in life.secrets}
    cookies = {"tw_refresh", "tw_device"}
    told = {"access_token", "refresh_token", "token", "code", "secret", "uri", "recovery_codes"}
    assert kinds == cookies | told
    assert any("anna" in text for text in files.values()), "else nothing was looked at"
    assert "INSERT" in log.getvalue(), "the databases' library said all that it has to say"
    places = {"answers": "\n".join(life.said), "log": log.getvalue(), **files}
    found = [
        (name, place) for name, secret in secrets.items() for place, text in places.items() if secret in text
    ]
    assert found == []


def contents(directory: Path) -> dict[str, str]:
    """Every file but that of the secrets, byte by byte."""
    return {
        one.name: one.read_bytes().decode("latin-1")
        for one in directory.rglob("*")
        if one.is_file() and one.name != "secrets.toml"
    }
