"""Alpaca's REST hosts: one method through which every call goes, each sent once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

import aiohttp
import msgspec

from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import (
    AuthenticationPluginError,
    MalformedAnswerPluginError,
    NetworkPluginError,
    TimeoutPluginError,
)
from tradewright.plugins._alpaca_errors import NAME, malformed, refusal
from tradewright.plugins._alpaca_options import Addresses
from tradewright.plugins._alpaca_pace import Pace
from tradewright.plugins._sessions import keep_to_addresses
from tradewright.runtime.clock import Clock

Host: TypeAlias = Literal["data", "trading"]
Params: TypeAlias = Mapping[str, str]

BODY_BYTES_MAX: Final = 64 * 1024 * 1024
CONNECT_TIMEOUT_S: Final = 5.0
CONNECTIONS_MAX: Final = 20

# Prices stand in some of these answers as JSON numbers: they become decimals by their text, never by a float.
_EXACT: Final = msgspec.json.Decoder(float_hook=Decimal)
_FAST: Final = msgspec.json.Decoder()


class ApiClient:
    """Speaks to both hosts with one key, or with none. Connects at its first call.

    What comes back is decoded JSON, or None for an empty body; every failure is one of our errors.
    Numbers of the trading host and of ``exact`` calls are ``Decimal`` and int, of others float and int.
    """

    def __init__(
        self,
        where: Addresses,
        credentials: Credentials | None,
        clock: Clock,
        *,
        timeout_s: float,
        dated: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self._dated = dated
        self._urls: dict[Host, str] = {"data": where.data_url, "trading": where.trading_url}
        self._headers = _key_headers(credentials)
        self._sendable = all(value.isascii() and value.isprintable() for value in self._headers.values())
        self._paces: dict[Host, Pace] = {"data": Pace(clock), "trading": Pace(clock)}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    @property
    def has_key(self) -> bool:
        """Whether calls carry a key."""
        return bool(self._headers)

    async def get(self, host: Host, path: str, params: Params | None = None, *, exact: bool = False) -> Any:
        """Read something."""
        return await self._request_api("GET", host, path, params, None, exact=exact or host == "trading")

    async def send(self, method: str, path: str, json: Mapping[str, object] | None = None) -> Any:
        """Change something on the trading host, once. ``NetworkPluginError`` and
        ``MalformedAnswerPluginError`` leave open whether it was done."""
        return await self._request_api(method, "trading", path, None, json, exact=True)

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def session(self) -> aiohttp.ClientSession:
        """The connections that everything of this instance shares; websockets too."""
        if self._closed:
            raise NetworkPluginError(f"The connection to {NAME} is closed.")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=True,
            )
            keep_to_addresses(self._session)
        return self._session

    async def _request_api(
        self,
        method: str,
        host: Host,
        path: str,
        params: Params | None,
        json: Mapping[str, object] | None,
        *,
        exact: bool,
    ) -> Any:
        """Every call to Alpaca, sent once: who reads decides whether to read again. (Where a kept
        connection turns out to be dead, aiohttp dials anew for GET and DELETE, never for POST and PATCH;
        a cancellation that arrives twice changes nothing.)"""
        if not self._sendable:
            raise AuthenticationPluginError(f"{NAME} has no keys of such a form.")
        pace = self._paces[host]
        await pace.acquire()
        writing = method != "GET"
        try:
            async with self.session().request(
                method,
                self._urls[host] + path,
                params=params,
                data=None if json is None else msgspec.json.encode(json),
                headers={**self._headers, "Content-Type": "application/json"} if json else self._headers,
                timeout=self._timeout,
            ) as response:
                pace.heed(response.status, response.headers)
                if response.ok:
                    self._dated(response.headers.get("Date"))
                status, body = response.status, await _bounded_body(response)
        # The original error is left out of the chain: its text may hold an address.
        except TimeoutError:
            raise TimeoutPluginError(f"{NAME} did not answer in time.") from None
        except (aiohttp.ClientError, OSError, EOFError):
            raise NetworkPluginError(f"{NAME} could not be reached, or broke off.") from None
        if status == 429:
            raise pace.refusal()
        if not 200 <= status < 300:
            raise refusal(status, _decoded_or_none(body), writing=writing)
        return _decoded(body, exact=exact)


def _key_headers(credentials: Credentials | None) -> dict[str, str]:
    key = credentials.reveal("api_key") if credentials else None
    secret = credentials.reveal("secret") if credentials else None
    return {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret} if key and secret else {}


async def _bounded_body(response: aiohttp.ClientResponse) -> bytes:
    chunks: list[bytes] = []
    length = 0
    async for chunk in response.content.iter_any():
        length += len(chunk)
        if length > BODY_BYTES_MAX:
            raise MalformedAnswerPluginError(f"{NAME} gave an answer that is too large.")
        chunks.append(chunk)
    return b"".join(chunks)


def _decoded(body: bytes, *, exact: bool) -> Any:
    if not body:
        return None
    try:
        return (_EXACT if exact else _FAST).decode(body)
    except (msgspec.DecodeError, RecursionError, ArithmeticError, ValueError):
        raise malformed("it is no JSON") from None


def _decoded_or_none(body: bytes) -> Any:
    try:
        return _decoded(body, exact=True)
    except MalformedAnswerPluginError:
        return None
