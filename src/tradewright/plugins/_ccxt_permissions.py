"""What a key may do, at the exchanges that tell it in one call. CCXT has no method for that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from tradewright.domain.credentials import KeyPermissions
from tradewright.domain.errors import MalformedAnswerPluginError


class PermissionQuestion(NamedTuple):
    """How an exchange is asked, and what its answer means."""

    ask: Callable[[Any], Awaitable[object]]
    read: Callable[[object], KeyPermissions]


def permission_question(provider: str) -> PermissionQuestion | None:
    """How that exchange is asked; None where it is not known to tell."""
    return _QUESTIONS.get(provider)


_BINANCE_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "read": ("enableReading",),
    "spot": ("enableSpotAndMarginTrading",),
    "margin": ("enableMargin", "enablePortfolioMarginTrading"),
    "futures": ("enableFutures",),
    "options": ("enableVanillaOptions",),
    "transfer": ("enableInternalTransfer", "permitsUniversalTransfer"),
    "withdraw": ("enableWithdrawals",),
}
"""Our words, and what Binance calls that: https://developers.binance.com/docs/wallet/account/api-key-permission"""


def _read_binance(answer: object) -> KeyPermissions:
    if not isinstance(answer, Mapping):
        raise _not_understood()
    withdraws, restricted = answer.get("enableWithdrawals"), answer.get("ipRestrict")
    if not isinstance(withdraws, bool):
        # Of all of it this must not be guessed.
        raise _not_understood()
    granted = (word for word, names in _BINANCE_WORDS.items() if any(answer.get(n) is True for n in names))
    return KeyPermissions(
        permissions=tuple(granted),
        can_withdraw=withdraws,
        ip_restricted=restricted if isinstance(restricted, bool) else None,
    )


def _not_understood() -> MalformedAnswerPluginError:
    return MalformedAnswerPluginError("Binance did not say in a known form what the key may do.")


_BINANCE: Final = PermissionQuestion(
    lambda exchange: exchange.sapi_get_account_apirestrictions(), _read_binance
)
_QUESTIONS: Final[Mapping[str, PermissionQuestion]] = dict.fromkeys(
    ("binance", "binancecoinm", "binanceusdm"), _BINANCE
)
