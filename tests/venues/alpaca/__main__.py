"""Runs the emulated venue alone and prints the configuration that reaches it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path

from tests.venues.alpaca import AlpacaVenue


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.venues.alpaca", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the securities that are made")
    parser.add_argument("--days", type=int, default=10, help="how far back their minutes go")
    parser.add_argument("--minutes", type=Path, help="recorded minutes (Parquet) in place of made ones")
    parser.add_argument("--days-file", type=Path, help="recorded days (Parquet) in place of made ones")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--requests-per-minute", type=int, default=200, help="the quota of a key")
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    venue = AlpacaVenue(
        arguments.seed,
        days=arguments.days,
        minutes=arguments.minutes,
        days_file=arguments.days_file,
        port=arguments.port,
        requests_per_minute=arguments.requests_per_minute,
    )
    async with venue:
        print(f"# The emulated Alpaca serves {', '.join(venue.securities)} on {venue.url}", flush=True)
        print(venue.provider_toml(), flush=True)
        await stop.wait()


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(_serve(_arguments()))
