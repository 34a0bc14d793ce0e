"""A random walk through the life of the data engine, in which everything is compared with the truth.

Requests of all kinds, several at once; faults of the venue, holes, outages and corrections; backfills and
imports; time that passes; processes, stores and caches that end in order or are killed: all in a random
order, by a seed. The venue is an emulated Binance behind real CCXT code, or an emulated Alpaca behind
``AlpacaPlugin``, with crypto or with stocks, which are traded in sessions; store and cache are whichever the
caller has. The order of what happens is the same for a seed; what runs at once does so as it comes.

At any time holds: every bar of an answer is true, and so is every reason for a gap. What the store knew
before a question is answered, whatever is broken. What is covered is never asked for again, and no bar is
given twice, not even to readers that ask at once. What is told to the store is true to the minute, and what
it confirmed is there however it ended. A venue that is well leaves out nothing without a reason, and in the
end nothing at all.
"""

from __future__ import annotations

from tests.support.engine_walk.alpaca_world import PairWorld, StockWorld
from tests.support.engine_walk.walk import Walk
from tests.support.engine_walk.world import BTC, FIRST_NOW_MS, START_MS, BinanceWorld, World

__all__ = [
    "BTC",
    "FIRST_NOW_MS",
    "START_MS",
    "BinanceWorld",
    "PairWorld",
    "StockWorld",
    "Walk",
    "World",
]
