"""Planted secrets are in no answer, no log, no database and no Redis, whatever is done with them."""

from __future__ import annotations

import io
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
import redis.asyncio

from tests.contract.ccxt_plugin.rig import CAPTURE, HastyPlugin, refusal, take
from tests.support.account_client import AUTH, Client
from tests.support.accounts import CHEAP
from tests.support.applications import Answer, RunningApp, memory_stores, running_app
from tests.support.loaders import loader_of
from tests.support.postgres_schemas import own_database
from tests.venues.binance import BinanceVenue
from tradewright.app import Adapters
from tradewright.app_extensions.people import people_of
from tradewright.config import TestingConfig
from tradewright.plugins._ccxt_exchange import _Manners
from tradewright.runtime.clock import SystemClock
from tradewright.runtime.logging import ContextFilter, HumanFormatter, JsonFormatter

KEYS = "/api/v1/credentials"
PASSWORD = "CANARY password of anna 17"
API_KEY, SECRET = "CANARY-KEY-7f3a5d-ZZ99", "CANARY-SECRET-91bc/+="
OTHER_KEY, OTHER_SECRET = "CANARY-OTHER-KEY-ZZ88", "CANARY-OTHER-SECRET"
ECHO = f"key {API_KEY} of https://venue/api?a=1&signature=CANARYSIGNATURE and {SECRET}"
BINANCE: dict[str, Any] = {
    "market": "crypto",
    "provider": "binance",
    "label": "mine",
    "fields": {"api_key": API_KEY, "secret": SECRET},
}
OTHERS = (
    ("okx", {"api_key": "CANARY-OKX-KEY-000001", "secret": "CANARY-OKX", "password": "CANARY passphrase"}),
    ("hyperliquid", {"private_key": "0xCANARY" + "5" * 58, "wallet_address": "0xCANARY" + "7" * 32}),
    (
        "coinbase",
        {
            "api_key": "organizations/CANARY/apiKeys/1",
            "secret": "-----BEGIN EC PRIVATE KEY-----\nMHcCANARYEEIA\n-----END EC PRIVATE KEY-----",
        },
    ),
)
TOLD = "apiKey"
"""What a library may write of a secret: its name."""


class TellingPlugin(HastyPlugin):
    """Fails as no plugin should, and tells everything."""

    tells = False

    async def key_permissions(self) -> Any:
        if self.tells:
            raise RuntimeError(f"{vars(self._account)} {self.setup.credentials!r} {API_KEY} {SECRET}")
        return await super().key_permissions()


@dataclass
class Logs:
    """Everything that is logged, as the server writes it in either form and, to compare, as it was said."""

    human: io.StringIO = field(default_factory=io.StringIO)
    json: io.StringIO = field(default_factory=io.StringIO)
    raw: io.StringIO = field(default_factory=io.StringIO)


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Logs]:
    found, root = Logs(), logging.getLogger()
    made = (
        (found.human, HumanFormatter()),
        (found.json, JsonFormatter()),
        (found.raw, logging.Formatter("%(name)s %(message)s")),
    )
    handlers = []
    for stream, formatter in made:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        handler.addFilter(ContextFilter())
        handlers.append(handler)
        root.addHandler(handler)
    # What keeps CCXT silent is taken away: here the masking stands alone.
    monkeypatch.setattr(_Manners, "logger", logging.getLogger("ccxt.all"))
    names = ("", "ccxt", "ccxt.all", "ccxt.base.exchange", "aiohttp", "asyncio", "sqlalchemy", "tradewright")
    levels = {name: logging.getLogger(name).level for name in names}
    yield found
    for handler in handlers:
        root.removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
async def venue() -> AsyncIterator[BinanceVenue]:
    async with BinanceVenue(CAPTURE, lead_in_s=15, speed=5) as opened:
        opened.trading.keys.update({API_KEY: SECRET, OTHER_KEY: OTHER_SECRET})
        yield opened


@asynccontextmanager
async def serving(
    venue: BinanceVenue, data_dir: Path, redis_url: str, databases: dict[str, Any]
) -> AsyncIterator[RunningApp]:
    config = TestingConfig(data_dir=data_dir, **databases)
    adapters = Adapters(
        loader=loader_of(TellingPlugin),
        stores=memory_stores(),
        people=people_of(config, SystemClock()),
        password_cost=CHEAP,
    )
    settings: dict[str, Any] = {"providers": {"binance": venue.provider_options()}, "redis_url": redis_url}
    async with running_app(data_dir, adapters, **settings) as app:
        for name in ("", "ccxt", "ccxt.all", "ccxt.base.exchange", "aiohttp", "sqlalchemy", "tradewright"):
            logging.getLogger(name).setLevel(logging.DEBUG)
        yield app


@dataclass
class Talker:
    """A person whose every answer is kept."""

    client: Client
    said: list[str] = field(default_factory=list)

    async def call(self, method: str, path: str, body: object = None) -> Answer:
        answer = await self.client.call(method, path, body, Content_Type="application/json")
        self.said.append(f"{answer.headers} {answer.text}")
        return answer


async def live_through_everything(app: RunningApp, venue: BinanceVenue) -> list[str]:
    """Do with keys whatever can be done, rightly and wrongly; all that was answered."""
    client = Client(app.app)
    talker = Talker(client)
    call = talker.call
    register = {"email": "anna@example.com", "username": "anna", "password": PASSWORD}
    assert (await call("POST", f"{AUTH}/register", register)).status == 201
    assert (await client.login("anna", PASSWORD)).status == 200
    id_ = (await call("POST", KEYS, BINANCE)).body["id"]
    for provider, fields in OTHERS:
        body = {**BINANCE, "provider": provider, "fields": fields}
        assert (await call("POST", KEYS, body)).status == 201, talker.said[-1]
    wrong: tuple[object, ...] = (
        {**BINANCE, "fields": {"api_key": API_KEY}},
        {**BINANCE, "fields": {API_KEY: SECRET, SECRET: API_KEY}},
        {**BINANCE, "fields": [API_KEY, SECRET]},
        {**BINANCE, "fields": {"api_key": f"{API_KEY}\r\n", "secret": f"{SECRET}\n{SECRET}"}},
        {**BINANCE, "fields": {"api_key": API_KEY, "secret": [SECRET]}},
        f'{{"api_key": "{API_KEY}", "secret": "{SECRET}"'.encode(),
        f'{{"fields": {{"secret": "{SECRET}", "secret": "{SECRET}"}}}}'.encode(),
        b"\xff" + SECRET.encode(),
    )
    for sent in wrong:
        assert (await call("POST", KEYS, sent)).status in (400, 422), talker.said[-1]
    for path in (f"{KEYS}/{quote(API_KEY)}", f"{KEYS}?fields={quote(SECRET, safe='')}"):
        assert (await call("GET", path)).status in (404, 422)
    assert (await call("POST", f"{KEYS}/{id_}/test")).status == 200, talker.said[-1]
    for status, code in ((400, -2010), (401, -2015), (400, -9999), (418, -1003), (503, -1)):
        venue.faults.answer("/api/v3/account", status=status, body=refusal(code, ECHO), times=2)
        assert (await call("POST", f"{KEYS}/{id_}/test")).status >= 500, talker.said[-1]
        await venue.faults.heal()
    TellingPlugin.tells = True
    try:
        assert (await call("POST", f"{KEYS}/{id_}/test")).status == 500
    finally:
        TellingPlugin.tells = False
    user_id = (await call("GET", f"{AUTH}/me")).body["user"]["id"]
    async with app.services.markets.account_plugin(user_id, id_) as plugin:
        stream = plugin.watch_orders()
        with pytest.raises(TimeoutError):
            await take(stream, 1, deadline_s=0.3)
        await stream.aclose()  # type: ignore[attr-defined]
        logging.getLogger("ccxt").debug("%s %r", vars(plugin._account), plugin)  # type: ignore[attr-defined]
    new = {"api_key": OTHER_KEY, "secret": OTHER_SECRET}
    assert (await call("PATCH", f"{KEYS}/{id_}", {"fields": new})).status == 200
    assert (await call("POST", f"{KEYS}/{id_}/test")).status == 200, talker.said[-1]
    for path in (
        KEYS,
        f"{KEYS}/{id_}",
        f"{AUTH}/me",
        "/api/v1/audit",
        "/api/v1/users",
        "/metrics",
        "/readyz",
    ):
        assert (await call("GET", path)).status == 200, path
    return talker.said


def assert_clean(what: str, text: str) -> None:
    at = text.find("CANARY")
    assert at < 0, f"{what}: …{text[max(0, at - 200) : at + 80]}…"


def contents(directory: Path) -> dict[str, str]:
    """Every file by its name, byte by byte."""
    return {one.name: one.read_bytes().decode("latin-1") for one in directory.rglob("*") if one.is_file()}


async def redis_dump(url: str) -> str:
    """Every key and every value of a server."""
    client = redis.asyncio.Redis.from_url(url)
    try:
        keys = [key async for key in client.scan_iter()]
        return repr([(key, await client.dump(key)) for key in keys])
    finally:
        await client.aclose()


async def postgres_dump(url: str) -> str:
    """Every row of every table, bytes as they are."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT LIKE 'pg\\_%' "
            "AND schemaname <> 'information_schema'"
        )
        rows: list[Any] = []
        for schema, table in tables:
            rows += await connection.fetch(f'SELECT * FROM "{schema}"."{table}"')
    finally:
        await connection.close()
    assert len(rows) > 5
    return repr([tuple(row) for row in rows])


@pytest.mark.parametrize("kept_in", ["files", "postgresql"])
async def test_a_planted_secret_is_nowhere(
    kept_in: str, venue: BinanceVenue, logs: Logs, tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    async with own_database(postgres_url) as url:
        named = {"auth_database_url": url, "user_configs_database_url": url}
        databases = named if kept_in == "postgresql" else {}
        async with serving(venue, tmp_path, redis_url, databases) as app:
            answers = await live_through_everything(app, venue)
            if databases:
                assert_clean("PostgreSQL", await postgres_dump(url))
        if databases:
            assert_clean("PostgreSQL", await postgres_dump(url))
    assert_clean("answers", "\n".join(answers))
    assert "ZZ88" in answers[-7], "the end of the key is told"
    assert "CANARY" in logs.raw.getvalue(), "else there was nothing to mask"
    assert TOLD in logs.human.getvalue()
    assert_clean("log", logs.human.getvalue())
    assert_clean("log in JSON", logs.json.getvalue())
    assert_clean("Redis", await redis_dump(redis_url))
    files = contents(tmp_path)
    assert kept_in == "postgresql" or {"auth.sqlite3", "user_configs.sqlite3"} <= files.keys()
    for name, text in files.items():
        assert_clean(name, text)
