"""The trades of simulated minutes, each fitted to what its minute comes to.

The first trade of a minute is at its open, the last at its close, one in between reaches the high and
one the low; the amounts add up to the volume.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradewright.domain.ticks import Trade
from tradewright.domain.timeframes import MINUTE_MS
from tradewright.plugins._simulated_listing import Listing
from tradewright.plugins._simulated_minutes import Minutes
from tradewright.plugins._simulated_random import Ints, bits, exponential, gauss, make_key, uniform

IDS_PER_MINUTE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Trades:
    """Columns of trades, oldest first; prices in ticks, amounts in lots."""

    time: Ints
    number: Ints
    bought: NDArray[np.bool_]
    price: Ints
    lots: Ints

    def __len__(self) -> int:
        return len(self.time)

    def __getitem__(self, part: slice) -> Trades:
        return Trades(
            self.time[part], self.number[part], self.bought[part], self.price[part], self.lots[part]
        )

    def between(self, after_ms: int, until_ms: int) -> Trades:
        """Those made in ``(after_ms, until_ms]``."""
        first, last = np.searchsorted(self.time, (after_ms, until_ms), side="right")
        return self[int(first) : int(last)]

    def listed(self, listing: Listing) -> list[Trade]:
        """The trades as they go over the wire."""
        return [
            Trade(time, str(number), "buy" if bought else "sell", price, amount)
            for time, number, bought, price, amount in zip(
                self.time.tolist(),
                self.number.tolist(),
                self.bought.tolist(),
                (self.price / listing.ticks_per_unit).tolist(),
                (self.lots * listing.lot).tolist(),
                strict=True,
            )
        ]


class TradeSource:
    """Spells out the trades of minutes; a pure function of the seed and the minutes."""

    def __init__(self, listing: Listing, seed: int) -> None:
        self._key = make_key(seed, "trades", listing.symbol)

    def trades(self, minutes: Minutes) -> Trades:
        """All trades of the minutes, in order; takes some 0.3 µs each."""
        owner = np.repeat(np.arange(len(minutes)), minutes.trades)
        first = np.cumsum(minutes.trades) - minutes.trades
        place = np.arange(len(owner), dtype=np.int64) - first[owner]
        minute, count = minutes.minute[owner], minutes.trades[owner]
        random = bits(self._key, minute, place)
        offset = np.minimum(np.floor((place + uniform(random)) * MINUTE_MS / count), MINUTE_MS - 1)
        price = self._prices(minutes, owner, place)
        change = np.diff(price, prepend=price[:1])
        change[place == 0] = 0
        coin = (random & np.uint64(1)) == 1
        return Trades(
            minute * MINUTE_MS + offset.astype(np.int64),
            minute * IDS_PER_MINUTE + place,
            np.where(change == 0, coin, change > 0),
            price,
            self._lots(minutes, owner, place, first),
        )

    def _prices(self, minutes: Minutes, owner: Ints, place: Ints) -> Ints:
        """Straight lines from the open over both extremes to the close, with noise, within the range."""
        count = minutes.trades[owner]
        roomy = count >= 4
        random = bits(self._key + 1, minutes.minute)
        inside = np.maximum(minutes.trades - 3, 1)  # the first extreme stands at 1 … trades - 3
        first = 1 + (random % inside.astype(np.uint64)).astype(np.int64)
        rest = np.maximum(minutes.trades - 2 - first, 1)
        second = first + 1 + ((random >> np.uint64(20)) % rest.astype(np.uint64)).astype(np.int64)
        rises = (random >> np.uint64(63)) == 1
        one, other = np.where(rises, minutes.high, minutes.low), np.where(rises, minutes.low, minutes.high)

        opened, closed, last = minutes.open[owner], minutes.close[owner], np.maximum(count - 1, 1)
        a, b, one, other = first[owner], second[owner], one[owner], other[owner]
        line = np.where(
            place <= a,
            opened + (one - opened) * (place / a),
            np.where(
                place <= b,
                one + (other - one) * ((place - a) / (b - a)),
                other + (closed - other) * ((place - b) / np.maximum(last - b, 1)),
            ),
        )
        line = np.where(roomy, line, opened + (closed - opened) * (place / last))
        high, low = minutes.high[owner], minutes.low[owner]
        noise = gauss(bits(self._key + 2, minutes.minute[owner], place)) * (0.5 + 0.08 * (high - low))
        price = np.clip(np.rint(line + noise), low, high).astype(np.int64)
        price = np.where(roomy & (place == a), one, price)
        price = np.where(roomy & (place == b), other, price)
        return np.where(place == 0, opened, np.where(place == count - 1, closed, price))

    def _lots(self, minutes: Minutes, owner: Ints, place: Ints, first: Ints) -> Ints:
        """One lot each, and shares of the rest by random weights; in integers, so that the sum is exact."""
        chance = exponential(bits(self._key + 3, minutes.minute[owner], place))
        weight = 1 + np.floor(chance * chance * 256.0).astype(np.int64)
        total = np.cumsum(weight)
        ends = first + minutes.trades - 1
        before = np.where(first > 0, total[np.maximum(first - 1, 0)], 0) if len(total) else first
        whole = (total[ends] - before) if len(total) else first
        spare = (minutes.lots - minutes.trades)[owner]
        reached = total - before[owner]
        shares = spare * reached // whole[owner]
        return 1 + shares - spare * (reached - weight) // whole[owner]
