"""Forged access tokens: whatever is changed about a token, it is not taken."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from tests.support.accounts import HOME, People, Secrets, key
from tests.support.damaged_tokens import damage
from tradewright.domain.people import InvalidToken
from tradewright.services.auth.access_tokens import BYTES_MAX
from tradewright.services.key_ring import KeyRing, derive

PURPOSE = "signing key of access tokens"


def encoded(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def signed(header: object, claims: object, secret: bytes, digest: str = "sha256") -> str:
    body = f"{encoded(header)}.{encoded(claims)}"
    return f"{body}.{encoded(hmac.new(secret, body.encode(), digest).digest())}"


NO_VALUES: tuple[Any, ...] = (None, "", 0, -1, True, [], {}, "x", 2**70, 1.5, float("inf"))


def forgeries(token: str, ours: bytes) -> Iterator[tuple[str, str]]:
    """Tokens as attackers make them; ``ours`` signs those whose flaw is not the signature."""
    head, body, signature = token.split(".")
    header, claims = decoded(head), decoded(body)
    for alg in (
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        "HS384",
        "HS512",
        "RS256",
        "ES256",
        "PS256",
        "EdDSA",
        "hs256",
    ):
        yield f"alg {alg}", f"{encoded({**header, 'alg': alg})}.{body}."
        yield f"alg {alg} with the signature", f"{encoded({**header, 'alg': alg})}.{body}.{signature}"
        yield f"alg {alg} signed by us", signed({**header, "alg": alg}, claims, ours)
    for digest in ("sha384", "sha512", "sha1"):
        yield f"signed with {digest}", signed(header, claims, ours, digest)
        other = {**header, "alg": digest.replace("sha", "HS")}
        yield f"well signed with {digest}", signed(other, claims, ours, digest)
    longer = key("longer").encode() * 4
    yield (
        "well signed with HS512 and a longer key",
        signed({**header, "alg": "HS512"}, claims, longer, "sha512"),
    )
    for value in (None, 1, True, ["HS256"], {"HS256": 1}):
        yield f"alg {value!r}", signed({**header, "alg": value}, claims, ours)
    for extra in (
        {"jku": "https://evil.example/keys"}, {"jwk": {"kty": "oct", "k": encoded(b"k" * 32)}},
        {"x5u": "https://evil.example/c"}, {"x5c": ["x"]}, {"crit": ["exp"]}, {"b64": False}, {"zip": "DEF"},
        {"cty": "JWT"}, {"x": 1},
    ):  # fmt: skip
        yield f"header {extra}", signed({**header, **extra}, claims, ours)
    for kid in (
        "",
        "x",
        "../../dev/null",
        "' or 1=1",
        None,
        1,
        ["a"],
        {"a": 1},
        header["kid"] + "0",
        "a" * 600,
    ):
        yield f"kid {kid!r}", signed({**header, "kid": kid}, claims, ours)
    for typ in ("JWE", "at+jwt", "refresh", "", None, 1):
        yield f"header typ {typ!r}", signed({**header, "typ": typ}, claims, ours)
    for name in ("kid", "typ", "alg"):
        yield f"header without {name}", signed({k: v for k, v in header.items() if k != name}, claims, ours)
    for secret in (b"", b"secret", b"k" * 32, header["kid"].encode(), key("jwt").encode(), b"super-secret"):
        yield f"signed with {secret[:8]!r}", signed(header, claims, secret)
    for purpose in ("signing key of known devices", "wrapping key of sealed records", f"id of {PURPOSE}"):
        yield f"signed with the key for {purpose}", signed(header, claims, derive(key("jwt"), purpose))
    yield from forged_claims(header, claims, ours)
    yield from broken_texts(token, ours)


def forged_claims(header: Any, claims: Any, ours: bytes) -> Iterator[tuple[str, str]]:
    """Well signed, and yet none of ours."""
    now = claims["iat"]
    for name in claims:
        yield f"without {name}", signed(header, {k: v for k, v in claims.items() if k != name}, ours)
        for value in (*NO_VALUES, [claims[name]]):
            if value != claims[name] and not (name == "jti" and value == "x"):
                yield f"{name} = {value!r}", signed(header, {**claims, name: value}, ours)
    for typ in ("refresh", "ws", "Access", "access "):
        yield f"typ {typ!r}", signed(header, {**claims, "typ": typ}, ours)
    times = [
        {"exp": now}, {"exp": now - 1}, {"nbf": now + 60}, {"iat": now + 60}, {"exp": now + 86_400},
        {"exp": str(now + 60)}, {"iat": now - 86_400}, {"exp": now + 10**9},
    ]  # fmt: skip
    for changed in times:
        yield f"{changed}", signed(header, {**claims, **changed}, ours)
    for changed in (
        {"aud": "other"},
        {"iss": "other"},
        {"aud": ["x", "y"]},
        {"sub": "somebody-else"},
        {"sid": "x"},
    ):
        yield f"{changed}", signed(header, {**claims, **changed}, ours)


def broken_texts(token: str, ours: bytes) -> Iterator[tuple[str, str]]:
    """What is no token at all, or not quite."""
    head, body, signature = token.split(".")
    header, claims = decoded(head), decoded(body)
    yield (
        "claims changed, signature kept",
        f"{head}.{encoded({**claims, 'role': 'admin', 'x': 1})}.{signature}",
    )
    for text in (
        "", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d.e", token + ".", "." + token, " " + token,
        token + "\n", token[:-1], token + "A", token.replace(".", "..", 1), f"{head}.{body}.",
        f"{head}..{signature}", f".{body}.{signature}", "Bearer " + token, token * 2, "ü" * 20, "\x00",
    ):  # fmt: skip
        yield f"text {text[:12]!r}", text
    yield "too long", signed(header, {**claims, "x": "y" * BYTES_MAX}, ours)
    yield "deep header", f"{encoded(b'[' * 3_000)}.{body}.{signature}"
    yield "deep claims", signed(header, json.loads("[" * 500 + "]" * 500), ours)
    yield "claims no object", signed(header, [1], ours)
    yield "header no object", signed([1], claims, ours)
    yield "twice a name", signed(header, encoded(b"x"), ours)


async def is_taken(people: People, token: str) -> bool:
    try:
        await people.auth.authenticate(token)
    except InvalidToken:
        return False
    return True


async def test_a_corpus_of_forged_tokens_is_refused() -> None:
    people = People()
    await people.add()
    token = (await people.login()).granted.access_token
    ours = KeyRing(people.jwt, PURPOSE).current()[1]
    header, claims = (decoded(part) for part in token.split(".")[:2])
    remade = signed(header, claims, ours)
    assert (await people.auth.authenticate(remade)).session_id == claims["sid"], "what we sign here is taken"
    tried = 0
    for what, forged in forgeries(token, ours):
        tried += 1
        assert not await is_taken(people, forged), what
    assert tried >= 200
    assert (await people.auth.authenticate(token)).session_id == claims["sid"]


async def test_random_damage_is_refused() -> None:
    """A share of the soak of damaged tokens."""
    done = await damage(3_000, seed=7)
    assert done.taken == 0
    assert done.refused > 2_900


async def test_a_token_ends_by_our_clock() -> None:
    people = People()
    await people.add()
    token = (await people.login()).granted
    assert token.expires_in_s == 600
    await people.clock.advance(599)
    await people.auth.authenticate(token.access_token)
    await people.clock.advance(1)
    with pytest.raises(InvalidToken):
        await people.auth.authenticate(token.access_token)


async def test_keys_are_renewed_without_a_logout() -> None:
    secrets = Secrets(key("old"))
    people = People(jwt=secrets)
    await people.add()
    before = (await people.login()).granted
    secrets.keys = (key("new"), key("old"))
    await people.auth.authenticate(before.access_token)
    after = await people.auth.refresh(before.refresh_token, HOME)
    assert jwt.get_unverified_header(after.access_token) != jwt.get_unverified_header(before.access_token)
    secrets.keys = (key("new"),)
    await people.auth.authenticate(after.access_token)
    with pytest.raises(InvalidToken):
        await people.auth.authenticate(before.access_token)


async def test_the_role_in_a_token_gives_nothing() -> None:
    people = People()
    await people.add()
    other = await people.add("berta", "admin")
    granted = (await people.login("berta")).granted
    await people.auth.administration.set_role(other.id, "viewer", None, HOME)
    caller = await people.auth.authenticate(granted.access_token)
    assert (caller.role, caller.scopes, caller.is_admin) == ("viewer", ("read",), False)


def test_no_secret_is_used_itself() -> None:
    secret = key("jwt")
    keys = {derive(secret, purpose) for purpose in ("a", "b", PURPOSE)}
    assert len(keys) == 3
    assert all(len(each) == 32 and each != secret.encode()[:32] for each in keys)
    assert hashlib.sha256(secret.encode()).digest() not in keys
