"""The only module that imports CCXT. Importing it takes up to seconds: do it in a thread.

An exchange made here takes its pace from our ``Governor`` (CCXT's own limiters and its dial backoff
run on the wall clock and freeze when it is set back), logs nothing that could hold a secret, and
refuses answers that can't be an answer.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import aiohttp
import ccxt.async_support
import ccxt.pro
from ccxt.base import errors as theirs

from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import (
    AuthenticationPluginError,
    MalformedAnswerPluginError,
    NetworkPluginError,
    PluginError,
    PluginFeatureNotSupportedError,
    RateLimitPluginError,
    TimeoutPluginError,
    TradewrightError,
    UnknownSymbol,
)
from tradewright.plugins._ccxt_governor import Governor
from tradewright.plugins._ccxt_manifest import load_manifest
from tradewright.runtime.clock import Clock

_T = TypeVar("_T")

CACHE_ROWS: Final = 1_000

sent_ms: Final[ContextVar[int]] = ContextVar("sent_ms")
"""When the running task's last request went out, on our clock."""

# CCXT logs requests and answers at DEBUG, keys included: its exchanges get a logger that takes
# warnings alone, whatever levels are configured.
_library_log = logging.getLogger(f"{__name__}.library")
_library_log.addFilter(lambda record: record.levelno >= logging.WARNING)

ERRORS: Final[Mapping[type[Exception], type[TradewrightError]]] = {
    # CCXT's tree; of an error's classes the most special one that is named here decides
    theirs.AuthenticationError: AuthenticationPluginError,
    theirs.RateLimitExceeded: RateLimitPluginError,
    theirs.DDoSProtection: RateLimitPluginError,
    theirs.RequestTimeout: TimeoutPluginError,
    theirs.NetworkError: NetworkPluginError,
    theirs.UnsubscribeError: NetworkPluginError,
    theirs.ExchangeClosedByUser: NetworkPluginError,
    theirs.BadResponse: MalformedAnswerPluginError,
    theirs.OperationFailed: NetworkPluginError,
    theirs.BadSymbol: UnknownSymbol,
    theirs.NotSupported: PluginFeatureNotSupportedError,
    theirs.BaseError: PluginError,
    # what CCXT lets through
    aiohttp.ClientError: NetworkPluginError,
    TimeoutError: TimeoutPluginError,
    OSError: NetworkPluginError,
    # what its parsers raise on an answer of another form than they expect; decimal's InvalidOperation
    # and OverflowError are ArithmeticErrors, JSON's and Unicode's errors are ValueErrors
    ArithmeticError: MalformedAnswerPluginError,
    AttributeError: MalformedAnswerPluginError,
    LookupError: MalformedAnswerPluginError,
    TypeError: MalformedAnswerPluginError,
    ValueError: MalformedAnswerPluginError,
    RecursionError: MalformedAnswerPluginError,
}

_WORDS: Final[Mapping[type[TradewrightError], str]] = {
    AuthenticationPluginError: "did not accept the key, or wants one",
    RateLimitPluginError: "says that we ask too often",
    TimeoutPluginError: "did not answer in time",
    NetworkPluginError: "could not be reached",
    MalformedAnswerPluginError: "gave an answer that can't be right",
    UnknownSymbol: "does not list this symbol",
    PluginFeatureNotSupportedError: "does not offer this",
    PluginError: "refused",
}


async def answer_of(exchange: Any, call: Callable[[Any], Awaitable[_T]], *, deadline_s: float | None) -> _T:
    """What the call gives; every failure of CCXT and of the venue as one of our errors.

    The original error is left out of the chain: its text may hold a signed address.
    """
    try:
        async with asyncio.timeout(deadline_s):
            return await call(exchange)
    except TradewrightError:
        raise
    except tuple(ERRORS) as error:
        raise our_error(exchange, error) from None
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # CCXT cancels the futures of a socket that it closes; nobody asked us to stop.
        raise NetworkPluginError(f"{exchange.name} could not be reached.") from None


def our_error(exchange: Any, error: Exception) -> TradewrightError:
    """Our error for one of CCXT's, in a sentence without secrets."""
    kind = next(ERRORS[base] for base in type(error).__mro__ if base in ERRORS)
    if isinstance(error, theirs.ExchangeError) and isinstance(error.__cause__, aiohttp.ClientError):
        kind = NetworkPluginError  # a body that broke off is no refusal
    if issubclass(kind, NetworkPluginError | RateLimitPluginError):
        message = f"{exchange.name} {_WORDS[kind]}."  # CCXT's text is an address, which tells nobody more
    else:
        message = f"{exchange.name} {_WORDS[kind]}: {_harmless(exchange, error)}"
    retry_after_s = exchange.governor.retry_after_s
    if issubclass(kind, PluginError) and retry_after_s is not None:
        return kind(message, retry_after_s)
    return kind(message)


def _harmless(exchange: Any, error: Exception) -> str:
    """The error's text in short, without query strings and without any field of the key."""
    text = re.sub(r"\?\S*", "?…", " ".join(str(error).split()))
    for field in ("apiKey", "secret", "password", "uid", "walletAddress", "privateKey"):
        value = getattr(exchange, field, None)
        if isinstance(value, str) and value:
            text = text.replace(value, "***")
    return f"{type(error).__name__} {text}"[:240].rstrip()


class _Manners:
    """Laid over CCXT's class of an exchange."""

    governor: Governor
    clock: Clock
    clients: dict[str, Any]
    logger = _library_log

    async def throttle(self, cost: float | None = None) -> None:
        await self.governor.acquire(1.0 if cost is None else float(cost))

    def client(self, url: str) -> Any:
        known = url in (self.clients or {})
        client = super().client(url)  # type: ignore[misc]
        if not known:
            client.throttle = self._throttle_message
            client.handle_message = _loud(client)
        return client

    async def _throttle_message(self, cost: float | None = None) -> None:
        await self.governor.acquire_message(1.0 if cost is None else float(cost))

    def ws_dial_delay(self, _url: str) -> float:
        return 0.0  # who watches decides when to try again

    def log(self, *_: object) -> None:
        pass  # CCXT prints here

    def handle_errors(self, code: int, reason: str, url: str, method: str, headers: Any, *rest: Any) -> Any:
        self.governor.heed(code, headers or {})
        return super().handle_errors(code, reason, url, method, headers, *rest)  # type: ignore[misc]

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        sent_ms.set(self.clock.now_ms())
        answer = await super().fetch(url, method, headers, body)  # type: ignore[misc]
        if method == "GET" and _no_answer(answer):
            raise theirs.BadResponse("the body is empty, a page, or no JSON")
        return answer


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


def make_exchange(
    provider: str,
    *,
    options: Mapping[str, object],
    http_timeout_s: float,
    credentials: Credentials | None,
    testnet: bool,
    clock: Clock,
) -> Any:
    """CCXT's exchange of that id, which must be in the manifest; opens no connection.

    Of the operator's ``options``, ``urls`` and ``options`` are merged into the constructor's.
    """
    entry = load_manifest().exchanges[provider]
    base = vars(ccxt.pro if entry.streams else ccxt.async_support)[provider]
    kind = type(base.__name__, (_Manners, base), {})
    settings: dict[str, Any] = {
        "enableRateLimit": True,  # by our governor: `throttle` is ours
        "timeout": int(http_timeout_s * 1000),
        "urls": _plain(options.get("urls", {})),
        "options": {
            "maxRetriesOnFailure": 0,
            "tradesLimit": CACHE_ROWS,
            "OHLCVLimit": CACHE_ROWS,
            "ordersLimit": CACHE_ROWS,
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
    exchange.clock = clock
    exchange.governor = Governor(provider, clock, per_second=per_second)
    if testnet:
        exchange.set_sandbox_mode(True)
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
