"""Makes a capture in the recorded format where there is none, from a seed."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.venues.binance.capture import Capture, parse_capture

SYMBOL: Final = "BTCUSDT"
_START_MS: Final = 1_704_067_213_000  # 2024-01-01 00:00:13 UTC
_STEP_MS: Final = 100
_LEVELS: Final = 300
_LATENCY_MS: Final = 3


def generate_capture(seed: int, duration_s: int = 330) -> Capture:
    """The capture of that seed; the same one each time."""
    return parse_capture(list(capture_lines(seed, duration_s)))


def write_capture(path: Path, seed: int, duration_s: int = 330) -> None:
    """Write the capture of that seed as a gzipped file in the recorded format."""
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in capture_lines(seed, duration_s))


def capture_lines(seed: int, duration_s: int) -> Iterator[str]:
    """The lines of the file: a snapshot, then book updates, quotes and trades that agree with it."""
    walk = _Walk(random.Random(seed))
    yield _line(_START_MS, walk.snapshot())
    for step in range(1, duration_s * 1000 // _STEP_MS + 1):
        now_ms = _START_MS + step * _STEP_MS
        for trade_ms, trade in walk.trades(now_ms - _STEP_MS, now_ms):
            yield _line(trade_ms, _message("trade", trade))
        changed = walk.move()
        if changed is not None:
            yield _line(now_ms, _message("bookTicker", changed))
        yield _line(now_ms, _message("depth@100ms", walk.depth(now_ms)))


def _line(time_ms: int, message: object) -> str:
    return f"{(time_ms + _LATENCY_MS) * 1_000_000} {json.dumps(message, separators=(',', ':'))}"


def _message(stream: str, data: dict[str, object]) -> dict[str, object]:
    return {"stream": f"{SYMBOL.lower()}@{stream}", "data": data}


def _price(ticks: int) -> str:
    return f"{ticks // 100}.{ticks % 100:02d}000000"


def _amount(steps: int) -> str:
    return f"{steps // 100_000}.{steps % 100_000:05d}000"


class _Walk:
    """A random walk of the price with a book around it; prices in cents, amounts in 0.00001."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._bid = 6_000_000 + chance.randrange(100_000)
        self._bids = {self._bid - gap: self._size() for gap in range(_LEVELS)}
        self._asks = {self._bid + 1 + gap: self._size() for gap in range(_LEVELS)}
        self._update_id = 40_000_000_000 + chance.randrange(10**9)
        self._sent_update_id = self._update_id
        self._trade_id = 3_000_000_000 + chance.randrange(10**8)
        self._changed_bids: dict[int, int] = {}
        self._changed_asks: dict[int, int] = {}

    def _size(self) -> int:
        return self._chance.randrange(100, 400_000)

    def snapshot(self) -> dict[str, object]:
        bids = [(_price(p), _amount(self._bids[p])) for p in sorted(self._bids, reverse=True)]
        asks = [(_price(p), _amount(self._asks[p])) for p in sorted(self._asks)]
        return {"lastUpdateId": self._update_id, "bids": bids, "asks": asks}

    def trades(self, start_ms: int, end_ms: int) -> Iterator[tuple[int, dict[str, object]]]:
        """Some orders of takers, each filled in one or more trades at the best price."""
        chance = self._chance
        moments = sorted(
            chance.randrange(start_ms, end_ms - 3) for _ in range(chance.choice((0, 0, 0, 1, 2)))
        )
        for time_ms in moments:
            sells = chance.random() < 0.5
            for _ in range(chance.choice((1, 1, 1, 2, 4))):
                self._trade_id += 1
                yield (
                    time_ms,
                    {
                        "e": "trade",
                        "E": time_ms,
                        "s": SYMBOL,
                        "t": self._trade_id,
                        "p": _price(self._bid if sells else self._bid + 1),
                        "q": _amount(chance.randrange(1, 50_000)),
                        "T": time_ms,
                        "m": sells,
                        "M": True,
                    },
                )

    def move(self) -> dict[str, object] | None:
        """Change some levels, and at times the price; returns the quote where it changed."""
        before = (self._bid, self._bids[self._bid], self._asks[self._bid + 1])
        self._bid += self._chance.choice((-180, -35, -2, -1, 0, 0, 0, 0, 1, 2, 35, 180))
        for price in [price for price in self._bids if price > self._bid]:
            self._set_bid(price, 0)
        for price in [price for price in self._asks if price <= self._bid]:
            self._set_ask(price, 0)
        for gap in (0, *(self._chance.randrange(_LEVELS) for _ in range(5))):
            self._set_bid(self._bid - gap, self._size())
            self._set_ask(self._bid + 1 + gap, self._size())
        while len(self._bids) < _LEVELS:
            self._set_bid(self._bid - self._chance.randrange(2 * _LEVELS), self._size())
        while len(self._asks) < _LEVELS:
            self._set_ask(self._bid + 1 + self._chance.randrange(2 * _LEVELS), self._size())
        if len(self._bids) > 2 * _LEVELS:
            self._set_bid(min(self._bids), 0)
        if len(self._asks) > 2 * _LEVELS:
            self._set_ask(max(self._asks), 0)
        after = (self._bid, self._bids[self._bid], self._asks[self._bid + 1])
        if after == before:
            return None
        return {
            "u": self._update_id,
            "s": SYMBOL,
            "b": _price(after[0]),
            "B": _amount(after[1]),
            "a": _price(after[0] + 1),
            "A": _amount(after[2]),
        }

    def depth(self, now_ms: int) -> dict[str, object]:
        """What changed since the last time."""
        event: dict[str, object] = {
            "e": "depthUpdate",
            "E": now_ms,
            "s": SYMBOL,
            "U": self._sent_update_id + 1,
            "u": self._update_id,
            "b": [(_price(price), _amount(size)) for price, size in self._changed_bids.items()],
            "a": [(_price(price), _amount(size)) for price, size in self._changed_asks.items()],
        }
        self._sent_update_id = self._update_id
        self._changed_bids, self._changed_asks = {}, {}
        return event

    def _set_bid(self, price: int, size: int) -> None:
        _set(self._bids, self._changed_bids, price, size)
        self._update_id += 1

    def _set_ask(self, price: int, size: int) -> None:
        _set(self._asks, self._changed_asks, price, size)
        self._update_id += 1


def _set(side: dict[int, int], changed: dict[int, int], price: int, size: int) -> None:
    changed[price] = size
    if size:
        side[price] = size
    else:
        side.pop(price, None)
