"""Runs the emulated venue alone and prints the configuration that reaches it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path

from tests.venues.binance import BinanceVenue


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.venues.binance", description=__doc__)
    parser.add_argument(
        "--capture", type=Path, help="websocket capture (.jsonl or .jsonl.gz); else one is made"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the capture that is made")
    parser.add_argument("--xrpeth", type=Path, help="recorded XRPETH 1m candles (Parquet)")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--speed", type=float, default=1.0, help="times as fast as recorded")
    parser.add_argument("--lead-in", type=float, default=0.0, help="seconds that have already happened")
    parser.add_argument(
        "--once", action="store_true", help="fall silent at the end instead of beginning again"
    )
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    venue = BinanceVenue(
        arguments.capture or arguments.seed,
        xrpeth=arguments.xrpeth,
        port=arguments.port,
        speed=arguments.speed,
        lead_in_s=arguments.lead_in,
        restart=not arguments.once,
    )
    async with venue:
        print(f"# The emulated Binance serves {', '.join(venue.markets)} on {venue.url}", flush=True)
        print(venue.provider_toml(), flush=True)
        await stop.wait()


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(_serve(_arguments()))
