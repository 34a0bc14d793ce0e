"""Streams that fall silent, are spoiled by a frame that can't be read, or are cut: how long until they go
on."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from tests.support.feed_house import feed_house
from tests.unit.services.streaming_rig import Rig, stream
from tests.venues.binance import BinanceVenue, generate_capture
from tradewright.domain.streams import FeedStatus, StreamKind, Update

ConnectionFault: TypeAlias = Literal["malformed", "cut"]
FAULTS: Final[tuple[ConnectionFault, ...]] = get_args(ConnectionFault)
SILENCE_S_MAX: Final = 20.0
RECOVERED_S_MAX: Final[dict[ConnectionFault, float]] = {"malformed": 20.0, "cut": 3.0}
_SPOILED: Final = ('{"stream":"btcusdt@trade","data":{"e":"trade","s":', "[1,2", "\x00", '{"e":"trade"}')
_KINDS: Final[tuple[StreamKind, ...]] = ("trades", "ticker", "order_book", "ohlcv")


async def silences(count: int, seed: int) -> list[float]:
    """How long each of so many silent streams was called live, in seconds of a driven clock."""
    found, chance = list[float](), random.Random(seed)
    for _ in range(count):
        async with Rig(flags=chance.random() < 0.5) as rig:
            rig.venue.trade(100)
            viewer = await rig.view(stream(chance.choice(_KINDS)))
            for _ in range(chance.randrange(30)):
                await rig.clock.advance(chance.uniform(0.1, 3))
                rig.venue.trade(chance.uniform(90, 110))
            rig.venue.mute = True
            rig.venue.rest_up = chance.random() < 0.5
            rig.venue.rest_delay_s = chance.uniform(0, 9)
            began_s, known, opened = rig.clock.monotonic(), len(viewer.states), rig.venue.opened
            spoke_s = began_s

            def found_out(
                rig: Rig = rig, known: int = known, opened: int = opened, states: list[str] = viewer.states
            ) -> bool:
                return rig.venue.opened > opened or any(state != "live" for state in states[known:])

            while not found_out():
                await rig.clock.advance(0.25)
                if rig.clock.monotonic() - spoke_s >= 1:
                    spoke_s = rig.clock.monotonic()
                    rig.venue.trade(chance.uniform(90, 110))
                assert rig.clock.monotonic() - began_s < 10 * SILENCE_S_MAX, "nobody noticed"
            found.append(rig.clock.monotonic() - began_s)
    return found


@dataclass
class ConnectionFaults:
    """Faults of a socket of an emulated venue, and the time until the stream told something newer."""

    seed: int
    recovered_s: dict[ConnectionFault, list[float]] = field(
        default_factory=lambda: {fault: [] for fault in FAULTS}
    )
    lost: int = 0
    """Trades that were never told, though nobody was told to begin anew."""

    async def run(self, count: int) -> None:
        """So many of each kind, in turn."""
        chance, ids = random.Random(self.seed), list[int]()
        async with BinanceVenue(generate_capture(4, 120), lead_in_s=15, speed=4) as venue:

            def take(message: Update | FeedStatus) -> None:
                if isinstance(message, Update) and isinstance(message.trades, tuple):
                    ids.extend(int(trade.id) for trade in message.trades)

            async with feed_house(venue) as house, house.watching("trades", take):
                await _until(lambda: len(ids) > 20)
                for number in range(count * len(FAULTS)):
                    fault = FAULTS[number % len(FAULTS)]
                    await asyncio.sleep(chance.uniform(0.2, 0.8))
                    before, began_s = venue.markets["BTCUSDT"].trades[-1].id, time.monotonic()
                    if fault == "cut":
                        venue.faults.cut_sockets()
                    else:
                        venue.faults.inject(chance.choice(_SPOILED))
                    await _until(lambda before=before: ids[-1] > before + 1)  # type: ignore[misc]
                    self.recovered_s[fault].append(time.monotonic() - began_s)
        self.lost = len(set(range(ids[0], ids[-1] + 1)) - set(ids))


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  what is published has no event for what tests may ask
            await asyncio.sleep(0.01)
