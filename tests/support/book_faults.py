"""An order book that moves thousands of times a second over a socket that loses, repeats, swaps and spoils
its messages; every published top is held against what was ever true."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from tests.support.feed_house import feed_house
from tests.venues.binance import BinanceVenue, generate_capture
from tests.venues.binance.capture import BookSnapshot, Level
from tradewright.domain.streams import FeedStatus, Update
from tradewright.domain.ticks import OrderBook
from tradewright.services.streaming_manager import StreamSettings

BookFault: TypeAlias = Literal[
    "lost", "twice", "swapped", "malformed", "crossed", "no number", "cut", "old snapshot"
]
FAULTS: Final[tuple[BookFault, ...]] = get_args(BookFault)
HARMLESS: Final[frozenset[BookFault]] = frozenset({"twice"})
DEPTH: Final = 30
PER_S: Final = 2_000
BATCH_S: Final = 0.005
TRUE_FOR_S: Final = 5.0
RESYNC_S_MAX: Final = 2.0
SETTLED_S: Final = 0.7
"""Between a book that is right again and the next fault."""
STREAM: Final = "btcusdt@depth@100ms"

Top: TypeAlias = tuple[float, float, float, float]


class MovingBook:
    """Levels in whole ticks on both sides of a price that walks; dense, so that no top can be missed."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.mid = 5_000_000
        self.bids = {self.mid - 1 - n: self._amount() for n in range(DEPTH)}
        self.asks = {self.mid + 1 + n: self._amount() for n in range(DEPTH)}

    def _amount(self) -> int:
        return self._chance.randrange(1, 10**8)

    def step(self) -> tuple[list[Level], list[Level]]:
        """Change it; the changed levels of both sides, an amount of zero for those that are gone."""
        if self._chance.random() < 0.3:
            return self._walk(self._chance.choice((-1, 1)))
        side = self._chance.choice((self.bids, self.asks))
        price = self._chance.choice(list(side))
        side[price] = self._amount()
        changed = [_level(price, side[price])]
        return (changed, []) if side is self.bids else ([], changed)

    def _walk(self, by: int) -> tuple[list[Level], list[Level]]:
        taken, given = (self.asks, self.bids) if by > 0 else (self.bids, self.asks)
        best, freed, far = self.mid + by, self.mid, self.mid + by * (DEPTH + 1)
        worst = self.mid - by * DEPTH
        del taken[best], given[worst]
        given[freed], taken[far] = self._amount(), self._amount()
        self.mid += by
        changes = [_level(best, 0), _level(far, taken[far])], [_level(worst, 0), _level(freed, given[freed])]
        return (changes[1], changes[0]) if by > 0 else changes

    @property
    def top(self) -> Top:
        """Best bid and ask with their amounts, as floats."""
        bid, ask = self.mid - 1, self.mid + 1
        return bid / 100, self.bids[bid] / 1e8, ask / 100, self.asks[ask] / 1e8


def _level(price: int, amount: int) -> Level:
    return f"{price / 100:.8f}", f"{amount / 1e8:.8f}"


@dataclass
class BookFaults:
    """Faults of one seed, and what came of them. Times in seconds."""

    seed: int
    per_s: int = PER_S
    updates: int = 0
    published: int = 0
    wrong: list[Top] = field(default_factory=list)
    resynced_s: list[float] = field(default_factory=list)
    faults: list[BookFault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._book = MovingBook(self._chance)
        self._true: dict[Top, float] = {}
        self._order: deque[tuple[float, Top]] = deque()
        self._next_fault: BookFault | None = None
        self._faulty_since_s: float | None = None
        self._right_since_s = time.monotonic()
        self._held: list[str] = []
        self._begun = asyncio.Event()

    async def run(self, updates: int) -> None:
        """Send so many; ``AssertionError`` where the book is not right again in time."""
        async with BinanceVenue(generate_capture(4, 20), lead_in_s=15, speed=1e-9) as venue:
            self._venue = venue
            market = venue.markets["BTCUSDT"]
            levels = (
                [_level(*item) for item in self._book.bids.items()],
                [_level(*item) for item in self._book.asks.items()],
            )
            first = BookSnapshot(market.book.last_id + 1, tuple(levels[0]), tuple(levels[1]))
            market.book.reset(first, first.last_id)
            self._note_truth()
            venue.faults.message_filter = self._filter
            # None is left out, and faults that come every second or two are each one by itself: else the
            # feed would wait longer and longer before it connects again, and ask meanwhile.
            each = StreamSettings(coalesce_s=0.0, stable_s=SETTLED_S)
            async with feed_house(venue, each) as house, house.watching("order_book", self._take):
                async with asyncio.timeout(20):
                    await self._begun.wait()
                await self._send(updates)
                await asyncio.sleep(1)
        assert self.published

    async def _send(self, updates: int) -> None:
        began_s, sent = time.monotonic(), 0
        while sent < updates:
            due = min(updates, int((time.monotonic() - began_s) * self.per_s) + 1)
            for _ in range(min(due - sent, self.per_s // 10)):
                self._update()
                sent += 1
            self._break_something()
            await asyncio.sleep(BATCH_S)
        self.updates += sent

    def _update(self) -> None:
        bids, asks = self._book.step()
        book = self._venue.markets["BTCUSDT"].book
        number = book.last_id + 1
        book.apply(bids, asks, number)
        self._note_truth()
        event = {"e": "depthUpdate", "E": self._venue.time.now_ms(), "s": "BTCUSDT", "U": number, "u": number}
        self._venue.hub.publish(STREAM, {**event, "b": bids, "a": asks})

    def _note_truth(self) -> None:
        now_s = time.monotonic()
        self._true[self._book.top] = now_s
        self._order.append((now_s, self._book.top))
        while self._order[0][0] < now_s - TRUE_FOR_S:
            at_s, top = self._order.popleft()
            if self._true.get(top) == at_s:
                del self._true[top]

    # Faults

    def _break_something(self) -> None:
        now_s = time.monotonic()
        if self._faulty_since_s is not None:
            late_s = now_s - self._faulty_since_s
            assert late_s < 10 * RESYNC_S_MAX, f"seed {self.seed}: no book since {self.faults[-1]}"
        elif self._next_fault is None and now_s - self._right_since_s > SETTLED_S:
            fault = self._chance.choice(FAULTS)
            self.faults.append(fault)
            if fault == "cut":
                self._begin_fault()
                self._venue.faults.cut_sockets()
            elif fault == "old snapshot":
                market = self._venue.markets["BTCUSDT"]
                bids, asks = market.book.top(DEPTH)
                old = {"lastUpdateId": market.book.last_id, "bids": bids, "asks": asks}
                self._venue.faults.answer("/api/v3/depth", body=json.dumps(old), times=1)
                self._next_fault = "lost"
            else:
                self._next_fault = fault

    def _begin_fault(self) -> None:
        self._next_fault = None
        self._faulty_since_s = time.monotonic()

    def _filter(self, stream: str, text: str) -> Sequence[str]:
        if stream != STREAM:
            return (text,)
        if self._held:
            held, self._held = self._held, []
            return (text, *held)
        fault = self._next_fault
        if fault is None:
            return (text,)
        if fault in HARMLESS:
            self._next_fault, self._right_since_s = None, time.monotonic()
            return (text, text)
        self._begin_fault()
        match fault:
            case "lost":
                return ()
            case "swapped":
                self._held = [text]
                return ()
            case "malformed":
                return (text[: len(text) // 2],)
            case "crossed":
                return (self._changed(text, [f"{self._book.mid / 10:.8f}", "1.00000000"]),)
            case _:
                return (self._changed(text, [f"{(self._book.mid - 1) / 100:.8f}", "NaN"]),)

    @staticmethod
    def _changed(text: str, level: list[str]) -> str:
        event = json.loads(text)
        event["b"].append(level)
        return json.dumps(event)

    # What is published

    def _take(self, message: Update | FeedStatus) -> None:
        if not isinstance(message, Update) or not isinstance(message.order_book, OrderBook):
            return
        book = message.order_book
        self.published += 1
        self._begun.set()
        top = (*book.bids[0], *book.asks[0])
        if top not in self._true or not book.sound:
            self.wrong.append(top)
        elif self._faulty_since_s is not None and self._true[top] > self._faulty_since_s:
            now_s = time.monotonic()
            self.resynced_s.append(now_s - self._faulty_since_s)
            self._faulty_since_s, self._right_since_s = None, now_s
