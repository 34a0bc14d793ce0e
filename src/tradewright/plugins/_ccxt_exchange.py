"""CCXT's exchanges with our manners. Importing CCXT takes up to seconds: do it in a thread.

An exchange made here takes its pace from our ``Governor`` (CCXT's own limiters and its dial backoff
run on the wall clock and freeze when it is set back), logs nothing that could hold a secret, and
refuses answers that can't be an answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

import ccxt.async_support
import ccxt.pro
from ccxt.base import errors as theirs

from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import RateLimitPluginError
from tradewright.plugins._ccxt_errors import ERRORS, answer_of, attempt, private_answer_of
from tradewright.plugins._ccxt_governor import Address, Governor
from tradewright.plugins._ccxt_manifest import load_manifest
from tradewright.plugins._ccxt_numbers import exact_json
from tradewright.plugins._ccxt_precision import outgoing_amount, outgoing_price
from tradewright.plugins._ccxt_sandbox import Place, enter_sandbox, is_off_limits
from tradewright.plugins._ccxt_sockets import RenewedSockets
from tradewright.plugins._sessions import keep_to_addresses
from tradewright.plugins._venue_clock import VenueClock
from tradewright.plugins.base import SharedByInstances
from tradewright.runtime.clock import Clock

ArgumentsRequired = theirs.ArgumentsRequired
OrderNotFound = theirs.OrderNotFound

__all__ = [
    "ArgumentsRequired",
    "OrderNotFound",
    "answer_of",
    "as_account_of",
    "make_exchange",
    "outgoing_amount",
    "outgoing_price",
    "private_answer_of",
    "sent_ms",
    "share_markets",
]

CACHE_ROWS: Final = 1_000
SEND_WITHIN_S: Final = 5.0
"""How long a write may queue for the rate limit; later it would be an order of another moment."""

sent_ms: Final[ContextVar[int]] = ContextVar("sent_ms")
"""When the running task's last request went out, on our clock."""

# CCXT logs requests and answers at DEBUG, keys included: its exchanges get a logger that takes
# warnings alone, whatever levels are configured.
_library_log = logging.getLogger(f"{__name__}.library")
_library_log.addFilter(lambda record: record.levelno >= logging.WARNING)


class _Manners(RenewedSockets):
    """Laid over CCXT's class of an exchange."""

    governor: Governor
    clock: Clock
    venue_clock: VenueClock
    measure_clock: Callable[[], Awaitable[None]]
    rules_in_doubt = False
    exact = False
    off_limits: frozenset[Place] = frozenset()
    clients: dict[str, Any]
    session: Any
    options: dict[str, Any]
    has: dict[str, Any]
    logger = _library_log

    # pace

    async def throttle(self, cost: float | None = None) -> None:
        tried = attempt.get()
        writes = tried is not None and tried.writes is not None
        try:
            async with asyncio.timeout(SEND_WITHIN_S if writes else None):
                await self.governor.acquire(1.0 if cost is None else float(cost), ahead=writes)
        except TimeoutError:
            raise RateLimitPluginError("Too many calls wait for the venue's rate limit.", 1.0) from None

    async def _throttle_message(self, cost: float | None = None) -> None:
        await self.governor.acquire_message(1.0 if cost is None else float(cost))

    def ws_dial_delay(self, _url: str) -> float:
        return 0.0  # who watches decides when to try again

    # time, by which requests are signed

    def milliseconds(self) -> int:
        return self.venue_clock.now_ms()

    def seconds(self) -> int:
        return self.milliseconds() // 1000

    def microseconds(self) -> int:
        return self.milliseconds() * 1000

    def on_json_response(self, text: str) -> Any:
        return exact_json(text) if self.exact else super().on_json_response(text)  # type: ignore[misc]

    # what goes out and comes in

    def log(self, *_: object) -> None:
        pass  # CCXT prints here

    def open(self, lazy: bool = False) -> None:
        super().open(lazy)  # type: ignore[misc]
        _restrain(self.session)

    def client(self, url: str) -> Any:
        self._check_network(url)
        known = (self.clients or {}).get(url)
        client = super().client(url)
        if client is not known:
            client.throttle = self._throttle_message
            client.handle_message = _loud(client)
            client.subscriptions = _Subscriptions(client.subscriptions)
            if self.exact:
                client.handle_text_or_binary_message = _exact(client)
        return client

    def parse_ohlcvs(self, ohlcvs: Any, market: Any = None, timeframe: str = "1m", *_: Any) -> Any:
        """All rows of an answer: CCXT leaves out, without a word, rows before `since`, beyond the limit and
        without a time, and makes an empty page of what is none."""
        return super().parse_ohlcvs(ohlcvs, market, timeframe)  # type: ignore[misc]

    def handle_errors(self, code: int, reason: str, url: str, method: str, headers: Any, *rest: Any) -> Any:
        self.governor.heed(code, headers or {})
        if 200 <= code < 300 and self.has.get("fetchTime") is not True:
            named = (value for name, value in (headers or {}).items() if name.lower() == "date")
            self.venue_clock.heard(next(named, None))
        tried = attempt.get()
        if tried is not None:
            tried.status = code
        if 300 <= code < 400:
            # Not read further: a refusal in its body would not tell that nothing was done.
            raise theirs.BadResponse(f"the venue answered {code}, a redirect, which is not followed")
        # With it, CCXT takes a key that is refused after it was accepted for a request to slow down.
        self.options.pop("hasAlreadyAuthenticatedSuccessfully", None)
        try:
            answer = super().handle_errors(code, reason, url, method, headers, *rest)  # type: ignore[misc]
        except theirs.ExchangeError as error:
            if code >= 500 and type(error) is theirs.ExchangeError:  # a code that CCXT does not know
                raise theirs.ExchangeNotAvailable(str(error)) from None
            raise
        if code in (418, 429):  # which CCXT takes at some exchanges for a venue that is away
            raise theirs.RateLimitExceeded(f"the venue answered {code}")
        return answer

    def _check_network(self, url: str) -> None:
        """CCXT writes some addresses out, whatever network is meant. No redirect leads on from this one."""
        if self.off_limits and is_off_limits(url, self.off_limits):
            raise theirs.NotSupported("there is no such call on the test network")

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        self._check_network(url)
        sent_ms.set(self.clock.now_ms())
        tried = attempt.get()
        if tried is not None:
            tried.status = None
            tried.sent += method != "GET"
        answer = await super().fetch(url, method, headers, body)  # type: ignore[misc]
        no_content = method != "GET" and tried is not None and tried.status == 204
        if _no_answer(answer) and not no_content:
            raise theirs.BadResponse("the body is empty, a page, or no JSON")
        return answer


class _Subscriptions(dict[str, Any]):
    """CCXT takes a subscription that the venue refused away twice, and the second time hides why it did."""

    def __delitem__(self, name: str) -> None:
        self.pop(name, None)


def _restrain(session: Any) -> None:
    """Have aiohttp send every request to its own address alone, and a write once: by itself it sends a DELETE
    or PUT anew when a kept connection breaks, since it takes them for harmless."""
    session._retry_connection = _ReadsOnly()
    keep_to_addresses(session)


class _ReadsOnly:
    """True while the running task makes no write."""

    def __bool__(self) -> bool:
        tried = attempt.get()
        return tried is None or tried.writes is None


def _exact(client: Any) -> Callable[[Any], None]:
    """The client's reading of a message, but with all digits of its numbers."""

    read = client.handle_text_or_binary_message

    def handle_text_or_binary_message(data: Any) -> None:
        if isinstance(data, bytes) and not client.decompressBinary:
            read(data)  # it is no JSON
            return
        text = data.decode() if isinstance(data, bytes) else data
        client.on_message_callback(client, exact_json(text) if text[:1] in ("{", "[") else text)

    return handle_text_or_binary_message


def _loud(client: Any) -> Callable[[Any], None]:
    """The client's handling of a message, but failing its streams where CCXT would stop reading for ever
    without a word, which it does at the first message that its parsers do not expect."""
    handle = client.handle_message

    def handle_message(message: Any) -> None:
        try:
            handle(message)
        except tuple(ERRORS) as error:
            client.on_error(theirs.BadResponse(f"a message that can't be read: {type(error).__name__}"))

    return handle_message


def _no_answer(answer: object) -> bool:
    """CCXT makes an empty result of such bodies, which would look like a market without trades."""
    match answer:
        case dict():
            return not answer
        case _:
            return not isinstance(answer, list)


def as_account_of(exchange: Any, twin: Any) -> Any:
    """The twin, made into the private side of the exchange: it keeps all digits of numbers as strings.

    The public side can't do without floats, since CCXT sorts prices. Both keep one pace together.
    """
    twin.number = str
    twin.exact = True
    twin.governor = exchange.governor
    return twin


def share_markets(exchange: Any, account: Any) -> None:
    """Give the account the markets that the exchange has loaded."""
    if account.markets is not exchange.markets:
        account.set_markets_from_exchange(exchange)


def make_exchange(
    provider: str,
    *,
    options: Mapping[str, object],
    http_timeout_s: float,
    credentials: Credentials | None,
    testnet: bool,
    clock: Clock,
    venue_clock: VenueClock,
    measure_clock: Callable[[], Awaitable[None]],
    shared: SharedByInstances,
) -> Any:
    """CCXT's exchange of that id, which must be in the manifest; opens no connection. What the venue allows
    our address is ``shared``.

    Of the operator's ``options``, ``urls`` and ``options`` are merged into the constructor's.
    """
    entry = load_manifest().exchanges[provider]
    base = vars(ccxt.pro if entry.streams else ccxt.async_support)[provider]
    # on the class, since the constructor may ask for the time
    clocks = {"clock": clock, "venue_clock": venue_clock, "measure_clock": staticmethod(measure_clock)}
    kind = type(base.__name__, (_Manners, base), clocks)
    settings: dict[str, Any] = {
        "enableRateLimit": True,  # by our governor: `throttle` is ours
        "timeout": int(http_timeout_s * 1000),
        "urls": _plain(options.get("urls", {})),
        "options": {
            "maxRetriesOnFailure": 0,
            "tradesLimit": CACHE_ROWS,
            "OHLCVLimit": CACHE_ROWS,
            "ordersLimit": CACHE_ROWS,
            "warnOnFetchOpenOrdersWithoutSymbol": False,
            **_plain(options.get("options", {})),
        },
    }
    if credentials is not None:
        for ours, name in _CREDENTIALS.items():
            value = credentials.reveal(ours)  # type: ignore[arg-type]
            if value:
                settings[name] = value
    exchange = kind(settings)
    per_second = 1000 / max(float(exchange.rateLimit), 1.0)
    address = shared.one_of(Address, lambda: Address(provider, clock, per_second=per_second))
    exchange.governor = Governor(provider, clock, per_second=per_second, address=address)
    if testnet:
        exchange.off_limits = enter_sandbox(exchange)
    return exchange


_CREDENTIALS: Final = {
    "api_key": "apiKey",
    "secret": "secret",
    "password": "password",
    "uid": "uid",
    "wallet_address": "walletAddress",
    "private_key": "privateKey",
}


def _plain(table: object) -> dict[str, Any]:
    """A table of the configuration as plain dicts, which CCXT can merge."""
    if not isinstance(table, Mapping):
        return {}
    return {key: _plain(value) if isinstance(value, Mapping) else value for key, value in table.items()}
