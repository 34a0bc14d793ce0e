"""What CCXT raises, in our words; and which of its errors on a write tell that nothing was done."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypeVar

import aiohttp
from ccxt.base import errors as theirs

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
from tradewright.plugins._ccxt_quirks import trading_facts

_T = TypeVar("_T")


Writes: TypeAlias = Literal["create", "change"]
"""What a call does at the venue, where it does more than read."""


@dataclass(slots=True)
class Attempt:
    """What became of a private call so far: how many requests that can change anything went out, and the
    HTTP status of the last answer."""

    writes: Writes | None
    sent: int = 0
    status: int | None = None


attempt: Final[ContextVar[Attempt | None]] = ContextVar("attempt", default=None)
"""The private call that the running task is making."""

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
    AssertionError: MalformedAnswerPluginError,
    AttributeError: MalformedAnswerPluginError,
    LookupError: MalformedAnswerPluginError,
    TypeError: MalformedAnswerPluginError,
    ValueError: MalformedAnswerPluginError,
    RecursionError: MalformedAnswerPluginError,
}

FINAL: Final[tuple[type[Exception], ...]] = (
    # The venue looked at the request and did not do it. What is not named here, or derived from what is,
    # leaves the outcome of a write unknown: above all the plain ExchangeError, which CCXT also makes of
    # codes that it does not know and of a body that broke off.
    theirs.AuthenticationError,
    theirs.ArgumentsRequired,
    theirs.BadRequest,
    theirs.InsufficientFunds,
    theirs.InvalidOrder,
    theirs.NotSupported,
    theirs.OperationRejected,
)
NOT_FINAL: Final[tuple[type[Exception], ...]] = (
    theirs.DuplicateOrderId,  # so an order with our id is there: perhaps this very one
    theirs.OrderNotCached,
)
_FAILURES: Final[tuple[type[Exception], ...]] = (RateLimitPluginError, *ERRORS)
_RATE_LIMITS: Final = (theirs.RateLimitExceeded, theirs.DDoSProtection)
_DUPLICATE: Final = re.compile("duplicate", re.IGNORECASE)

CHANGED_RULES: Final[tuple[type[Exception], ...]] = (
    theirs.BadRequest,
    theirs.ContractUnavailable,
    theirs.MarketClosed,
)
"""Refusals that may mean that the rules of the market are not the ones that we know. So may an
``InvalidOrder``, but none of its kin."""

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


async def private_answer_of(
    exchange: Any, call: Callable[[Any], Awaitable[_T]], *, deadline_s: float, writes: Writes | None
) -> _T:
    """``answer_of`` for a call that needs the key.

    Where it ``writes``, an error tells what became of it. ``RateLimitPluginError``, ``UnknownSymbol`` and the
    ``PluginError`` kinds that are neither network errors nor malformed answers: nothing was done.
    ``NetworkPluginError`` and its kin and ``MalformedAnswerPluginError``: that is not known. A caller that
    is cancelled gets its cancellation, and what became of the write is not known either.
    """
    tried = Attempt(writes)
    token = attempt.set(tried)
    try:
        if writes is None:
            return await answer_of(exchange, _doubting(call), deadline_s=deadline_s)
        return await answer_of(exchange, _judged(call, tried, deadline_s), deadline_s=None)
    finally:
        attempt.reset(token)


def _doubting(call: Callable[[Any], Awaitable[_T]]) -> Callable[[Any], Awaitable[_T]]:
    """The call; made once more where the venue did not accept our time and it can be measured anew."""

    async def made(exchange: Any) -> _T:
        try:
            return await call(exchange)
        except theirs.ChecksumError:
            raise
        except theirs.InvalidNonce:
            if not exchange.venue_clock.doubt():
                raise
            await exchange.measure_clock()
            return await call(exchange)

    return made


def _judged(
    call: Callable[[Any], Awaitable[_T]], tried: Attempt, deadline_s: float
) -> Callable[[Any], Awaitable[_T]]:
    async def made(exchange: Any) -> _T:
        try:
            async with asyncio.timeout(deadline_s):
                return await call(exchange)
        except _FAILURES as error:
            if isinstance(error, theirs.InvalidNonce):
                exchange.venue_clock.doubt()
            raise _verdict(exchange, error, tried) from None

    return made


def _verdict(exchange: Any, error: Exception, tried: Attempt) -> TradewrightError:
    """The error that tells whether a write may have been done."""
    if not tried.sent or (tried.sent == 1 and _never_connected(error)):
        return _not_sent(exchange, error)
    answered = tried.sent == 1 and tried.status is not None and tried.status < 500
    if answered and isinstance(error, _RATE_LIMITS) and trading_facts(exchange.id).rate_limit_is_final:
        return RateLimitPluginError(
            f"{exchange.name} says that we ask too often; nothing was done.", exchange.governor.retry_after_s
        )
    if answered and _is_final(error, tried):
        if isinstance(error, CHANGED_RULES) or type(error) is theirs.InvalidOrder:
            exchange.rules_in_doubt = True
        ours = our_error(exchange, error)
        return ours if not isinstance(ours, NetworkPluginError) else PluginError(_refusal(exchange, error))
    ours = our_error(exchange, error) if not isinstance(error, TradewrightError) else error
    kind = type(ours)
    if not issubclass(kind, NetworkPluginError | MalformedAnswerPluginError):
        limited = isinstance(ours, RateLimitPluginError)
        kind = NetworkPluginError if limited else MalformedAnswerPluginError
    return kind(f"{ours} What became of the request is not known.", exchange.governor.retry_after_s)


def _not_sent(exchange: Any, error: Exception) -> TradewrightError:
    ours = error if isinstance(error, TradewrightError) else our_error(exchange, error)
    if isinstance(ours, NetworkPluginError | MalformedAnswerPluginError):
        return PluginError(f"Nothing was sent: {ours}", ours.retry_after_s)
    return ours


def _never_connected(error: Exception) -> bool:
    """Whether the request failed before there was a connection to send it on."""
    return any(isinstance(one, aiohttp.ClientConnectorError) for one in (error, error.__cause__))


def _is_final(error: Exception, tried: Attempt) -> bool:
    if isinstance(error, NOT_FINAL) or isinstance(error.__cause__, aiohttp.ClientError):
        return False
    if tried.writes == "create" and isinstance(error, theirs.OrderNotFound):
        return False
    if isinstance(error, theirs.InvalidOrder) and _DUPLICATE.search(str(error)):
        return False
    return isinstance(error, FINAL) or type(error) is theirs.InvalidNonce


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


def _refusal(exchange: Any, error: Exception) -> str:
    return f"{exchange.name} {_WORDS[PluginError]}: {_harmless(exchange, error)}"


def _harmless(exchange: Any, error: Exception) -> str:
    """The error's text in short, without query strings and without any field of the key."""
    text = re.sub(r"\?\S*", "?…", " ".join(str(error).split()))
    for field in ("apiKey", "secret", "password", "uid", "walletAddress", "privateKey"):
        value = getattr(exchange, field, None)
        if isinstance(value, str) and value:
            text = text.replace(value, "***")
    return f"{type(error).__name__} {text}"[:240].rstrip()
