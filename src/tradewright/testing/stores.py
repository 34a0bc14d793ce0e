"""What every bar store and instrument store must do, as checks that run over any implementation.

::

    @asynccontextmanager
    async def open_stores(name: str) -> AsyncIterator[Stores]:
        ...  # empty at the first use of a name; where the store is durable, as it was left after that

    await check_bar_store(open_stores, durable=True)
    await check_instrument_store(open_stores, durable=True)

A failed promise is an ``AssertionError`` that says which. The single checks are in ``BAR_STORE_CHECKS``
and ``INSTRUMENT_STORE_CHECKS``, for test runners that want to name them.
"""

from __future__ import annotations

from tradewright.testing.bar_store_checks import BAR_STORE_CHECKS, check_bars_survive_restart
from tradewright.testing.instrument_store_checks import (
    INSTRUMENT_STORE_CHECKS,
    check_instruments_survive_restart,
)
from tradewright.testing.store_material import Check, OpenStores, Stores

__all__ = [
    "BAR_STORE_CHECKS",
    "INSTRUMENT_STORE_CHECKS",
    "Check",
    "OpenStores",
    "Stores",
    "check_bar_store",
    "check_bars_survive_restart",
    "check_instrument_store",
    "check_instruments_survive_restart",
]


async def check_bar_store(open_stores: OpenStores, *, durable: bool) -> None:
    """Run all checks of ``BarStore``, each on stores of its own name."""
    for check in BAR_STORE_CHECKS:
        async with open_stores(check.__name__) as stores:
            await check(stores)
    if durable:
        await check_bars_survive_restart(open_stores)


async def check_instrument_store(open_stores: OpenStores, *, durable: bool) -> None:
    """Run all checks of ``InstrumentStore``, each on stores of its own name."""
    for check in INSTRUMENT_STORE_CHECKS:
        async with open_stores(check.__name__) as stores:
            await check(stores)
    if durable:
        await check_instruments_survive_restart(open_stores)
