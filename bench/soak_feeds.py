"""Live feeds under faults, under a burst, and for a long time.

    python -m bench.soak_feeds [books|connections|burst|memory|refused] [count] [first seed]

Without an argument all five, each in full. `books` moves an order book over a socket that loses, repeats,
swaps and spoils messages, is cut, and gets snapshots that are too old: of so many updates no published top
may be one that was not true in the five seconds before, and the book must be right again two seconds after a
fault. `connections` silences streams (a driven clock), spoils them by frames that can't be read, and cuts
them. `burst` sends so many seconds of 10,000 messages a second into one process, from the plugin on. `memory`
keeps 200 streams over sockets of an emulated Binance for so many hours of a driven clock, and looks at what
they cost each ten minutes, once 5,200 trades of each symbol and the first hour and a half have filled what
is bounded. `refused` has an emulated Alpaca say so many times, for a while each, that another program has
the connection, that it is read too slowly, or that too many symbols are wanted (a driven clock): no more than
four connections may be begun in any minute, and all streams must be live again two minutes after its end.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable

from tests.support import connection_faults as connections
from tests.support.book_faults import RESYNC_S_MAX, BookFaults
from tests.support.feed_days import MB_PER_H_MAX, FeedDay
from tests.support.feed_load import GROWN_MB_MAX, LAG_MS_MAX, Burst
from tests.support.refused_streams import BACK_S_MAX, DIALS_A_MINUTE_MAX, RefusedStreams

UPDATES_OF_A_SEED = 50_000
STREAMS = 200


def books(updates: int, first_seed: int) -> bool:
    """Whether no wrong top was published, and each fault was mended in time."""
    began_s, done, seed, published = time.monotonic(), 0, first_seed, 0
    wrong, resynced_s, faults = 0, list[float](), Counter[str]()
    while done < updates:
        one = BookFaults(seed)
        asyncio.run(one.run(min(UPDATES_OF_A_SEED, updates - done)))
        done, seed, published = done + one.updates, seed + 1, published + one.published
        wrong += len(one.wrong)
        resynced_s += one.resynced_s
        faults.update(one.faults)
    print(f"books: seeds {first_seed} to {seed - 1}, {time.monotonic() - began_s:.0f} s, {done:,} updates,")
    print(f"  {sum(faults.values())} faults ({', '.join(f'{n} {f}' for f, n in sorted(faults.items()))});")
    print(f"  {wrong} wrong of {published:,} published books; right again after {_spread(resynced_s)}")
    return not wrong and max(resynced_s, default=0.0) <= RESYNC_S_MAX


def connecting(count: int, first_seed: int) -> bool:
    """Whether every silence, spoiled frame and cut was found out and mended in time."""
    silent_s = asyncio.run(connections.silences(count, first_seed))
    in_time = sum(each <= connections.SILENCE_S_MAX for each in silent_s)
    print(f"connections: {in_time} of {count} silent streams found out within 20 s: {_spread(silent_s)}")
    one = connections.ConnectionFaults(first_seed)
    asyncio.run(one.run(count))
    kept = in_time == count and not one.lost
    for fault, times_s in one.recovered_s.items():
        times_s.sort()
        most_s = connections.RECOVERED_S_MAX[fault]
        counted = times_s[-1] if fault == "malformed" else times_s[len(times_s) * 95 // 100]
        kept = kept and counted <= most_s
        print(f"  {len(times_s)} x {fault}: goes on after {_spread(times_s)}, {most_s:.0f} s allowed")
    print(f"  {one.lost} trades lost without a word")
    return kept


def burst(seconds: int, _seed: int) -> bool:
    """Whether the loop stays quick and small, and no trade is lost."""
    one = Burst(seconds)
    asyncio.run(one.run())
    one.lags_ms.sort()
    p99 = one.lags_ms[len(one.lags_ms) * 99 // 100]
    told = ", ".join(f"{count:,} of {kind}" for kind, count in one.told.items())
    print(f"burst: {one.sent / seconds:,.0f} messages a second for {seconds} s; told {told};")
    print(f"  {one.missing_trades} trades missing; the loop is late by {p99:.1f} ms (p99),", end=" ")
    print(f"{one.lags_ms[-1]:.1f} ms at most; grown by {one.grown_mb:.1f} MB")
    return not one.missing_trades and p99 < LAG_MS_MAX and one.grown_mb < GROWN_MB_MAX


def memory(hours: int, _seed: int) -> bool:
    """Whether nothing grows. In a short run a slope says little: two megabytes are allowed on top."""
    began_s, one = time.monotonic(), FeedDay(STREAMS, hours)
    asyncio.run(one.run())
    late, grows = one.late, one.grows()
    print(f"memory: {one.streams} streams of an emulated Binance for {hours} h of the clock in", end=" ")
    print(f"{time.monotonic() - began_s:.0f} s, {one.messages:,} updates told;")
    print(f"  {late[0].mb:.1f} MB after {late[0].hours:.1f} h, {late[-1].mb:.1f} MB at last,", end=" ")
    print(f"{one.slope_mb_per_h():+.2f} MB/h, {MB_PER_H_MAX:.0f} allowed;")
    for name in ("tasks", "files", "sockets"):
        seen = [getattr(look, name) for look in late]
        print(f"  {min(seen)} to {max(seen)} {name}", end=",")
    print(f" {one.sockets_opened} sockets opened in all; grows: {', '.join(grows) or 'nothing'}")
    return not grows


def refused(times: int, seed: int) -> bool:
    """Whether no storm of connections comes of refusals, and all is live again after each."""
    one = RefusedStreams(seed)
    asyncio.run(one.run(times))
    said = (f"{count} of {code}, said {one.refused[code]} times" for code, count in one.times.items())
    print(f"refused: {times} times ({'; '.join(said)}); {len(one.dialled_s)} connections begun,", end=" ")
    print(f"at most {one.most_dialled} in a minute, {one.most_connections} at a time;")
    print(f"  all live again after {_spread(one.back_s)}")
    held = one.most_dialled <= DIALS_A_MINUTE_MAX and one.most_connections == 1
    return held and max(one.back_s) <= BACK_S_MAX


def _spread(times_s: list[float]) -> str:
    """Median, p95 and longest."""
    ordered = sorted(times_s)
    if not ordered:
        return "nothing"
    p50, p95 = ordered[len(ordered) // 2], ordered[len(ordered) * 95 // 100]
    return f"p50 {p50:.2f} s, p95 {p95:.2f} s, longest {ordered[-1]:.2f} s"


MODES: dict[str, tuple[Callable[[int, int], bool], int]] = {
    "books": (books, 1_000_000),
    "connections": (connecting, 100),
    "burst": (burst, 10),
    "memory": (memory, 24),
    "refused": (refused, 30),
}


def main(arguments: list[str]) -> int:
    """Run one mode, or all of them."""
    if not arguments:
        outcomes = [mode(count, 1) for mode, count in MODES.values()]  # all of them, whatever breaks
        return int(not all(outcomes))
    mode, count = MODES[arguments[0]]
    given = [int(each) for each in arguments[1:3]]
    return int(not mode(*given, *(count, 1)[len(given) :]))


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # that streams break is what is wanted here
    sys.exit(main(sys.argv[1:]))
