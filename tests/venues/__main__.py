"""Runs one emulated venue alone and prints the configuration that reaches it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from typing import Final

from tests.venues.bybit import BybitVenue
from tests.venues.candle_venue import CandleVenue
from tests.venues.generated import generate_minutes
from tests.venues.kraken import KrakenVenue
from tests.venues.okx import OkxVenue
from tests.venues.rest_venue import RestVenue
from tests.venues.truth import Market
from tradewright.runtime.clock import SystemClock

VENUES: Final[dict[str, type[RestVenue]]] = {
    venue.provider: venue for venue in (BybitVenue, CandleVenue, KrakenVenue, OkxVenue)
}
_DAY_MS: Final = 86_400_000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.venues", description=__doc__)
    parser.add_argument("venue", choices=sorted(VENUES))
    parser.add_argument("--seed", type=int, default=1, help="of the candles")
    parser.add_argument("--days", type=int, default=30, help="of history")
    parser.add_argument("--quiet", type=float, default=0.0, help="share of minutes without a trade")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    start_ms = SystemClock().now_ms() - arguments.days * _DAY_MS
    minutes = generate_minutes(arguments.seed, start_ms, (arguments.days + 7) * 1_440, quiet=arguments.quiet)
    async with VENUES[arguments.venue]([Market("BTC", "USDT", minutes)], port=arguments.port) as venue:
        print(f"# The emulated {venue.provider} serves BTC/USDT on {venue.url}", flush=True)
        print(venue.provider_toml(), end="\n\n", flush=True)
        await stop.wait()


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(_serve(_arguments()))
