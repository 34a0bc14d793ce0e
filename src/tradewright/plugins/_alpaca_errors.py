"""What Alpaca's refusals mean, in our errors and in sentences without secrets or addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tradewright.domain.errors import (
    AuthenticationPluginError,
    MalformedAnswerPluginError,
    NetworkPluginError,
    PluginError,
    TimeoutPluginError,
    UnknownSymbol,
)

NAME: Final = "Alpaca"

REJECTED: Final = frozenset({400, 401, 403, 404, 422})
"""With these and a body of Alpaca's own form, nothing was done. Every other answer to a write leaves open
whether it was."""

_FORBIDDEN_BY_RULE: Final = 40_310_000
"""The code under which 403 refuses an order (no buying power, no shares), not the key."""
_ID_IS_TAKEN: Final = "client_order_id must be unique"


class NotThere(PluginError):
    """Alpaca answered that it has no such thing."""


def refusal(status: int, answer: object, *, writing: bool) -> PluginError:
    """Our error for an answer whose status is not a success; ``answer`` is its decoded body, or None
    where it could not be read. Too many calls (429) are told apart before."""
    if status >= 500 or status == 408:
        return NetworkPluginError(f"{NAME} is not serving at the moment ({status}).")
    message = _message(answer)
    if writing and (status not in REJECTED or message is None):
        return MalformedAnswerPluginError(f"{NAME} gave an answer ({status}) that does not say what it did.")
    if _ID_IS_TAKEN in (message or ""):
        # There is an order under this id already, which may well be the one that was meant.
        return NetworkPluginError(f"{NAME} has an order of this client id already.")
    said = f": {message}" if message else "."
    if status == 401 or (status == 403 and _code(answer) != _FORBIDDEN_BY_RULE):
        return AuthenticationPluginError(f"{NAME} did not accept the key, or the key may not do this{said}")
    if status == 404:
        return NotThere(f"{NAME} does not know this{said}")
    if 300 <= status < 400:
        return MalformedAnswerPluginError(f"{NAME} points to another address.")
    return PluginError(f"{NAME} refused ({status}){said}")


def unknown_symbol() -> UnknownSymbol:
    """The symbol is none of theirs."""
    return UnknownSymbol(f"{NAME} does not list this symbol.")


def malformed(what: str) -> MalformedAnswerPluginError:
    """The answer can't be right, and why."""
    return MalformedAnswerPluginError(f"{NAME} gave an answer that can't be right: {what}.")


def copy_of(error: PluginError) -> PluginError:
    """The same error once more, since each of several streams raises its own."""
    return type(error)(error.message, error.retry_after_s)


def stream_error(code: int, message: str) -> PluginError:
    """Our error for an error message of a market data stream."""
    said = f"{NAME}'s stream: {_harmless(message)} ({code})."
    match code:
        case 401 | 402 | 403 | 409:
            return AuthenticationPluginError(said)
        case 404:
            return TimeoutPluginError(said)
        case 407 | 500:
            return NetworkPluginError(said)
        case _:
            return PluginError(said)


def _message(answer: object) -> str | None:
    """What Alpaca says in an error body of its own form."""
    if isinstance(answer, Mapping) and isinstance(answer.get("message"), str):
        return _harmless(answer["message"])
    return None


def _code(answer: object) -> int | None:
    code = answer.get("code") if isinstance(answer, Mapping) else None
    return code if isinstance(code, int) else None


def _harmless(text: str) -> str:
    """The text in one short line, without addresses and without anything as long as a key."""
    text = re.sub(r"\b\w+://\S+", "…", " ".join(text.split()))
    return re.sub(r"[A-Za-z0-9+/_\-]{16,}", _unless_word, text)[:200].rstrip()


def _unless_word(match: re.Match[str]) -> str:
    """Names of fields (``client_order_id``) stay; keys, which mix letters with digits or cases, do not."""
    word = match.group()
    return word if re.fullmatch(r"[a-z_\-]+", word) else "***"
