"""Who made a request: the peer, or whom a trusted proxy names, for HTTP and sockets alike."""

from __future__ import annotations

from typing import Any

import pytest

from tradewright.web.peers import ForwardedPeers, address_of, network_of

PROXY, FRONT = "10.0.0.1", "10.0.0.2"
TRUSTED = (PROXY, FRONT, "fd00::/16")
CASES: list[tuple[str, list[str], str]] = [
    # the peer, its X-Forwarded-For headers, who it is
    ("198.51.100.7", [], "198.51.100.7"),
    ("198.51.100.7", ["203.0.113.9"], "198.51.100.7"),
    ("198.51.100.7", [PROXY], "198.51.100.7"),
    (PROXY, [], PROXY),
    (PROXY, ["203.0.113.9"], "203.0.113.9"),
    (PROXY, ["127.0.0.1, 203.0.113.9"], "203.0.113.9"),
    (PROXY, ["1.1.1.1, 2.2.2.2, 203.0.113.9"], "203.0.113.9"),
    (PROXY, ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
    (PROXY, ["1.1.1.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
    (PROXY, ["203.0.113.9,10.0.0.2,10.0.0.1"], "203.0.113.9"),
    (PROXY, ["203.0.113.9:4711"], "203.0.113.9"),
    (PROXY, ["[2001:db8::7]:4711"], "2001:db8::7"),
    (PROXY, ["2001:db8::7"], "2001:db8::7"),
    ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
    ("fd00::1", ["203.0.113.9"], "203.0.113.9"),
    ("::ffff:198.51.100.7", ["203.0.113.9"], "198.51.100.7"),
    (PROXY, [""], PROXY),
    (PROXY, ["unknown"], PROXY),
    (PROXY, ["1.1.1.1, _hidden"], PROXY),
    (PROXY, ["1.1.1.1, 203.0.113.9.evil.example"], PROXY),
    (PROXY, ["1.1.1.1, " + "9" * 10_000], PROXY),
    (PROXY, ["203.0.113.9\r\nX: y"], PROXY),
    (PROXY, [", , "], PROXY),
]


async def seen(scope: dict[str, Any]) -> dict[str, Any]:
    """The scope as what stands behind gets it."""
    found: list[dict[str, Any]] = []

    async def behind(inner: Any, receive: Any, send: Any) -> None:
        found.append(inner)

    await ForwardedPeers(behind, TRUSTED)(scope, None, None)
    return found[0]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(("peer", "forwarded", "address"), CASES)
async def test_the_last_address_that_is_no_proxys_counts(
    kind: str, peer: str, forwarded: list[str], address: str
) -> None:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    headers += [(b"x-real-ip", b"9.9.9.9"), (b"forwarded", b"for=9.9.9.9")]
    scope = await seen({"type": kind, "scheme": "http", "client": (peer, 4711), "headers": headers})
    assert address_of(scope) == address


@pytest.mark.parametrize(
    ("kind", "peer", "said", "scheme"),
    [
        ("http", PROXY, b"https", "https"),
        ("http", PROXY, b"javascript", "http"),
        ("http", PROXY, b"https, http", "http"),
        ("http", "198.51.100.7", b"https", "http"),
        ("websocket", PROXY, b"https", "wss"),
        ("websocket", "198.51.100.7", b"https", "ws"),
    ],
)
async def test_the_scheme_too_is_a_proxys_to_say(kind: str, peer: str, said: bytes, scheme: str) -> None:
    before = "ws" if kind == "websocket" else "http"
    headers = [(b"x-forwarded-proto", said)]
    scope = await seen({"type": kind, "scheme": before, "client": (peer, 4711), "headers": headers})
    assert scope["scheme"] == scheme


async def test_the_servers_own_scope_stays_as_it_is() -> None:
    scope = {
        "type": "http",
        "scheme": "http",
        "client": (PROXY, 1),
        "headers": [(b"x-forwarded-for", b"1.1.1.1")],
    }
    await seen(scope)
    assert scope["client"] == (PROXY, 1)
    assert address_of(await seen({"type": "http", "headers": []})) == ""


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
    ],
)
def test_one_household_is_one_network(address: str, network: str) -> None:
    assert network_of({"client": (address, 1)}) == network
