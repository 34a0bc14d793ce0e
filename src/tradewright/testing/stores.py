"""What every bar store and instrument store must do, as checks that run over any implementation.

::

    @asynccontextmanager
    async def open_stores(name: str) -> AsyncIterator[Stores]:
        ...  # empty at the first use of a name; where the store is durable, as it was left after that

    await check_bar_store(open_stores, durable=True)
    await check_instrument_store(open_stores, durable=True)

A failed promise is an ``AssertionError`` that says which. The single checks are in ``BAR_STORE_CHECKS``,
``INSTRUMENT_STORE_CHECKS`` and, for durable stores, ``RESTART_CHECKS``, for test runners that want to
name them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from tradewright.testing.bar_store_checks import SEQUENCE_CHECKS, check_bars_survive_restart
from tradewright.testing.bar_store_delivery_checks import DELIVERY_CHECKS
from tradewright.testing.bar_store_knowledge_checks import KNOWLEDGE_CHECKS, check_knowledge_survives_restart
from tradewright.testing.bar_store_rollup_checks import ROLLUP_CHECKS, check_resampled_survives_restart
from tradewright.testing.instrument_store_checks import (
    INSTRUMENT_STORE_CHECKS,
    check_instruments_survive_restart,
)
from tradewright.testing.store_material import Check, OpenStores, Stores

__all__ = [
    "BAR_STORE_CHECKS",
    "INSTRUMENT_STORE_CHECKS",
    "RESTART_CHECKS",
    "Check",
    "OpenStores",
    "Stores",
    "check_bar_store",
    "check_instrument_store",
]

BAR_STORE_CHECKS: Final[tuple[Check, ...]] = (
    *SEQUENCE_CHECKS,
    *DELIVERY_CHECKS,
    *KNOWLEDGE_CHECKS,
    *ROLLUP_CHECKS,
)
_BAR_RESTARTS: Final = (
    check_bars_survive_restart,
    check_knowledge_survives_restart,
    check_resampled_survives_restart,
)
RESTART_CHECKS: Final[tuple[Callable[[OpenStores], Awaitable[None]], ...]] = (
    *_BAR_RESTARTS,
    check_instruments_survive_restart,
)


async def check_bar_store(open_stores: OpenStores, *, durable: bool) -> None:
    """Run all checks of ``BarStore``, each on stores of its own name."""
    for check in BAR_STORE_CHECKS:
        async with open_stores(check.__name__) as stores:
            await check(stores)
    for check_restart in _BAR_RESTARTS if durable else ():
        await check_restart(open_stores)


async def check_instrument_store(open_stores: OpenStores, *, durable: bool) -> None:
    """Run all checks of ``InstrumentStore``, each on stores of its own name."""
    for check in INSTRUMENT_STORE_CHECKS:
        async with open_stores(check.__name__) as stores:
            await check(stores)
    if durable:
        await check_instruments_survive_restart(open_stores)
