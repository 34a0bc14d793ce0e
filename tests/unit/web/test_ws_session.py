"""The session: every message has its answer, and no message breaks it."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewright.services.subscription_service import ResumeFrom
from tradewright.web.protocol import CloseCode, Error, Pong
from tradewright.web.ws.session import (
    Close,
    EndView,
    OpenPrivateView,
    OpenView,
    Reply,
    SessionLimits,
    TakeToken,
    WsSession,
)

SUBSCRIBE = {
    "type": "subscribe",
    "id": 1,
    "stream": "ohlcv",
    "market": "crypto",
    "provider": "binance",
    "symbol": "BTC/USDT",
    "timeframe": "5m",
}


def ask(message: object, session: WsSession | None = None) -> object:
    return (session or WsSession(0.0)).receive(json.dumps(message), 0.0)


def refused(action: object) -> Error:
    assert isinstance(action, Reply)
    assert isinstance(action.message, Error)
    return action.message


def test_a_subscription_is_understood() -> None:
    resume = {"epoch": "e", "seq": 41}
    action = ask(SUBSCRIBE | {"history": 7, "resume": resume})
    assert isinstance(action, OpenView)
    assert action.key.topic == "ohlcv:crypto:binance:BTC/USDT:5m"
    assert action.history == 7
    assert action.resume == ResumeFrom("e", 41)


def test_ping_and_unsubscribe() -> None:
    session = WsSession(0.0)
    assert ask({"type": "ping", "id": 6}, session) == Reply(Pong(id=6))
    assert ask({"type": "unsubscribe", "id": 7, "topic": "a:b"}, session) == EndView(7, "a:b")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"stream": "candles"}, "invalid_value"),
        ({"timeframe": "7m"}, "unknown_timeframe"),
        ({"timeframe": None}, "invalid_value"),
        ({"symbol": "../etc/passwd"}, "invalid_value"),
        ({"symbol": "'; drop table"}, "invalid_value"),
        ({"symbol": ""}, "invalid_value"),
        ({"provider": "__class__"}, "invalid_value"),
        ({"market": "CRYPTO"}, "invalid_value"),
        ({"history": 0}, "invalid_value"),
        ({"history": 5001}, "invalid_value"),
        ({"history": "500"}, "invalid_value"),
        ({"history": True}, "invalid_value"),
        ({"history": 1.5}, "invalid_value"),
        ({"colour": "red"}, "invalid_value"),
        ({"resume": {"epoch": "e", "seq": -1}}, "invalid_value"),
        ({"resume": {"epoch": "e", "seq": 1, "more": 1}}, "invalid_value"),
        ({"stream": "trades"}, "invalid_value"),
        ({"account_id": "a"}, "invalid_value"),
        ({"stream": "orders", "account_id": "a"}, "unauthorized"),
        ({"stream": "bot", "bot_id": "b"}, "unauthorized"),
    ],
)
def test_what_is_wrong_is_refused_under_its_id(change: dict[str, object], code: str) -> None:
    error = refused(ask(SUBSCRIBE | change))
    assert (error.id, error.code) == (1, code)
    assert error.message.endswith(".")


def test_a_token_is_handed_on_and_never_shown() -> None:
    action = ask({"type": "authenticate", "id": 3, "token": "x-secret-x"})
    assert action == TakeToken(3, "x-secret-x")
    assert "secret" not in repr(action)


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"stream": "orders"}, None),
        ({"stream": "orders", "account_id": "a", "bot_id": "b"}, None),
        ({"stream": "orders", "account_id": "a", "symbol": "BTC/USDT"}, None),
        ({"stream": "bot", "account_id": "a"}, None),
        ({"stream": "bot", "bot_id": "b", "history": 5}, None),
        ({"stream": "orders", "account_id": "a"}, ("orders", "a")),
        ({"stream": "bot", "bot_id": "b"}, ("bot", "b")),
    ],
)
def test_private_streams_name_their_account_or_bot(
    change: dict[str, object], fields: tuple[str, str] | None
) -> None:
    session = WsSession(0.0)
    session.logged_in = True
    action = ask({"type": "subscribe", "id": 1} | change, session)
    if fields is None:
        assert refused(action).code == "invalid_value"
    else:
        assert isinstance(action, OpenPrivateView)
        assert (action.stream, action.subject) == fields


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "nonsense",
        "[1]",
        "null",
        "1e999",
        '{"type":"ping","id":1,"id":2}',
        '{"type":"ping","id":NaN}',
        '{"type":"ping","id":-1}',
        '{"type":"ping","id":true}',
        '{"type":"ping","id":"1"}',
        '{"type":"ping"}',
        '{"type":"ping","id":' + "9" * 5_000 + "}",
        "[" * 30_000,
        '{"a":' * 10_000,
        '{"type":"ping","id":1,"x":{"a":{"b":{"c":{"d":{}}}}}}',
        "\ud800",
        b"\xff\xfe",
        b'{"type":"ping","id":1,"x":"\xff"}',
    ],
)
def test_what_can_not_be_read_is_answered_without_an_id(text: str | bytes) -> None:
    session = WsSession(0.0)
    error = refused(session.receive(text, 0.0))
    assert error.id is None
    assert error.code in ("malformed", "invalid_value")
    assert ask({"type": "ping", "id": 1}, session) == Reply(Pong(id=1)), "the session goes on"


HOSTILE = {
    "an unclosed string of escaped quotes": b'"' + b'\\"' * 32_000,
    "quotes alone": b'"' * 64_000,
    "backslashes": b"\\" * 64_000,
    "open brackets": b"[" * 64_000,
    "pairs of brackets": b"[" + b"[]," * 21_000 + b"[]]",
    "many keys": b"{" + b",".join(b'"%d":1' % number for number in range(7_000)) + b"}",
    "a long string": b'{"type":"ping","id":1,"x":"' + b'\\"' * 31_000 + b'"}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_message_costs_more_than_its_length(name: str) -> None:
    def seconds(data: bytes) -> float:
        times = []
        for _ in range(3):
            began = time.perf_counter()
            assert isinstance(WsSession(0.0).receive(data, 0.0), Reply)
            times.append(time.perf_counter() - began)
        return min(times)

    whole, eighth = seconds(HOSTILE[name]), seconds(HOSTILE[name][:8_000])
    # A linear scan takes 8 times as long, a quadratic one 64 times; below 20 ms nothing is told by ratios.
    assert whole < max(24 * eighth, 0.02)


@pytest.mark.parametrize(
    ("nested", "readable"),
    [
        ('{"a":{"b":{"c":{"d":1}}}}', True),
        ('{"a":{"b":{"c":{"d":{}}}}}', False),
        ('"' + "[" * 100 + '\\"' + "{" * 100 + '"', True),
        ("[" + "[],{}," * 100 + "[]]", True),
        ("[[[[{}]]]]", False),
    ],
)
def test_brackets_count_where_they_nest(nested: str, readable: bool) -> None:
    error = refused(WsSession(0.0).receive('{"type":"ping","id":1,"x":' + nested + "}", 0.0))
    assert (error.code == "invalid_value") is readable, "an unknown field that was read, or too deep"


def test_duplicate_keys_are_refused_at_any_depth() -> None:
    text = json.dumps(SUBSCRIBE)[:-1] + ',"resume":{"epoch":"e","seq":1,"seq":2}}'
    assert refused(WsSession(0.0).receive(text, 0.0)).code == "malformed"


def test_ids_must_increase() -> None:
    session = WsSession(0.0)
    ask({"type": "ping", "id": 5}, session)
    for stale in (5, 4, 0):
        assert refused(ask({"type": "ping", "id": stale}, session)).id == stale
    assert ask({"type": "ping", "id": 6}, session) == Reply(Pong(id=6))


@pytest.mark.parametrize("data", ["x" * 65_537, b"x" * 65_537, "é" * 40_000])
def test_a_message_over_64_kib_closes_the_socket(data: str | bytes) -> None:
    action = WsSession(0.0).receive(data, 0.0)
    assert isinstance(action, Close)
    assert action.code == CloseCode.TOO_LARGE


def test_twenty_messages_a_second_after_a_burst() -> None:
    session = WsSession(0.0)
    answers = [session.receive(json.dumps({"type": "ping", "id": n}), 0.0) for n in range(10_000)]
    pongs = [a for a in answers if isinstance(a, Reply) and isinstance(a.message, Pong)]
    errors = [refused(a) for a in answers if a not in pongs]
    assert len(pongs) == 200
    assert len(errors) == 9_800
    assert {(error.id, error.code) for error in errors} == {(None, "rate_limited")}
    later = [session.receive(json.dumps({"type": "ping", "id": 10_000 + n}), 1.0) for n in range(40)]
    assert sum(isinstance(a, Reply) and isinstance(a.message, Pong) for a in later) == 20


def test_who_does_not_stop_is_sent_away() -> None:
    session = WsSession(0.0, SessionLimits(refused_max=50))
    actions = [session.receive("x", 0.0) for _ in range(251)]
    assert [isinstance(action, Close) for action in actions] == [False] * 250 + [True]
    assert isinstance(actions[-1], Close)
    assert actions[-1].code == CloseCode.POLICY


def test_who_does_not_stop_with_large_messages_is_sent_away_sooner() -> None:
    session = WsSession(0.0)
    exhaust(session)
    actions = [session.receive("x" * 65_536, 0.0) for _ in range(65)]
    assert [isinstance(action, Close) for action in actions] == [False] * 64 + [True]


def test_who_stops_in_between_is_kept() -> None:
    session = WsSession(0.0, SessionLimits(refused_max=50))
    for minute in range(20):
        exhaust(session, minute * 60.0)
        for _ in range(40):
            assert refused(session.receive("x", minute * 60.0)).code == "rate_limited"


def test_what_comes_too_fast_is_refused_before_it_is_read() -> None:
    session = WsSession(0.0)
    exhaust(session)
    number = 201
    for data in (json.dumps({"type": "ping", "id": number}), "nonsense", b"\xff", "é" * 40_000):
        error = refused(session.receive(data, 0.0))
        assert (error.id, error.code) == (None, "rate_limited")
    assert ask_at({"type": "ping", "id": number}, session, 1.0) == Reply(Pong(id=number)), "its id is free"


def test_a_refused_message_costs_next_to_nothing() -> None:
    data = json.dumps({"type": "ping", "id": 1, "x": "a" * 60_000})
    session = WsSession(0.0)
    exhaust(session)
    answers = [session.receive(data, 0.0) for _ in range(50)]
    assert len({id(answer) for answer in answers}) == 1, "all share one answer"
    assert isinstance(answers[0], Reply)
    assert answers[0].data is answers[0].data, "which is encoded once"


def exhaust(session: WsSession, now_s: float = 0.0) -> None:
    for _ in range(200):
        session.receive("", now_s)


def ask_at(message: object, session: WsSession, now_s: float) -> object:
    return session.receive(json.dumps(message), now_s)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=500, deadline=None)
@given(data=st.binary(max_size=300) | st.text(max_size=300))
def test_any_bytes_are_answered(data: str | bytes) -> None:
    assert isinstance(WsSession(0.0).receive(data, 0.0), Reply)


@settings(max_examples=500, deadline=None)
@given(
    base=st.sampled_from(["subscribe", "unsubscribe", "authenticate", "ping", "steal"]),
    changes=st.dictionaries(
        st.sampled_from(["id", "stream", "market", "symbol", "timeframe", "history", "resume", "topic", "x"]),
        json_values,
        max_size=4,
    ),
)
def test_any_message_is_answered_under_its_id_where_it_has_one(base: str, changes: dict[str, object]) -> None:
    message = SUBSCRIBE | {"type": base} | changes
    action = WsSession(0.0).receive(json.dumps(message), 0.0)
    sent_id = message["id"]
    readable = type(sent_id) is int and 0 <= sent_id < 2**53
    if isinstance(action, Reply):
        assert isinstance(action.message, Error | Pong)
        assert action.message.id in ((sent_id, None) if readable else (None,))
    else:
        assert isinstance(action, OpenView | EndView | TakeToken)
        assert action.id == sent_id
