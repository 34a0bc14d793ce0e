"""``check_market_plugin``: does a plugin keep the promises of ``MarketPlugin``?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from tradewright.plugins.base import MarketPlugin

MakePlugin: TypeAlias = Callable[[], MarketPlugin | Awaitable[MarketPlugin]]
"""Makes a fresh instance; called several times."""

Advance: TypeAlias = Callable[[float], Awaitable[object]]
"""Moves a driven clock on by some seconds, such as ``DrivenClock.advance``."""


async def check_market_plugin(
    make_plugin: MakePlugin,
    *,
    market: str,
    symbol: str,
    history_ms: tuple[int, int] | None = None,
    timeframes: Sequence[str] | None = None,
    now_ms: Callable[[], int] | None = None,
    deadline_s: float = 10.0,
    advance: Advance | None = None,
) -> None:
    """Check everything that the plugin declares, and that what it does not declare is refused.

    ``symbol`` is one that the provider lists in ``market`` and that is traded now, at least a few
    times within the deadline. ``history_ms`` is an interval ``[start, end)`` in which it has bars (by
    default the last three hours); a venue with little history may name a short one, or one far back.
    ``timeframes`` limits the ones that are looked at (by default all that the instance declares).
    ``now_ms`` is the time of the venue, by default what the instance says in ``venue_time_ms``.
    ``deadline_s`` bounds every single call and every wait for a stream, in real seconds. Where the
    venue runs on a driven clock, ``advance`` moves it while a stream is waited for.

    Raises ``AssertionError`` with a sentence that names the first broken promise. Looks at market data
    alone: it places no order, and checks of the trading methods only that they are refused where they
    are not declared.
    """
    raise NotImplementedError
