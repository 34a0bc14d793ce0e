"""The HTTP API over the whole application, on the simulated exchange."""

from __future__ import annotations

import itertools
import json
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.applications import Answer, RunningApp, memory_stores, running_app
from tradewright.app import Adapters
from tradewright.domain.errors import StorageUnavailable
from tradewright.storage.memory import MemoryBarStore
from tradewright.testing.clock import DrivenClock

BTC: dict[str, object] = {"market": "crypto", "provider": "simulated", "symbol": "BTC/USDT"}
AAPL: dict[str, object] = {"market": "stocks", "provider": "simulated", "symbol": "AAPL"}
NOW = 1_717_597_230_500  # 2024-06-05 14:20:30.5 UTC, a Wednesday, New York is open


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock(NOW)


@pytest.fixture
async def api(tmp_path: Path, clock: DrivenClock) -> AsyncIterator[RunningApp]:
    async with running_app(tmp_path, Adapters(clock=clock)) as app:
        yield app


async def ohlcv(api: RunningApp, **query: object) -> Answer:
    return await api.get("/api/v1/market/ohlcv", **{**BTC, "timeframe": "1m", **query})


async def test_markets_and_providers(api: RunningApp) -> None:
    markets = (await api.get("/api/v1/market/markets")).body["items"]
    pairs = {(item["market"], item["plugin"]): item["providers"] for item in markets}
    assert pairs["crypto", "simulated"] == pairs["stocks", "simulated"] == 1
    assert pairs["crypto", "ccxt"] > 90
    providers = (await api.get("/api/v1/market/providers", market="crypto")).body["items"]
    assert len(providers) == sum(count for (market, _), count in pairs.items() if market == "crypto")
    binance = next(item for item in providers if item["provider"] == "binance")
    assert binance["name"] == "Binance"
    assert {"ohlcv", "watch_trades"} <= set(binance["capabilities"])
    assert {"name": "api_key", "secret": True, "required": True} in binance["credential_fields"]
    assert providers[0]["simulated"]


async def test_symbols_are_searched_and_paged(api: RunningApp) -> None:
    query: dict[str, object] = {"market": "crypto", "provider": "simulated"}
    everything = (await api.get("/api/v1/market/symbols", **query)).body
    names = [item["symbol"] for item in everything["items"]]
    assert "BTC/USDT" in names
    assert everything["next_cursor"] is None
    for spelling in ("btcusdt", "btc/usdt", "btc-usdt", "BTC_USDT", "btc usdt", "tc-usdt"):
        found = (await api.get("/api/v1/market/symbols", search=spelling, **query)).body["items"]
        assert [item["symbol"] for item in found][:1] == ["BTC/USDT"], spelling
    for nothing in ("btc-usdtx", "--q"):
        assert (await api.get("/api/v1/market/symbols", search=nothing, **query)).body["items"] == []
    assert set(found[0]) >= {
        "symbol", "base", "quote", "type", "active", "price_tick", "amount_step", "min_amount",
        "min_cost", "order_types", "calendar",
    }  # fmt: skip
    paged: list[str] = []
    cursor: str | None = None
    while True:
        more: dict[str, object] = {} if cursor is None else {"cursor": cursor}
        page = (await api.get("/api/v1/market/symbols", limit=2, **query, **more)).body
        paged += [item["symbol"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert paged == names


async def test_five_hundred_hours_twice(api: RunningApp, clock: DrivenClock) -> None:
    first = await ohlcv(api, timeframe="1h", limit=500)
    assert first.status == 200
    bars = first.body["bars"]
    assert len(bars) == 500
    assert all(a[0] + 3_600_000 == b[0] for a, b in itertools.pairwise(bars))
    assert first.body["forming"]
    assert bars[-1][0] <= NOW < bars[-1][0] + 3_600_000
    await clock.advance(7)
    second = (await ohlcv(api, timeframe="1h", limit=500)).body["bars"]
    assert second[:-1] == bars[:-1]
    assert second[-1] != bars[-1]


async def test_minutes_make_the_hour(api: RunningApp) -> None:
    start = NOW // 3_600_000 * 3_600_000 - 48 * 3_600_000
    minutes = (await ohlcv(api, start=start, end=start + 3_600_000)).body["bars"]
    [hour] = (await ohlcv(api, timeframe="1h", start=start, end=start + 1)).body["bars"]
    assert hour[:5] == [
        start, minutes[0][1], max(m[2] for m in minutes), min(m[3] for m in minutes), minutes[-1][4],
    ]  # fmt: skip
    assert hour[5] == pytest.approx(sum(m[5] for m in minutes), rel=1e-12)


async def test_stocks_have_no_gaps_at_night(api: RunningApp) -> None:
    answer = (await ohlcv(api, **AAPL, timeframe="1h", limit=100)).body
    assert len(answer["bars"]) == 100
    assert answer["gaps"] == []
    days = (await ohlcv(api, **AAPL, timeframe="1d", limit=30)).body
    assert len(days["bars"]) == 30
    assert all(bar[0] % 86_400_000 == 0 for bar in days["bars"])
    assert days["gaps"] == []


async def test_ticker_book_and_trades_agree(api: RunningApp) -> None:
    ticker = (await api.get("/api/v1/market/ticker", **BTC)).body
    book = (await api.get("/api/v1/market/order_book", depth=5, **BTC)).body
    trades = (await api.get("/api/v1/market/trades", limit=20, **BTC)).body["items"]
    assert set(ticker) == {
        "t", "last", "bid", "ask", "high", "low", "volume", "quote_volume", "change_percent",
    }  # fmt: skip
    assert len(book["bids"]) == len(book["asks"]) == 5
    assert book["bids"][0][0] < book["asks"][0][0]
    assert (ticker["bid"], ticker["ask"]) == (book["bids"][0][0], book["asks"][0][0])
    assert len(trades) == 20
    assert trades == sorted(trades, key=lambda trade: trade[0])
    assert trades[-1][3] == ticker["last"]
    assert all(isinstance(trade[1], str) and trade[2] in ("buy", "sell", None) for trade in trades)


BAD_INPUT = [
    ({"market": "bonds"}, 404, "unknown_market"),
    ({"market": "../etc"}, 422, "invalid_value"),
    ({"provider": "nowhere"}, 404, "unknown_provider"),
    ({"provider": "__class__"}, 422, "invalid_value"),
    ({"provider": "Exchange"}, 422, "invalid_value"),
    ({"symbol": "NOPE/USDT"}, 404, "unknown_symbol"),
    ({"symbol": "../../etc/passwd"}, 422, "invalid_value"),
    ({"symbol": "BTC/USDT'; drop table bars;--"}, 422, "invalid_value"),
    ({"symbol": '"><script>alert(1)</script>'}, 422, "invalid_value"),
    ({"symbol": "BTC/USDT\r\nX: y"}, 422, "invalid_value"),
    ({"symbol": "B" * 65}, 422, "invalid_value"),
    ({"symbol": ""}, 422, "invalid_value"),
    ({"timeframe": "7m"}, 422, "unknown_timeframe"),
    ({"timeframe": "1M "}, 422, "unknown_timeframe"),
    ({"start": 2, "end": 1}, 422, "invalid_value"),
    ({"start": -1}, 422, "invalid_value"),
    ({"start": "1e12"}, 422, "invalid_value"),
    ({"start": "１２"}, 422, "invalid_value"),
    ({"end": 10**17}, 422, "invalid_value"),
    ({"limit": 0}, 422, "invalid_value"),
    ({"limit": -1}, 422, "invalid_value"),
    ({"limit": 10**9}, 422, "invalid_value"),
    ({"limit": "NaN"}, 422, "invalid_value"),
    ({"limit": "5.0"}, 422, "invalid_value"),
    ({"limit": ""}, 422, "invalid_value"),
    ({"colour": "green"}, 422, "invalid_value"),
    ({"adjustment": "split"}, 422, "invalid_value"),
    ({"adjustment": "perhaps"}, 422, "invalid_value"),
]


@pytest.mark.parametrize(("query", "status", "code"), BAD_INPUT)
async def test_bad_input_is_a_problem_document(
    api: RunningApp, query: dict[str, object], status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = await ohlcv(api, **query)
    assert (answer.status, answer.body["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert set(answer.body) >= {"type", "title", "status", "detail", "code", "request_id"}
    assert answer.body["status"] == status
    assert answer.body["request_id"] == answer.headers["X-Request-ID"]
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


async def test_every_wrong_field_is_named(api: RunningApp) -> None:
    answer = await api.get("/api/v1/market/ohlcv", market="crypto", limit="x", colour="y")
    assert set(answer.body["errors"]) == {"provider", "symbol", "timeframe", "limit", "colour"}


async def test_a_parameter_twice_is_refused(api: RunningApp) -> None:
    response = await api.client.get("/api/v1/market/providers?market=crypto&market=stocks")
    assert response.status_code == 422


async def test_a_wrong_cursor_is_refused(api: RunningApp) -> None:
    for cursor in ("x", "%%%", "W10", "é"):
        answer = await api.get("/api/v1/market/symbols", market="crypto", provider="simulated", cursor=cursor)
        assert (answer.status, answer.body["code"]) == (422, "invalid_value")


async def test_an_unknown_path_and_method(api: RunningApp) -> None:
    missing = await api.get("/api/v1/nothing")
    assert (missing.status, missing.body["code"]) == (404, "not_found")
    wrong = await api.client.post("/api/v1/market/markets")
    assert wrong.status_code == 405
    assert "GET" in wrong.headers["Allow"]
    page = await api.get_with("/nothing", {"Accept": "text/html"})
    assert page.status == 404
    assert page.headers["Content-Type"].startswith("text/html")


async def test_security_headers_are_on_every_answer(api: RunningApp) -> None:
    for path in (
        "/",
        "/chart",
        "/api/v1/market/markets",
        "/api/v1/nothing",
        "/healthz",
        "/static/nothing.js",
    ):
        headers = (await api.get(path)).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", ""])
async def test_a_foreign_host_is_refused(api: RunningApp, host: str) -> None:
    answer = await api.get_with("/api/v1/market/markets", {"Host": host})
    assert answer.status in (400, 403)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000"])
async def test_own_hosts_are_served(api: RunningApp, host: str) -> None:
    assert (await api.get_with("/healthz", {"Host": host})).status == 200


async def test_health_and_readiness(api: RunningApp) -> None:
    health = await api.get("/healthz")
    assert (health.status, health.body["status"]) == (200, "ok")
    ready = await api.get("/readyz")
    assert ready.status == 200
    assert {item["name"]: item["ok"] for item in ready.body["dependencies"]} == {
        "bars": True,
        "plugins": True,
    }


class _FullStore(MemoryBarStore):
    """A store that can be read, on a disk that is full for a while."""

    full = True
    checks = 0

    async def check(self) -> None:
        self.checks += 1
        if self.full:
            raise StorageUnavailable("The disk that holds the database is full.")


async def test_readiness_wants_a_store_that_can_be_written(tmp_path: Path, clock: DrivenClock) -> None:
    bars = _FullStore()
    adapters = Adapters(clock=clock, stores=memory_stores(bars))
    async with running_app(tmp_path, adapters) as server:
        for _ in range(20):
            answer = await server.get("/readyz")
            assert answer.status == 503
            assert not answer.body["ready"]
            assert answer.body["dependencies"][0]["detail"] == "The disk that holds the database is full."
        assert bars.checks == 1, "whoever asks all the time does not make it write all the time"
        bars.full = False
        await clock.advance(2)
        assert (await server.get("/readyz")).status == 200


async def test_the_openapi_document_names_the_routes(api: RunningApp) -> None:
    document = (await api.get("/api/v1/openapi.json")).body
    paths = {path for path in document["paths"] if path.startswith("/api/v1/market")}
    assert paths == {
        f"/api/v1/market/{name}"
        for name in (
            "markets",
            "providers",
            "symbols",
            "ohlcv",
            "ticker",
            "order_book",
            "trades",
            "backfills",
            "backfills/{job_id}",
            "coverage",
            "coverage/strip",
            "stored",
            "export",
        )
    }
    ohlcv_route = document["paths"]["/api/v1/market/ohlcv"]["get"]
    required = {item["name"]: item["required"] for item in ohlcv_route["parameters"]}
    assert required == {
        "market": True, "provider": True, "symbol": True, "timeframe": True,
        "start": False, "end": False, "limit": False, "adjustment": False,
    }  # fmt: skip
    assert "application/problem+json" in ohlcv_route["responses"]["422"]["content"]


async def test_the_openapi_document_defines_all_that_it_refers_to(api: RunningApp) -> None:
    answer = await api.get("/api/v1/openapi.json")
    text = json.dumps(answer.body)
    named = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', text))
    assert {"BackfillJob", "OhlcvResponse", "ProblemDocument", "SourceItem"} <= named
    assert named == set(answer.body["components"]["schemas"])
    export = answer.body["paths"]["/api/v1/market/export"]["get"]
    assert set(export["responses"]["200"]["content"]) == {"text/csv", "application/vnd.apache.parquet"}
    for path in answer.body["paths"].values():
        for operation in path.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]


@pytest.mark.parametrize("path", ["/api/v1/market/markets", "/api/v1/market/backfills/any"])
async def test_a_call_that_takes_no_parameters_refuses_them(api: RunningApp, path: str) -> None:
    answer = await api.get(path, verbose=1)
    assert answer.status == 422
    assert answer.body["errors"] == {"verbose": "unknown parameter"}
